"""What `fleet pause` and `fleet resume` share: GPU pools to no pod and back, by kubectl, and nothing else touched."""

import argparse
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from typing import Literal

from infra.commands import common
from infra.plan.model import FleetPlan, PoolPlan
from infra.problem import error, has_errors
from infra.stack import UnreadableError

PAUSED = "autoscaling.keda.sh/paused-replicas"
"""Of a ScaledObject: KEDA sets this number of replicas and leaves it there (https://keda.sh/docs/2.20, 2026-11-21)."""
SECONDS = 60


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of both."""
    common.add_stack_option(parser)
    parser.add_argument("--context", metavar="NAME", help="kubectl's context; default: the current one")
    parser.add_argument("--dry-run", action="store_true", help="print the kubectl commands, and run none")


def run(operation: Literal["pause", "resume"], arguments: argparse.Namespace) -> int:
    """0 when every pool follows; 1 for a plan with errors, or where a pool does not: the others were told all the
    same."""
    plan = common.plan_of(common.read_stack(arguments))
    if has_errors(plan.problems):
        return common.say_errors(plan.problems)
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
    status = common.OK
    for pool in pools:
        command = [kubectl, *context, "--namespace", plan.namespace, *_told(operation, pool)]
        if arguments.dry_run:
            common.write(" ".join(command) + "\n")
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


def _does(command: Sequence[str], pool: PoolPlan) -> bool:
    try:
        done = subprocess.run(  # noqa: S603 - no shell, and names that the plan checked
            command, capture_output=True, text=True, timeout=SECONDS, check=False
        )
        trouble = done.stderr.strip() if done.returncode else ""
        failed = done.returncode != 0
    except (OSError, subprocess.TimeoutExpired) as broken:
        failed, trouble = True, f"kubectl did not answer: {type(broken).__name__}"
    sys.stdout.flush()
    if failed:
        last = trouble.splitlines()[-1] if trouble else f"kubectl ends with {done.returncode}"
        common.say(
            error(
                f"pool {pool.name}",
                last,
                "gcloud container clusters get-credentials as `pulumi stack output commands` prints it, then again",
            )
        )
    return not failed


def _outcome(operation: Literal["pause", "resume"], plan: FleetPlan, pools: Sequence[PoolPlan]) -> Iterator[str]:
    names = ", ".join(pool.name for pool in pools)
    if operation == "resume":
        yield f"resumed {names}: each has its minimum again, and follows its requests"
        return
    yield f"paused {names}: no pod, and no node about ten minutes later; `fleet resume` undoes it, `fleet up` does not"
    saved = sum((plan.cost.pool(pool.name).minimum for pool in pools), 0.0) if plan.cost else 0.0
    if saved and plan.cost:
        yield f"saves ${saved:,.2f} an hour of what the pools cost at their minimum"
