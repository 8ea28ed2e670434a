"""Models and aliases as the report and the map show them."""

from collections.abc import Mapping, Sequence

from infra.config import FleetConfig, Model, place
from infra.names import canonical_model
from infra.plan.inputs import Inputs
from infra.plan.model import AliasPlan, ModelPlan, PoolPlan
from infra.plan.modelfile import root
from infra.problem import Problem, warning


def build(inputs: Inputs, planned: Sequence[PoolPlan]) -> tuple[tuple[ModelPlan, ...], list[Problem]]:
    """Every model that is known and routed, by name."""
    residents = {(pool.name, resident.model): resident for pool in planned for resident in pool.residents}
    by_name = {canonical_model(name): model for name, model in inputs.config.models.items()}
    pinned = {name for name in inputs.known if _pinned(inputs, by_name, name)}
    plans = []
    for name in sorted(inputs.known):
        declared = inputs.config.models[name]
        route = tuple(pool for pool in declared.pools if (pool, name) in residents)
        if not route:
            continue
        first = residents[route[0], name]
        plans.append(
            ModelPlan(
                name=name,
                route=route,
                context=inputs.contexts[name],
                pinned=name in pinned,
                known=inputs.known[name].facts is not None,
                need=first.need.device,
                shares=first.shares,
                embedding=inputs.known[name].embedding,
            )
        )
    fetched = [plan for plan in plans if any(_is_ours(inputs.config, pool) for pool in plan.route)]
    return tuple(plans), _unpinned(fetched)


def _is_ours(config: FleetConfig, pool: str) -> bool:
    """Whether the fleet brings the pool's models into place."""
    site = config.sites.get(config.pools[pool].site or "")
    return site is None or site.kind != "endpoints"


def _pinned(inputs: Inputs, by_name: Mapping[str, Model], name: str) -> bool:
    """Whether the weights are held to a digest: what is made from a Modelfile stands as still as what is under it."""
    base = by_name.get(canonical_model(root(name, inputs.derived)))
    return base is not None and base.digest is not None and set(inputs.config.models[name].pools) <= set(base.pools)


def _unpinned(plans: Sequence[ModelPlan]) -> list[Problem]:
    loose = [plan.name for plan in plans if not plan.pinned]
    if not loose:
        return []
    return [
        warning(
            place("models"),
            f"{len(loose)} of {len(plans)} not pinned to a digest: what a tag stands for may change between two pods",
            "fleet pin writes them down, or write digest: <64 hex digits> at each",
        )
    ]


def aliases(config: FleetConfig) -> tuple[AliasPlan, ...]:
    """Every alias, its targets spelled as the models are declared."""
    declared = {canonical_model(name): name for name in config.models}
    return tuple(
        AliasPlan(
            name=name,
            targets={
                declared[canonical_model(target)]: weight
                for target, weight in sorted(entry.targets.items())
                if canonical_model(target) in declared
            },
        )
        for name, entry in sorted(config.aliases.items())
        if any(canonical_model(target) in declared for target in entry.targets)
    )
