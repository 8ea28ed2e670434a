"""Which model stands where: what is known of it, its context, and what shares a blob on one server."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from infra.catalogue.types import Catalogue
from infra.catalogue.types import Model as ModelFacts
from infra.config import FleetConfig, place
from infra.names import canonical_model
from infra.plan import memory
from infra.plan.model import Need, Resident
from infra.plan.modelfile import Derived, root
from infra.problem import Problem, error, warning


@dataclass(frozen=True, kw_only=True)
class Known:
    """What the plan knows of a model: the catalogue's facts, or the file's own figures."""

    name: str
    blob: str
    """The canonical name of the weights; two models with one blob are loaded once."""
    facts: ModelFacts | None
    vram: int
    disk: int

    @property
    def embedding(self) -> bool:
        """Whether it is an encoder."""
        return self.facts is not None and self.facts.kind == "embedding"


@dataclass(frozen=True, kw_only=True)
class ServerSettings:
    """Settings of a pool's server that decide about memory."""

    parallel: int
    kv_type: str
    flash_attention: bool


def know(
    catalogue: Catalogue, config: FleetConfig, derived: Mapping[str, Derived]
) -> tuple[dict[str, Known], list[Problem]]:
    """Looks every model up; one that is neither known nor described is an error."""
    entries = {canonical_model(name): (name, facts) for name, facts in catalogue.models.items()}
    entries |= {canonical_model(name): (tag, catalogue.models[tag]) for name, tag in catalogue.latest.tags.items()}
    known: dict[str, Known] = {}
    problems: list[Problem] = []
    broken = {
        canonical_model(name)
        for name, model in config.models.items()
        if model.modelfile is not None and name not in derived
    }
    for name, model in sorted(config.models.items()):
        base = root(name, derived)
        if canonical_model(base) in broken:
            continue  # its Modelfile is told of already, and what stands on it cannot be judged
        # weights from a file are what the file says, whatever the catalogue has under the model's name
        file = derived[base].base if base in derived else None
        title, facts = (file, None) if file else entries.get(canonical_model(base), (base, None))
        declared = config.models.get(base)
        vram = model.vram or (declared.vram if declared else None)
        disk = model.disk or (declared.disk if declared else None)
        if facts is None and (vram is None or disk is None):
            nearest = get_close_matches(base, list(catalogue.models), n=1, cutoff=0.6)
            problems.append(
                error(
                    place("models", name),
                    f"the catalogue does not know {file or base}, so nothing can be said about its memory",
                    (f"did you mean {nearest[0]}? else " if nearest else "")
                    + ("" if file else "`fleet pin` asks its registry; or ")
                    + "add vram: and disk:, what it needs on the GPU and on disk",
                )
            )
            continue
        if facts is not None and model.vram is not None:
            problems.append(
                warning(
                    place("models", name, "vram"),
                    f"the catalogue knows {title}: its memory is reckoned from its shape, and this figure is not used",
                    "take vram out",
                )
            )
        if name != base and model.disk is not None and (facts is not None or (declared and declared.disk)):
            problems.append(
                warning(
                    place("models", name, "disk"),
                    f"it shares the weights of {base}: they are counted once, and this figure is not used",
                    "take disk out",
                )
            )
            disk = declared.disk if declared else None
        size = int(facts.size_gb * 10**9) if facts else 0
        known[name] = Known(name=name, blob=canonical_model(title), facts=facts, vram=vram or 0, disk=disk or size)
    return known, problems


def contexts(
    catalogue: Catalogue, config: FleetConfig, known: Mapping[str, Known]
) -> tuple[dict[str, int], list[Problem]]:
    """One context per model, the same on all its pools: its own, else its pools' smallest, capped at its most."""
    result: dict[str, int] = {}
    problems: list[Problem] = []
    for name, model in sorted(config.models.items()):
        facts = known[name].facts if name in known else None
        offered = {pool: pool_context(catalogue, config, pool) for pool in model.pools if pool in config.pools}
        context = model.context or min(offered.values(), default=catalogue.gke.context)
        if model.context is None and len(set(offered.values())) > 1:
            listed = ", ".join(f"{pool} {value}" for pool, value in sorted(offered.items()))
            problems.append(
                warning(
                    place("models", name),
                    f"its pools differ in context ({listed}): it gets the smallest, {context}, on all of them",
                    "write context: N at the model to choose",
                )
            )
        if facts is not None and context > facts.max_context:
            if model.context is not None:
                problems.append(
                    warning(
                        place("models", name, "context"),
                        f"{name} ends at {facts.max_context} tokens: {context} is capped",
                        f"write context: {facts.max_context}",
                    )
                )
            context = facts.max_context
        result[name] = context
    return result, problems


def pool_context(catalogue: Catalogue, config: FleetConfig, pool: str) -> int:
    """The pool's own context, else the default."""
    return config.pools[pool].context or catalogue.gke.context


def routed(config: FleetConfig, known: Mapping[str, Known]) -> dict[str, list[str]]:
    """The models of each pool, by name."""
    by_pool: dict[str, list[str]] = {pool: [] for pool in config.pools}
    for name in sorted(known):
        for pool in config.models[name].pools:
            if pool in by_pool:
                by_pool[pool].append(name)
    return by_pool


def resident(catalogue: Catalogue, model: Known, context: int, settings: ServerSettings) -> Resident:
    """`model` as it stands on a server with these settings."""
    facts = catalogue.gke.memory
    if model.facts is None:
        return Resident(
            model=model.name,
            context=context,
            parallel=settings.parallel,
            need=Need(weights=model.vram, kv=0, graph=0, overhead=facts.overhead_mib_per_gpu * memory.MIB),
            disk=model.disk,
        )
    forced = model.embedding or model.facts.single_parallel
    parallel = 1 if forced else settings.parallel
    need = memory.need(
        model.facts,
        facts,
        context=context,
        parallel=parallel,
        kv_type=settings.kv_type,
        flash_attention=settings.flash_attention,
    )
    return Resident(model=model.name, context=context, parallel=parallel, need=need, disk=model.disk)


def residents(
    catalogue: Catalogue,
    pool: str,
    models: Sequence[Known],
    context: Mapping[str, int],
    settings: ServerSettings,
) -> tuple[tuple[Resident, ...], list[Problem]]:
    """The models of one pool with each blob counted once; one blob at two contexts is an error."""
    by_blob: dict[str, list[Known]] = defaultdict(list)
    for model in models:
        by_blob[model.blob].append(model)
    result: list[Resident] = []
    problems: list[Problem] = []
    for blob, sharing in sorted(by_blob.items()):
        # the model that is the blob itself comes first, so that the others are said to share it and not the reverse
        first, *others = sorted(sharing, key=lambda model: (canonical_model(model.name) != blob, model.name))
        owner = resident(catalogue, first, context[first.name], settings)
        result.append(owner)
        for other in others:
            if context[other.name] != owner.context:
                problems.append(
                    error(
                        place("models", other.name, "context"),
                        f"{other.name} and {first.name} are one blob, and on pool {pool} it would be loaded anew "
                        f"at every turn for contexts {context[other.name]} and {owner.context}",
                        "give both the same context, or put them on different pools",
                    )
                )
            result.append(
                Resident(
                    model=other.name,
                    context=owner.context,
                    parallel=owner.parallel,
                    need=Need(weights=0, kv=0, graph=0, overhead=0),
                    disk=0,
                    shares=first.name,
                )
            )
    return tuple(sorted(result, key=lambda one: one.model)), problems
