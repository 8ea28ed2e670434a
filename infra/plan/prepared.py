"""What must be in place on a pool before it is ready: models, what is made from them, and copies for aliases."""

from collections.abc import Iterator, Mapping, Sequence

from infra.config import Model, Pool, place
from infra.names import canonical_model
from infra.plan import modelfile, placement, sources
from infra.plan.inputs import Inputs
from infra.plan.model import CONFIG_MAP_BYTES, PoolPlan, Prepared
from infra.problem import Problem, error

BYTES_OF_A_DEFINITION = 100
"""What a definition takes beside its name and text: action, digest, the name of its file."""


def on_pool(inputs: Inputs, pool: str, models: Sequence[str]) -> Iterator[Prepared]:
    """What must be in place on a pool, in the order in which it can be made."""
    yield from _made(inputs, pool, modelfile.in_order(list(models), inputs.derived))
    there = {canonical_model(name): name for name in models}
    for alias, entry in sorted(inputs.config.aliases.items()):
        for target in sorted(entry.targets):
            if canonical_model(target) in there:
                yield Prepared(name=alias, action="copy", source=there[canonical_model(target)])


def elsewhere(inputs: Inputs, pool: str, models: Sequence[str]) -> Mapping[str, tuple[Prepared, ...]]:
    """How each model that is not routed to the pool would be made on it."""
    return {
        name: tuple(_made(inputs, pool, modelfile.made_from(name, inputs.derived, inputs.known)))
        for name in sorted(set(inputs.known) - set(models))
    }


def _made(inputs: Inputs, pool: str, models: Sequence[str]) -> Iterator[Prepared]:
    """The steps for `models`, which stand in order.

    A model whose context is not what the server would give it is made again under its own name with `num_ctx`.
    """
    config, derived, entry = inputs.config, inputs.derived, inputs.config.pools[pool]
    server_context = placement.pool_context(inputs.catalogue, config, pool)
    there = {canonical_model(name) for name in models}
    for name in models:
        made = derived.get(name)
        declared = config.models[name]
        if made is None:
            yield _fetched(entry, declared, name)
        elif not made.base_is_file and canonical_model(made.base) not in there:
            # nobody asks for it by its name: it is there for what is made from it
            there.add(canonical_model(made.base))
            yield _fetched(entry, None, made.base)
        context, facts = inputs.contexts[name], inputs.known[name].facts
        differs = context != min(server_context, facts.max_context if facts else server_context)
        option = f"PARAMETER num_ctx {context}\n" if differs else ""
        if made is not None:
            yield Prepared(name=name, action="create", source=made.text + option, digest=declared.digest)
        elif option:
            yield Prepared(name=name, action="create", source=f"FROM {name}\n{option}")


def _fetched(pool: Pool, model: Model | None, name: str) -> Prepared:
    digest = model.digest if model else None
    source = sources.source(pool, model, name)
    if source is None:
        return Prepared(name=name, action="verify", digest=digest)
    return Prepared(name=name, action="pull", source=source, digest=digest)


def check(planned: Sequence[PoolPlan]) -> Iterator[Problem]:
    """Model definitions beyond what a ConfigMap holds: Kubernetes would refuse it at apply."""
    for pool in planned:
        needed = sum(
            len(one.source.encode(errors="replace")) + 2 * len(one.name) + BYTES_OF_A_DEFINITION
            for one in pool.prepared
        )
        if pool.nodes is not None and needed > CONFIG_MAP_BYTES:
            yield error(
                place("pools", pool.name),
                f"the definitions of its models need about {needed / CONFIG_MAP_BYTES:.1f} MiB in a ConfigMap, "
                "which holds 1 MiB",
                "shorten the Modelfiles, or divide the models over two pools",
            )
