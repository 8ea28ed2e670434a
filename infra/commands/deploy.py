"""`fleet preview`, `up`, `destroy`: the real Pulumi with real providers, after the checks that need no account."""

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

from infra.commands import common, preflight
from infra.plan.model import FleetPlan
from infra.problem import error, has_errors
from infra.stack import UnreadableError

PROJECT_FILE = "Pulumi.yaml"
STATE_FOLDER = ".pulumi-state"
PLACEHOLDER_PROJECT = "example-project"
PULUMI_REMEDY = "install it: https://www.pulumi.com/docs/install/"
LANGUAGE_HOST = "pulumi-language-python"
"""Ships beside the official CLI; one that `make tools` built from Go modules has none, and serves the tests alone."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of all three."""
    common.add_stack_option(parser)
    parser.add_argument(
        "--local-state", action="store_true", help=f"keep the state in {STATE_FOLDER}/ instead of your Pulumi backend"
    )
    parser.add_argument("--yes", action="store_true", help="do not ask; for pipelines")


def run(operation: str, arguments: argparse.Namespace) -> int:
    """Plan, check, then hand over to Pulumi and return its exit status."""
    stack = common.read_stack(arguments)
    plan = common.plan_of(stack)
    if has_errors(plan.problems) and operation != "destroy":
        return common.say_errors(plan.problems)
    folder = arguments.cwd.resolve()
    if not (folder / PROJECT_FILE).exists():
        raise UnreadableError(
            error(
                "--cwd",
                f"there is no {PROJECT_FILE} in {arguments.cwd}, so Pulumi has no program to run there",
                f"copy Pulumi.{stack.name}.yaml beside the {PROJECT_FILE} of this project",
            )
        )
    pulumi = _pulumi()
    _check(plan, operation)
    environment = _environment(folder, local=arguments.local_state)
    if operation == "destroy" and plan.cluster is not None and not plan.cluster.existing:
        # once the cluster is gone its objects cannot be asked for, and need not be
        environment.setdefault("PULUMI_K8S_DELETE_UNREACHABLE", "true")
    _logged_in(pulumi, environment, folder)
    _select(pulumi, stack.name, environment, folder)
    if operation == "up" and plan.cluster is not None and not preflight.allows(plan):
        return common.ERRORS
    command = [
        pulumi,
        operation,
        "--stack",
        stack.name,
        *(["--yes"] if arguments.yes and operation != "preview" else []),
    ]
    status = subprocess.run(command, env=environment, cwd=folder, check=False).returncode
    if operation == "destroy" and status == 0:
        sys.stdout.write(_what_remains(plan))
    if operation in ("up", "destroy") and status != 0 and (names := _applied(plan)):
        sys.stderr.write(_unreachable(names, operation))
    return status


def _pulumi() -> str:
    """The Pulumi CLI: a new enough one on PATH, else the one that `make tools` brought. Raises UnreadableError."""
    from tools import find, pins

    on_path = shutil.which("pulumi")
    found = find("pulumi")
    if found is None and on_path is None:
        raise UnreadableError(error("pulumi", "the Pulumi CLI is not on PATH", PULUMI_REMEDY))
    if found is None:
        message = f"this Pulumi CLI does not run here, or is older than {pins()['pulumi'].minimum}"
        raise UnreadableError(error(str(on_path), message, PULUMI_REMEDY))
    # one on PATH may be a link or a wrapper, with its language hosts elsewhere
    if str(found) != on_path and not found.with_name(LANGUAGE_HOST).exists():
        message = f"no fitting one is on PATH, and the one that `make tools` built for the tests has no {LANGUAGE_HOST}"
        raise UnreadableError(error("pulumi", message, PULUMI_REMEDY))
    return str(found)


def _check(plan: FleetPlan, operation: str) -> None:
    if plan.cluster is None or (operation == "destroy" and not plan.cluster.existing):
        return
    if plan.cluster.project == PLACEHOLDER_PROJECT:
        raise UnreadableError(
            error(
                "gcp:project",
                f"{PLACEHOLDER_PROJECT} is a placeholder",
                f"write your project's id in Pulumi.{plan.stack}.yaml below config",
            )
        )
    if shutil.which("gke-gcloud-auth-plugin") is None:
        raise UnreadableError(
            error(
                "gke-gcloud-auth-plugin",
                "it is not on PATH, and nothing inside the cluster can be reached without it",
                "gcloud components install gke-gcloud-auth-plugin",
            )
        )


def _environment(folder: Path, *, local: bool) -> dict[str, str]:
    environment = dict(os.environ)
    if local:
        state = folder / STATE_FOLDER
        state.mkdir(mode=0o700, exist_ok=True)
        environment["PULUMI_BACKEND_URL"] = state.as_uri()
    return environment


def _logged_in(pulumi: str, environment: dict[str, str], folder: Path) -> None:
    asked = subprocess.run(
        [pulumi, "whoami", "--non-interactive"], env=environment, cwd=folder, capture_output=True, check=False
    )
    if asked.returncode != 0:
        raise UnreadableError(
            error(
                "pulumi login",
                "Pulumi has no backend to keep the state in",
                "pulumi login (or: pulumi login gs://BUCKET), or STATE=local for a folder on this machine",
            )
        )


def _select(pulumi: str, stack: str, environment: dict[str, str], folder: Path) -> None:
    selected = subprocess.run(
        [pulumi, "stack", "select", "--create", "--stack", stack], env=environment, cwd=folder, check=False
    )
    if selected.returncode != 0:
        raise UnreadableError(
            error("pulumi stack", f"the stack {stack} cannot be selected", "see Pulumi's message above")
        )


def _what_remains(plan: FleetPlan) -> str:
    return f"{_costs(plan)}{_forgotten(plan)}"


def _forgotten(plan: FleetPlan) -> str:
    """With a cluster of its own the state lets go of what does not answer, at a site too."""
    names = _applied(plan)
    if not names or plan.cluster is None or plan.cluster.existing:
        return ""
    return (
        f"A site that did not answer keeps its objects, and nobody knows of them any more ({', '.join(names)}): "
        "the first lines of `fleet manifests --site NAME` say how to take them away.\n"
    )


def _applied(plan: FleetPlan) -> list[str]:
    """The sites that `up` applies to."""
    return [site.name for site in plan.sites if site.cluster is not None and site.cluster.applied]


def _unreachable(names: list[str], operation: str) -> str:
    """What mends the one failure that lies at no line of the file: Pulumi knows the cause, and not what to do."""
    wait = {
        "up": "what is there already waits for it; what is new or goes needs it back, or `apply: manual` until then",
        "destroy": "its objects stay in the state until it is back; PULUMI_K8S_DELETE_UNREACHABLE=true forgets them",
    }
    return (
        f"Where Pulumi says `cluster is unreachable` of something at a site ({', '.join(names)}): the site is off, or "
        f"its context or kubeconfig leads nowhere (kubectl --context CONTEXT get nodes tells); {wait[operation]}.\n"
    )


def _costs(plan: FleetPlan) -> str:
    if plan.cluster is None:
        return "Nothing of this stack costs anything.\n"
    if plan.cluster.existing:
        return f"The cluster {plan.cluster.name} was here before and stays, with what it costs.\n"
    return (
        "Nothing of this stack costs anything any more. Left: the Google APIs that it enabled (free), "
        "and its state, until `pulumi stack rm`.\n"
    )
