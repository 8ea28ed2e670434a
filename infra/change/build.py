"""Orders the steps from two sides to what their difference does. It holds no rule of its own."""

import re
from dataclasses import dataclass

from infra.change import keys, pools, resources, risks
from infra.change.model import FleetChange, ResourceChange
from infra.config import FleetConfig
from infra.plan.model import FleetPlan
from infra.problem import Problem, Severity


@dataclass(frozen=True, kw_only=True)
class Side:
    """One revision of a stack: its file as read, its plan, and what its program registers (None: unknown)."""

    config: FleetConfig
    plan: FleetPlan
    program: resources.Program | None


def build(
    *,
    stack: str,
    base: str,
    head: str,
    before: Side | None,
    after: Side | None,
    notes: tuple[str, ...] = (),
    code_compared: bool = False,
) -> FleetChange:
    """What happens between two sides. A side that is None has no such stack: there everything is new, or goes."""
    was, now = before.plan if before else None, after.plan if after else None
    changed = _resources(before, after)
    by_name = {one.name: one for one in changed or () if not one.component}
    of_pools = pools.pools(was, now, by_name)
    known = {_gist(one) for one in was.problems} if was else set()
    return FleetChange(
        stack=stack,
        base=base,
        head=head,
        before=was,
        after=now,
        keys=keys.differing(before.config if before else None, after.config if after else None),
        pools=of_pools,
        models=pools.models(was, now),
        resources=changed,
        notes=(*notes, *_priced_elsewhere(now)),
        risks=risks.risks(was, now, of_pools, changed),
        new_warnings=tuple(
            one for one in (now.problems if now else ()) if one.severity is Severity.WARNING and _gist(one) not in known
        ),
        code_compared=code_compared,
    )


def _priced_elsewhere(plan: FleetPlan | None) -> tuple[str, ...]:
    if plan is None or plan.cost is None or plan.cost.region == plan.cost.priced_in:
        return ()
    return (f"the catalogue has no prices of {plan.cost.region}: the money is that of {plan.cost.priced_in}",)


def _gist(problem: Problem) -> tuple[str, str]:
    """What a problem says but for its figures: `6 of 7` is no other warning than `5 of 6`."""
    return problem.place, re.sub(r"\d[\d.,]*", "N", problem.message)


def _resources(before: Side | None, after: Side | None) -> tuple[ResourceChange, ...] | None:
    if after is None:
        # a file that is gone changes nothing by itself
        return ()
    old = before.program if before else {}
    return None if old is None or after.program is None else resources.compare(old, after.program)
