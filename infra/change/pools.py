"""What happens to pools and models: which pool serves nothing for a while, and who stands in for it."""

from collections.abc import Iterator, Mapping
from dataclasses import replace

from infra.change.model import Action, ModelChange, PoolChange, ResourceChange
from infra.plan.model import FleetPlan, ModelPlan, PoolPlan, Prepared

Resources = Mapping[str, ResourceChange]
"""The changed resources by their name in the program."""
POD = "spec.template"


def pools(before: FleetPlan | None, after: FleetPlan | None, resources: Resources) -> tuple[PoolChange, ...]:
    """Every pool that differs or whose resources change, in order of names."""
    old = {pool.name: pool for pool in before.pools} if before else {}
    new = {pool.name: pool for pool in after.pools} if after else {}
    found = [
        change
        for name in sorted({*old, *new})
        if (change := _pool(name, old.get(name), new.get(name), resources)) is not None
    ]
    return tuple(_with_fallbacks(change, found, before, after) for change in found)


def _pool(name: str, old: PoolPlan | None, new: PoolPlan | None, resources: Resources) -> PoolChange | None:
    nodes = resources.get(f"{name}-pool-nodes")
    server = resources.get(f"{name}-server-deployment")
    daemons = resources.get(f"{name}-driver-daemon-set")
    if old == new and not (nodes or server or daemons):
        return None
    if old is None and new is not None:
        return PoolChange(name=name, added=True, nodes=_action(nodes), fetches=_fetches(None, new))
    if new is None:
        return PoolChange(name=name, removed=True, nodes=_action(nodes))
    if old is None:
        return None
    rolls = server is not None and server.action is not Action.DELETE
    restarts = rolls and server is not None and any(one.path.startswith(POD) for one in server.properties)
    recreated = nodes is not None and nodes.recreates_nodes
    gone = [one for one in (nodes, server) if one is not None and one.action in (Action.REPLACE, Action.DELETE)]
    one_node = new.nodes is not None and new.nodes.maximum == 1
    alone = (restarts and new.replicas.max == 1) or (recreated and one_node)
    return PoolChange(
        name=name,
        nodes=_action(nodes),
        recreated=recreated,
        reasons=tuple(reason for one in gone for reason in one.reasons),
        restarts=restarts,
        down=bool(gone) or alone or old.site != new.site,
        driver_changes=(old.driver.mode, old.driver.request) != (new.driver.mode, new.driver.request),
        fetches=_fetches(old, new),
    )


def _action(resource: ResourceChange | None) -> Action | None:
    return resource.action if resource else None


def _fetches(old: PoolPlan | None, new: PoolPlan) -> tuple[str, ...]:
    """The models that have to be brought into place there."""
    here: set[Prepared] = set(old.prepared) if old else set()
    return tuple(sorted({one.name for one in new.prepared if one not in here}))


def _with_fallbacks(
    change: PoolChange, found: list[PoolChange], before: FleetPlan | None, after: FleetPlan | None
) -> PoolChange:
    if not change.down or before is None or after is None:
        return change
    served = {model.name: model for model in before.models}
    stand_in: dict[str, str | None] = {}
    for model in after.models:
        if change.name not in model.route or model.name not in served:
            continue
        other = next(iter(meanwhile(served[model.name], model, found)), None)
        # one that stands before this pool in the route serves the model anyway
        if other is None or model.route.index(other) > model.route.index(change.name):
            stand_in[model.name] = other
    return replace(change, fallbacks=stand_in)


def meanwhile(old: ModelPlan, new: ModelPlan, found: list[PoolChange] | tuple[PoolChange, ...]) -> tuple[str, ...]:
    """The pools of the new route that have the model already and stay up, in order of preference."""
    out = {change.name for change in found if change.down or change.added}
    return tuple(name for name in new.route if name in old.route and name not in out)


def models(before: FleetPlan | None, after: FleetPlan | None) -> tuple[ModelChange, ...]:
    """Every model that came, went or is served otherwise, in order of names."""
    return tuple(_models(before, after))


def _models(before: FleetPlan | None, after: FleetPlan | None) -> Iterator[ModelChange]:
    old = {model.name: model for model in before.models} if before else {}
    new = {model.name: model for model in after.models} if after else {}
    was, now = _prepared(before), _prepared(after)
    for name in sorted({*old, *new}):
        one, other = old.get(name), new.get(name)
        if one is None or other is None:
            yield ModelChange(name=name, before=one.route if one else None, after=other.route if other else None)
            continue
        there, here = was.get(name), now.get(name)
        digests = (there.digest if there else None, here.digest if here else None)
        defined = there is not None and here is not None and (there.action, there.source) != (here.action, here.source)
        change = ModelChange(
            name=name,
            before=one.route,
            after=other.route,
            digest=digests if digests[0] != digests[1] else None,
            context=(one.context, other.context) if one.context != other.context else None,
            defined_anew=defined,
        )
        if change.moved or change.digest or change.context or defined:
            yield change


def _prepared(plan: FleetPlan | None) -> dict[str, Prepared]:
    return {one.name: one for pool in plan.pools for one in pool.prepared} if plan else {}
