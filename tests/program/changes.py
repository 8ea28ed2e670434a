"""What `fleet diff` says of two fleet objects, without git."""

import json
from functools import cache
from typing import Any

from infra.change.build import Side, build
from infra.change.model import FleetChange
from infra.change.resources import program
from infra.config import FleetConfig, parse
from infra.problem import has_errors
from tests.program.programs import plan_of, run


def side(fleet: Any) -> Side:
    """A fleet object, read, planned and recorded."""
    return _side(json.dumps(fleet, sort_keys=True))


@cache
def _side(text: str) -> Side:
    fleet = json.loads(text)
    plan = plan_of(fleet)
    recorded = None if has_errors(plan.problems) else program(json.loads(run(fleet).to_json()))
    return Side(config=parse(fleet).config or FleetConfig(), plan=plan, program=recorded)


def change_of(before: Any, after: Any) -> FleetChange:
    """What happens from one fleet object to the other."""
    return build(stack="dev", base="main", head="working tree", before=side(before), after=side(after))


def actions(change: FleetChange) -> dict[str, list[str]]:
    """Names by action, as `Steps.changes` of the engine tier has them."""
    found: dict[str, list[str]] = {}
    for one in change.resources or ():
        found.setdefault(str(one.action), []).append(one.name)
    return {action: sorted(names) for action, names in sorted(found.items())}
