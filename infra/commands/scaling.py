"""What `fleet pause` and `fleet resume` share: GPU pools to no pod and back, by kubectl, and nothing else touched."""

import argparse
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from typing import Literal

from infra.commands import common
from infra.plan.model import FleetPlan, PoolPlan
from infra.problem import error, has_errors
from infra.stack import UnreadableError
from infra.visible import visible

PAUSED = "autoscaling.keda.sh/paused-replicas"
"""Of a ScaledObject: KEDA sets this number of replicas and leaves it there (https://keda.sh/docs/2.20, 2026-11-21)."""
SECONDS = 60
CLUSTER = "--output=jsonpath={.contexts[0].context.cluster}"
CREDENTIALS = "gcloud container clusters get-credentials as `pulumi stack output commands` prints it, then again"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of both."""
    common.add_stack_option(parser)
    parser.add_argument("--context", metavar="NAME", help="kubectl's context; default: the current one")
    parser.add_argument("--dry-run", action="store_true", help="print the kubectl commands, and run none")


def run(operation: Literal["pause", "resume"], arguments: argparse.Namespace) -> int:
    """0 when every pool follows; 1 for a plan with errors, or where a pool does not: the others were told all the
    same. Raises UnreadableError, and tells nobody anything, where kubectl leads to a cluster that is not the plan's."""
    plan = common.plan_of(common.read_stack(arguments))
    # a fleet that costs too much is the one to pause
    if has_errors(hindrances := common.but_for_money(plan)):
        return common.say_errors(hindrances)
    pools = [pool for pool in plan.pools if pool.nodes is not None and pool.gpus_per_replica]
    if not pools:
        common.write("no pool with a GPU stands on GKE: nothing to do\n")
        return common.OK
    kubectl = "kubectl" if arguments.dry_run else shutil.which("kubectl")
    if kubectl is None:
        raise UnreadableError(
            error("kubectl", "it is not on PATH", "install it: https://kubernetes.io/docs/tasks/tools")
        )
    context = ["--context", arguments.context] if arguments.context else []
    if not arguments.dry_run:
        _is_ours([kubectl, *context], plan, named=bool(context))
    status = common.OK
    for pool in pools:
        command = [kubectl, *context, "--namespace", plan.namespace, *_told(operation, pool)]
        if arguments.dry_run:
            common.write(shlex.join(command) + "\n")
        elif not _does(command, pool):
            status = common.ERRORS
    if status == common.OK and not arguments.dry_run:
        common.write("".join(f"{line}\n" for line in _outcome(operation, plan, pools)))
    return status


def _told(operation: Literal["pause", "resume"], pool: PoolPlan) -> Sequence[str]:
    pausing, name = operation == "pause", pool.names.workload
    if pool.replicas.scales and pool.scaling.by_keda:
        return ["annotate", "scaledobject", name, f"{PAUSED}=0" if pausing else f"{PAUSED}-", "--overwrite"]
    # an autoscaler of Kubernetes rests while its target has no replica
    return ["scale", "deployment", name, f"--replicas={0 if pausing else pool.replicas.min}"]


def _is_ours(kubectl: Sequence[str], plan: FleetPlan, *, named: bool) -> None:
    """Every stack calls its pools alike, so the wrong context would pause the pools of another fleet.

    gcloud calls a cluster by project, location and name. Who calls it otherwise has to name the context.
    """
    cluster = plan.cluster
    done = _run([*kubectl, "config", "view", "--minify", CLUSTER])
    found = done.stdout.strip() if isinstance(done, subprocess.CompletedProcess) else ""
    if not found:
        trouble = "there is no such context" if named else "kubectl has no current context"
        raise UnreadableError(error("--context", trouble, CREDENTIALS))
    ours = f"gke_{cluster.project}_{cluster.location}_{cluster.name}" if cluster else ""
    if found != ours and (found.startswith("gke_") or not named):
        raise UnreadableError(
            error(
                "--context",
                f"kubectl's leads to {visible(found)}, and stack {plan.stack} stands in {ours}",
                f"--context NAME of that one; or {CREDENTIALS}",
            )
        )


def _does(command: Sequence[str], pool: PoolPlan) -> bool:
    done = _run(command)
    if isinstance(done, str):
        trouble = f"kubectl did not answer: {done}"
    elif done.returncode:
        trouble = (done.stderr.strip().splitlines() or [f"kubectl ends with {done.returncode}"])[-1]
    else:
        return True
    sys.stdout.flush()
    common.say(error(f"pool {pool.name}", visible(trouble), CREDENTIALS))
    return False


def _run(command: Sequence[str]) -> subprocess.CompletedProcess[str] | str:
    """What came of it, or why nothing did."""
    try:
        return subprocess.run(  # noqa: S603 - no shell, and names that the plan checked
            command, capture_output=True, text=True, errors="replace", timeout=SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as broken:
        return type(broken).__name__


def _outcome(operation: Literal["pause", "resume"], plan: FleetPlan, pools: Sequence[PoolPlan]) -> Iterator[str]:
    names = ", ".join(pool.name for pool in pools)
    if operation == "resume":
        yield f"resumed {names}: each has its minimum again, and follows its requests"
        return
    yield f"paused {names}: no pod, and no node about ten minutes later; `fleet resume` undoes it, `fleet up` does not"
    saved = sum((plan.cost.pool(pool.name).minimum for pool in pools), 0.0) if plan.cost else 0.0
    if saved and plan.cost:
        yield f"saves ${saved:,.2f} an hour of what the pools cost at their minimum"
