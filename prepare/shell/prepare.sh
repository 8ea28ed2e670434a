#!/bin/sh
# Brings the models of a pool into its Ollama server, starts that server, and answers the probes about both.
#
#   prepare.sh init          the init container: a server of its own on loopback, every model into place, exit 0
#   prepare.sh serve         the server, with its log kept
#   prepare.sh alone         the server where nobody is beside it: it loads what it serves
#   prepare.sh watch         beside the server: what the list or the map gains or changes goes into the running server
#   prepare.sh started       the startup probe: the models run on the GPU
#   prepare.sh ready         the readiness probe: the models are there
#   prepare.sh healthy       both probes in one, for Docker
#   prepare.sh verify        the machine has the planned driver, GPUs, container runtime and devices; the server asks too
#   prepare.sh drain LIMIT   the server's preStop hook: wait until nobody is connected, LIMIT seconds at most
#
# It runs in the stock ollama/ollama image (no curl there: the `ollama` client is the only way to talk to the server),
# as any user, on a read-only root. It writes to $HOME, /tmp and $OLLAMA_MODELS only.
#
# The list is the folder $FLEET_MODELS (a mounted ConfigMap): models.tsv, one entry a line in the order in which they can
# be made, and the Modelfiles that it names.
#   pull    NAME  SOURCE      DIGEST    SOURCE as the registry calls it; http://HOST/NAMESPACE/MODEL:TAG for plain HTTP
#   create  NAME  MODELFILE   DIGEST    the file's name in the folder; the sha256 of the weights where FROM is a file
#                                     or an https:// address
#   copy    NAME  SOURCE      -         another name of the list
#   verify  NAME  -           DIGEST    nothing is fetched: it has to be there
# DIGEST is the sha256 of the manifest, or - for whatever the registry has. declared.tsv holds the fleet's other models,
# each step behind the name of the model that it makes: brought here when the map ($FLEET_ROUTES, with hand edits in
# $FLEET_OVERRIDE) routes that model to $FLEET_POOL.
#
# Environment, with defaults:
#   FLEET_MODELS, FLEET_ROUTES, FLEET_OVERRIDE    below /etc/ollama-fleet: models routes override
#   OLLAMA_MODELS=$HOME/.ollama/models      OLLAMA_HOST=127.0.0.1:11434
#   FLEET_INPUTS                            JSON of what fills {inputs.NAME} in the Modelfiles when init starts
#   FLEET_STATE=$HOME/fleet                 what the containers of a pod tell each other
#   FLEET_LOADING=onDemand                  together: all models of the list stay loaded
#   FLEET_PROOF=none                        of the GPU: none, start, or always (a loaded model on the CPU is not ready)
#   FLEET_DRIVER_FLOOR                      "550 0.30.11": the driver that the image needs, and since which Ollama
#   FLEET_CARDS, FLEET_DRIVER, FLEET_MODULES, FLEET_RUNTIME, FLEET_UVM    what the machine must have: see verify.sh
#   PULL_DEADLINE=3600      seconds for all pulls of a start, or for one pull beside a running server
#   PULL_TRIES=6            tries of a pull in init, when the fault may pass; RETRY_SECONDS=2 before the second, then doubled
#   LOAD_SECONDS=600        for loading one model
#   WATCH_SECONDS=10        between two looks at the list; REMOVE_SECONDS=180 until what nothing uses is removed
#   SERVER_SECONDS=60       until the server of init answers
#   TERMINATION_LOG=/dev/termination-log    gets one line that says why init failed, or why the GPU is not proven
set -u

here=${0%/*}
# shellcheck source=prepare/shell/failures.sh
. "$here/failures.sh"
# shellcheck source=prepare/shell/base.sh
. "$here/base.sh"
# shellcheck source=prepare/shell/store.sh
. "$here/store.sh"
# shellcheck source=prepare/shell/place.sh
. "$here/place.sh"
# shellcheck source=prepare/shell/client.sh
. "$here/client.sh"
# shellcheck source=prepare/shell/pull.sh
. "$here/pull.sh"
# shellcheck source=prepare/shell/download.sh
. "$here/download.sh"
# shellcheck source=prepare/shell/bring.sh
. "$here/bring.sh"
# shellcheck source=prepare/shell/routes.sh
. "$here/routes.sh"
# shellcheck source=prepare/shell/list.sh
. "$here/list.sh"
# shellcheck source=prepare/shell/inputs.sh
. "$here/inputs.sh"
# shellcheck source=prepare/shell/remove.sh
. "$here/remove.sh"
# shellcheck source=prepare/shell/warm.sh
. "$here/warm.sh"
# shellcheck source=prepare/shell/init.sh
. "$here/init.sh"
# shellcheck source=prepare/shell/watch.sh
. "$here/watch.sh"
# shellcheck source=prepare/shell/verify.sh
. "$here/verify.sh"
# shellcheck source=prepare/shell/serve.sh
. "$here/serve.sh"
# shellcheck source=prepare/shell/proof.sh
. "$here/proof.sh"

usage() {
    echo "usage: prepare.sh init | serve | alone | watch | started | ready | healthy | verify | drain LIMIT" >&2
    exit 2
}

case $mode in
init | serve | alone | watch | started | ready | healthy | verify) "$mode" ;;
drain)
    case ${2:-} in '' | *[!0-9]*) usage ;; esac
    drain "$2"
    ;;
*) usage ;;
esac
