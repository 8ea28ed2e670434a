"""`fleet preflight`: do machine and project have what the plan needs? Needs credentials, changes nothing."""

import argparse
import shutil
import sys

from infra.catalogue import load
from infra.commands import common
from infra.plan.model import FleetPlan
from infra.preflight import checks
from infra.preflight.model import Cloud, Finding, State
from infra.problem import has_errors
from infra.stack import UnreadableError
from infra.visible import visible

HELP = (
    "programs, project, billing, APIs, quotas, zones, NAT, prices: asked of Google (needs credentials, changes nothing)"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `fleet preflight`."""
    common.add_stack_option(parser)


def run(arguments: argparse.Namespace) -> int:
    """0 when nothing is missing; 1 where `up` would fail; 2 without the clients or credentials."""
    plan = common.plan_of(common.read_stack(arguments))
    if has_errors(plan.problems):
        return common.say_errors(plan.problems)
    states = []
    for finding in checks.check(plan, load(), cloud, _find):
        # Google may take its time with the next answer, or be out of reach
        sys.stdout.write(_lines(finding))
        sys.stdout.flush()
        states.append(finding.state)
    missing, doubt, unknown = (states.count(state) for state in (State.MISSING, State.DOUBT, State.UNKNOWN))
    sys.stdout.write(f"\n{missing} missing, {doubt} in doubt, {unknown} not checked\n")
    return common.ERRORS if missing else common.OK


def allows(plan: FleetPlan) -> bool:
    """Whether `up` may begin: what is missing or in doubt goes to standard error.

    Without Google's clients or credentials it says so and lets pass: Pulumi will find out by itself, later.
    """
    complete = True
    try:
        for one in checks.check(plan, load(), cloud, _find):
            complete = complete and one.state is not State.MISSING
            if one.state in (State.MISSING, State.DOUBT):
                sys.stderr.write(_lines(one))
    except UnreadableError as left_out:
        sys.stderr.write(f"preflight left out: {left_out.problem.message}; {left_out.problem.remedy}\n")
        return True
    return complete


def _find(name: str) -> str | None:
    if (found := shutil.which(name)) is not None or name != "pulumi":
        return found
    from tools import find

    cached = find(name)
    return str(cached) if cached else None


def cloud() -> Cloud:
    """Google Cloud through its official clients. Raises UnreadableError without them or without credentials."""
    from infra.commands.google_cloud import GoogleCloud

    return GoogleCloud()


def _lines(finding: Finding) -> str:
    remedy = f"             -> {visible(finding.remedy)}\n" if finding.remedy and finding.state is not State.OK else ""
    return f"{finding.state:<11}  {visible(finding.subject)}: {visible(finding.message)}\n{remedy}"
