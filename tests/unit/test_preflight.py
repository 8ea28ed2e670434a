"""`fleet preflight` against a double of Google Cloud."""

import copy
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import tools
from infra.__main__ import main
from infra.catalogue import load
from infra.commands import preflight
from infra.config import FleetConfig, parse
from infra.plan.build import build
from infra.plan.model import FleetPlan
from infra.preflight.checks import BOOTSTRAP_APIS, check
from infra.preflight.model import Finding, Limit, RefusedError, State
from tests.required import leave_out
from tests.unit.conftest import GOOD

ROOT = Path(__file__).parents[2]


class Double:
    """A project in which all is well, until a test says otherwise."""

    def __init__(self, **answers: Any) -> None:
        self.answers = answers

    def _say(self, name: str, usual: Any) -> Any:
        found = self.answers.get(name, usual)
        if isinstance(found, Exception):
            raise found
        return found

    def project_is_active(self, project: str) -> bool:
        return bool(self._say("project", project == "example-project"))

    def billing_is_on(self, _project: str) -> bool:
        return bool(self._say("billing", True))

    def enabled_apis(self, _project: str) -> frozenset[str]:
        return frozenset(self._say("apis", BOOTSTRAP_APIS))

    def quotas(self, _project: str, region: str) -> Mapping[tuple[str, str], Limit]:
        usual = {
            ("NVIDIA_T4_GPUS", region): Limit(limit=8, usage=0),
            ("PREEMPTIBLE_NVIDIA_A100_GPUS", region): Limit(limit=8, usage=0),
            ("GPUS_ALL_REGIONS", "global"): Limit(limit=8, usage=0),
        }
        found: Mapping[tuple[str, str], Limit] = self._say("quotas", usual)
        return found

    def zones_with(self, _project: str, _accelerator: str) -> frozenset[str]:
        return frozenset(self._say("zones", {"us-central1-a", "us-central1-c"}))

    def machine_zones(self, _project: str, _machine_type: str) -> frozenset[str]:
        return frozenset(self._say("machines", {"us-central1-a", "us-central1-b", "us-central1-c"}))

    def nat_of(self, project: str, region: str, network: str) -> bool:
        assert (project, region, network) == ("host", "us-central1", "shared")
        return bool(self._say("nat", True))

    def channel_version(self, _project: str, _location: str, channel: str) -> str | None:
        found: str | None = self._say("channel", f"1.34-{channel}")
        return found

    def gpu_price(self, _region: str, words: tuple[str, ...], *, spot: bool) -> float | None:
        gpus = load().prices["us-central1"].gpus
        (known,) = [
            gpus[name] for name, gpu in load().gpus.items() if tuple(gpu.title.split()) == words and name in gpus
        ]
        found: float | None = self._say("price", known.spot if spot else known.on_demand)
        return found


def plan_of(fleet: Any) -> FleetPlan:
    parsed = parse(fleet)
    return build(parsed.config or FleetConfig(), stack="dev", project="example-project", problems=parsed.problems)


def findings(double: Double, fleet: Any = GOOD, *, missing: str = "") -> dict[str, Finding]:
    found = list(
        check(plan_of(fleet), load(), lambda: double, lambda name: None if name == missing else f"/bin/{name}")
    )
    assert len({one.subject for one in found}) == len(found)
    assert all(one.remedy for one in found if one.state in (State.MISSING, State.DOUBT))
    return {one.subject: one for one in found}


def test_where_all_is_well_only_what_no_api_tells_is_open() -> None:
    found = findings(Double())
    assert {name for name, one in found.items() if one.state is not State.OK} == {"stock", "drivers"}
    assert {"quota NVIDIA_T4_GPUS", "zones of t4", "zones of a100", "release channel", "price of T4"} <= set(found)


@pytest.mark.parametrize("name", ["pulumi", "gcloud", "gke-gcloud-auth-plugin"])
def test_a_program_that_is_missing_is_named_with_its_source(name: str) -> None:
    assert findings(Double(), missing=name)[name].state is (State.DOUBT if name == "gcloud" else State.MISSING)


@pytest.mark.parametrize(
    ("answers", "subject", "state", "says"),
    [
        ({"project": False}, "project", State.MISSING, "not active"),
        ({"billing": False}, "billing", State.MISSING, "billing"),
        ({"apis": ()}, "APIs", State.MISSING, "gcloud services enable serviceusage"),
        ({"quotas": {}}, "quota GPUS_ALL_REGIONS", State.UNKNOWN, "ask for 3"),
        ({"machines": {"us-central1-a"}}, "zones of t4", State.MISSING, "zones: [us-central1-a]"),
        ({"zones": set()}, "zones of t4", State.MISSING, "another location"),
        ({"channel": None}, "release channel", State.MISSING, "no channel regular"),
        ({"price": 9.0}, "price of T4", State.DOUBT, "$9.0000 an hour now"),
        ({"price": None}, "price of T4", State.UNKNOWN, "not found"),
        ({"billing": RefusedError("403 no permission")}, "billing", State.DOUBT, "403 no permission"),
    ],
)
def test_it_finds(answers: dict[str, Any], subject: str, state: State, says: str) -> None:
    one = findings(Double(**answers))[subject]
    assert one.state is state
    if subject != "APIs":
        assert says in f"{one.message} {one.remedy}"


