"""For a model that no pool is named for: the line to paste, cheapest fitting pool first."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace

from infra.config import Model, place
from infra.config.types import shown
from infra.plan import cost, memory, nodes, placement, pools, sites
from infra.plan.draft import Draft
from infra.plan.inputs import Inputs
from infra.plan.model import Outcome, Verdict
from infra.plan.placement import Known, ServerSettings
from infra.problem import Problem, error, has_errors

MOST = 3
PLAIN_KEY = re.compile(r"[a-z][\w.-]*(:[\w.-]+)?")
"""Names that YAML takes for text without quotes; `no`, `on` and `yes` are text in YAML 1.2."""


def check(inputs: Inputs, drafts: Mapping[str, Draft]) -> Iterator[Problem]:
    """One error for every known model without pools."""
    for name, model in sorted(inputs.config.models.items()):
        if model.pools or name not in inputs.known:
            continue
        here = place("models", name)
        fitting = _fitting(inputs, name, drafts)
        if fitting:
            yield error(here, "the model has no pool", _line(name, model, fitting))
            continue
        message = f"the model has no pool, and none of the file's holds {shown(name)}"
        pool, gpu = _new_pool(inputs, inputs.known[name], inputs.contexts[name])
        remedy = f"add to pools: {pool}: {{gpu: {gpu}}}, and {_line(name, model, [pool])}"
        yield error(here, message, remedy if gpu else "add a pool that holds it")


def _line(name: str, model: Model, route: list[str]) -> str:
    listed = f"[{', '.join(route)}]"
    if model.model_fields_set:
        # a line of its own would take the place of what the file says of the model
        return f"add to it: pools: {listed}"
    plain = PLAIN_KEY.fullmatch(name) and name not in ("null", "true", "false")
    key = name if plain else f'"{name}"'
    return f"paste: {key}: {listed}"


def _fitting(inputs: Inputs, name: str, drafts: Mapping[str, Draft]) -> list[str]:
    """The cheapest pools that hold the model beside their present ones, each decided anew with it."""
    routed = placement.routed(inputs.config, inputs.known)
    found: list[str] = []
    for _, pool in sorted((_hourly(inputs, drafts[pool]), pool) for pool in _candidates(inputs, name, drafts)):
        if _still_stands(inputs, name, pool, routed[pool], drafts):
            found.append(pool)
        if len(found) == MOST:
            break
    return found


def _candidates(inputs: Inputs, name: str, drafts: Mapping[str, Draft]) -> Iterator[str]:
    """Pools whose device has room for the model by itself: what is worth deciding anew."""
    known, bound = inputs.known[name], inputs.catalogue.gke.memory.fits_up_to
    for pool, draft in drafts.items():
        if draft.runtime.outcome not in (Outcome.WORKS, Outcome.UNKNOWN) or draft.gpu.compute is None:
            continue
        context = _context(inputs, name, pool)
        alone = placement.resident(inputs.catalogue, known, context, draft.settings).need
        if alone.weights <= bound * draft.memory.devices * draft.gpu.memory_mib * memory.MIB:
            yield pool


def _still_stands(inputs: Inputs, name: str, pool: str, models: list[str], drafts: Mapping[str, Draft]) -> bool:
    """Whether the pool with the model on it has no error: memory, blobs, Ollama's version, machine and disk."""
    contexts = dict(inputs.contexts) | {name: _context(inputs, name, pool)}
    drafted, problems = pools.draft(replace(inputs, contexts=contexts), pool, sorted([*models, name]))
    if drafted is None or drafted.memory.verdict is not Verdict.FITS:
        return False
    if drafted.pool.site is None:
        machines, more = nodes.nodes(inputs.catalogue, inputs.config, pool, drafted.pool, drafted.gpu, drafted.load)
        return machines is not None and not has_errors([*problems, *more])
    beside = {other: draft for other, draft in drafts.items() if draft.pool.site == drafted.pool.site}
    _, more = sites.distribute(inputs.catalogue, inputs.config, beside | {pool: drafted})
    return not has_errors([*problems, *more])


def _context(inputs: Inputs, name: str, pool: str) -> int:
    """What the model gets once the pool alone is named for it."""
    context = inputs.config.models[name].context or placement.pool_context(inputs.catalogue, inputs.config, pool)
    facts = inputs.known[name].facts
    return min(context, facts.max_context) if facts else context


def _hourly(inputs: Inputs, draft: Draft) -> float:
    """USD of one more replica."""
    if draft.pool.site is not None or inputs.config.gke is None:
        return 0.0
    machines, _ = nodes.nodes(inputs.catalogue, inputs.config, draft.name, draft.pool, draft.gpu, draft.load)
    if machines is None or machines.hourly is None:
        return float("inf")
    return machines.hourly / machines.replicas_per_node


def _new_pool(inputs: Inputs, model: Known, context: int) -> tuple[str, str]:
    """Name and GPU of a pool to add: the cheapest single GPU that Google sells there and that holds the model."""
    if inputs.config.gke is None:
        return "", ""
    catalogue, location = inputs.catalogue, inputs.config.gke.location
    best: tuple[float, str] | None = None
    for key, gpu in sorted(catalogue.gpus.items()):
        if gpu.google is None or gpu.google.state != "available" or gpu.compute is None:
            continue
        if not any(zone.startswith(location) for zone in gpu.google.zones):
            continue
        settings = ServerSettings(parallel=1, kv_type="f16", flash_attention=gpu.flash_attention)
        candidate = placement.resident(catalogue, model, context, settings)
        if candidate.need.device > catalogue.gke.memory.fits_up_to * gpu.memory_mib * memory.MIB:
            continue
        for machine in nodes.machines_for(catalogue, key, 1):
            hourly = cost.machine_hourly(catalogue, location, machine, gpu=key, gpus=1, spot=False)
            if hourly is not None and (best is None or (hourly, key) < best):
                best = (hourly, key)
    if best is None:
        return "", ""
    names = (best[1], *(f"{best[1]}-{number}" for number in range(2, len(inputs.config.pools) + 3)))
    return next(name for name in names if name not in inputs.config.pools), best[1]