@pytest.mark.parametrize(
    ("limit", "usage", "state"), [(1, 0, State.MISSING), (2, 0, State.OK), (2, 1, State.DOUBT), (9, 7, State.OK)]
)
def test_a_quota_is_held_against_what_the_plan_needs_at_its_maximum(limit: float, usage: float, state: State) -> None:
    quotas = {("NVIDIA_T4_GPUS", "us-central1"): Limit(limit=limit, usage=usage)}
    assert findings(Double(quotas=quotas))["quota NVIDIA_T4_GPUS"].state is state


def test_an_unanswered_question_stops_no_other() -> None:
    refused = dict.fromkeys(
        ["project", "billing", "apis", "quotas", "machines", "channel", "price"], RefusedError("no")
    )
    found = findings(Double(**refused))
    unanswered = {"project", "billing", "APIs", "quotas", "zones", "release channel", "prices"}
    # whoever is about to run `up` should know of each, with what to do
    assert unanswered == {name for name, one in found.items() if one.state is State.DOUBT}
    assert all(found[name].remedy for name in unanswered)


def test_an_empty_answer_is_no_crash_and_never_taken_for_yes() -> None:
    found = findings(Double(quotas={}, zones=(), machines=(), channel=None, price=None, apis=()))
    states = {name: one.state for name, one in found.items() if one.state is not State.OK}
    assert {states[name] for name in ("zones of t4", "zones of a100", "release channel", "APIs")} == {State.MISSING}
    assert {states[name] for name in ("quota NVIDIA_T4_GPUS", "price of T4")} == {State.UNKNOWN}


def test_the_nat_is_asked_for_on_a_network_that_others_made() -> None:
    fleet = copy.deepcopy(GOOD)
    fleet["gke"]["network"] = {"vpc": "host/shared", "subnet": "gpu", "pods": "pods", "services": "services"}
    assert findings(Double(), fleet)["NAT"].state is State.OK
    assert findings(Double(nat=False), fleet)["NAT"].state is State.MISSING
    assert "NAT" not in findings(Double())


def test_the_plan_lists_every_quota_by_googles_name() -> None:
    assert [(one.name, one.where, one.needed) for one in plan_of(GOOD).quotas] == [
        ("GPUS_ALL_REGIONS", "global", 3),
        ("NVIDIA_T4_GPUS", "us-central1", 2),
        ("PREEMPTIBLE_NVIDIA_A100_GPUS", "us-central1", 1),
    ]


# the command


@pytest.mark.parametrize(("answers", "status"), [({}, 0), ({"billing": False}, 1), ({"price": 9.0}, 0)])
def test_the_exit_status_is_1_where_up_would_fail(
    answers: dict[str, Any], status: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(preflight, "cloud", lambda: Double(**answers))
    monkeypatch.setattr(shutil, "which", lambda name: f"/bin/{name}")
    assert main(["preflight", "--stack", "dev", "--cwd", str(ROOT)]) == status
    out = capsys.readouterr().out
    assert out.splitlines()[-1].startswith(f"{status} missing")


@pytest.mark.parametrize(("answers", "allowed"), [({}, True), ({"price": 9.0}, True), ({"billing": False}, False)])
def test_up_begins_only_where_nothing_is_missing(
    answers: dict[str, Any], allowed: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(preflight, "cloud", lambda: Double(**answers))
    monkeypatch.setattr(shutil, "which", lambda name: f"/bin/{name}")
    assert preflight.allows(plan_of(GOOD)) is allowed
    shown = capsys.readouterr()
    assert shown.out == ""
    assert bool(shown.err) == bool(answers)


def test_a_fleet_at_home_asks_nobody(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "cloud", lambda: pytest.fail("asked"))
    assert main(["preflight", "--stack", "home", "--cwd", str(ROOT / "examples")]) == 0
    assert "no cluster" in capsys.readouterr().out


def test_without_the_clients_it_says_how_to_get_them(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ["google.api_core", "google.api_core.exceptions"]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setattr(shutil, "which", lambda name: None if name == "gke-gcloud-auth-plugin" else f"/bin/{name}")
    assert main(["preflight", "--stack", "dev", "--cwd", str(ROOT)]) == 2
    shown = capsys.readouterr()
    assert "requirements-preflight.txt" in shown.err
    # and what is known without them
    assert "gke-gcloud-auth-plugin: it is not on PATH" in shown.out


def test_the_adapter_speaks_to_googles_own_clients_in_their_terms() -> None:
    """In an environment of its own; `google_clients.py` says why."""
    python = tools.find("preflight-python")
    if python is None:
        leave_out("the adapter to Google's clients left out: no environment with them; `make tools` brings it")
    command = [python, "-m", "pytest", "-p", "no:cacheprovider", "tests/unit/google_clients.py"]
    # the clients are a thousand files, which are installed uncompiled
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, env=environment)
    assert done.returncode == 0, done.stdout
    assert re.search(r"\b14 passed", done.stdout), done.stdout
