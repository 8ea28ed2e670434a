"""What can be wrong with a pool beside its driver and image: availability, options, memory."""

from collections.abc import Iterator, Mapping, Sequence

from infra.catalogue.types import Availability, Catalogue, Gpu, MemoryFacts
from infra.config import Pool, place
from infra.config.references import one_of
from infra.config.types import shown
from infra.plan import memory
from infra.plan.capacity import GIB
from infra.plan.compatibility import numbers
from infra.plan.draft import Draft
from infra.plan.model import Resident, Runtime, Verdict
from infra.plan.placement import Known
from infra.problem import Problem, error, warning

PLANNED_ENVIRONMENT = {
    "OLLAMA_HOST": "",
    "OLLAMA_MODELS": "",
    "HOME": "",
    "OLLAMA_CONTEXT_LENGTH": "context",
    "OLLAMA_NUM_PARALLEL": "parallel",
    "OLLAMA_KEEP_ALIVE": "keepAlive",
    "OLLAMA_MAX_LOADED_MODELS": "loading",
    "OLLAMA_FLASH_ATTENTION": "flashAttention",
    "OLLAMA_KV_CACHE_TYPE": "kvCache",
    "OLLAMA_VULKAN": "",
    "OLLAMA_NO_CLOUD": "",
    "OLLAMA_NOPRUNE": "storage",
    "OLLAMA_ORIGINS": "",
    "HTTPS_PROXY": "",
    "NO_PROXY": "",
    "SSL_CERT_DIR": "",
}
"""Variables that the plan sets, and the key of the file that decides each."""


def unknown_gpu(catalogue: Catalogue, name: str, pool: Pool) -> Problem:
    """A GPU that the catalogue does not have."""
    return error(
        place("pools", name, "gpu"),
        f"the catalogue has no GPU {shown(pool.gpu)}",
        one_of(pool.gpu, frozenset(catalogue.gpus), "GPUs", most=20),
    )


def is_gone(gpu: Gpu) -> bool:
    """Whether Google Cloud has no such GPU: any more, or ever."""
    return gpu.google is not None and gpu.google.state in (Availability.WITHDRAWN, Availability.NEVER)


def successor(catalogue: Catalogue, drafted: Draft, location: str) -> str | None:
    """The smallest newer GPU that Google goes on selling in that place, and on which the pool's models fit."""
    residents, facts = drafted.residents, catalogue.gke.memory
    fitting = [
        (other.memory_mib, key)
        for key, other in catalogue.gpus.items()
        if other.google is not None
        and other.google.state is Availability.AVAILABLE
        and not other.google.provisioning
        and other.compute_capability > drafted.gpu.compute_capability
        and any(zone.startswith(location) for zone in other.google.zones)
        and memory.judge(
            residents,
            facts,
            per_device=other.memory_mib * memory.MIB,
            devices=drafted.memory.devices,
            together=drafted.together,
        ).verdict
        is Verdict.FITS
    ]
    return min(fitting)[1] if fitting and residents else None


def availability(name: str, pool: Pool, gpu: Gpu, newer: str | None, *, existing: bool) -> Iterator[Problem]:
    """What Google Cloud sells, sells until a day, does not sell, or not to an older `existing` cluster.

    `newer` is what could take the place of a GPU that ends.
    """
    if pool.site is not None or gpu.google is None:
        return
    here, google = place("pools", name, "gpu"), gpu.google
    if is_gone(gpu):
        ended = (
            f"Google Cloud ended the {gpu.title} on {google.ends}"
            if google.ends
            else f"Google Cloud never sold the {gpu.title}"
        )
        if pool.allow_withdrawn:
            yield warning(
                here, f"{ended}: everything is generated, and Google will refuse the nodes at apply", "put it at a site"
            )
        else:
            yield error(
                here,
                f"{ended}, so this pool cannot exist on GKE",
                "own the card? describe its machine under fleet.sites and write site: NAME here; "
                "allowWithdrawn: true generates the pool all the same",
            )
    elif pool.allow_withdrawn:
        yield warning(
            place("pools", name, "allowWithdrawn"),
            f"Google Cloud sells the {gpu.title}: nothing to allow",
            "take it out",
        )
    if google.state is Availability.ENDING:
        yield warning(
            here,
            f"Google ends its support of the {gpu.title} on {google.ends}",
            "plan a newer card" + (f": {newer} holds its models" if newer else ""),
        )
    if google.minimum_gke and existing:
        yield warning(
            here,
            f"the {gpu.title} needs GKE {google.minimum_gke} or newer, and the version of the cluster is not checked",
            "compare it: gcloud container clusters describe NAME --format='value(currentMasterVersion)'",
        )
    if google.provisioning and not pool.spot:
        yield warning(
            here,
            f"Google restricts the {gpu.title}: {google.provisioning}",
            "ask for capacity first, or write spot: true",
        )


def options(name: str, pool: Pool, gpu: Gpu) -> Iterator[Problem]:
    """Keys of a pool that contradict each other or the plan."""
    for variable in sorted(set(pool.env) & set(PLANNED_ENVIRONMENT)):
        key = PLANNED_ENVIRONMENT[variable]
        yield error(
            place("pools", name, "env", variable),
            f"the plan sets {variable}, and its memory figures depend on it",
            f"write {key}: at the pool instead" if key else "take it out",
        )
    if gpu.compute is None:
        yield from _options_without_gpu(name, pool)


def _options_without_gpu(name: str, pool: Pool) -> Iterator[Problem]:
    for key, given in (
        ("gpusPerReplica", pool.gpus_per_replica != 1),
        ("gpusPerNode", pool.gpus_per_node is not None),
        ("driver", pool.driver is not None),
    ):
        if given:
            yield error(
                place("pools", name, key), f"{key} says something of a GPU, and the pool has none", "take it out"
            )


def too_old(known: Mapping[str, Known], name: str, models: Sequence[str], runtime: Runtime) -> Iterator[Problem]:
    """Models that the pool's Ollama is too old for."""
    if runtime.version is None:
        return
    for model in models:
        facts = known[model].facts
        if facts and facts.minimum_ollama and numbers(runtime.version) < numbers(facts.minimum_ollama):
            yield error(
                place("models", model, "pools"),
                f"{model} needs Ollama {facts.minimum_ollama}, and pool {name} runs {runtime.version}: "
                "the pull would end in 412",
                "take the pool out of its list, or write a newer image: at the pool",
            )


def memory_problem(drafted: Draft, fitting: tuple[Resident, int] | None) -> Problem:
    """Models that do not fit their GPU (an error) or fit it tightly (a warning): the figures, and what would fit."""
    judged, gpu = drafted.memory, drafted.gpu
    distinct = sorted((one for one in drafted.residents if one.shares is None), key=lambda one: -one.need.device)
    listed = ", ".join(f"{one.model} {one.need.device / GIB:.1f}" for one in distinct[:6])
    devices = f"{judged.devices} x " if judged.devices > 1 else ""
    more = ", ..." if distinct[6:] else ""
    # the sum may look small beside all devices: the fullest one decides
    fullest = f", {judged.busiest / GIB:.1f} on the fullest" if judged.devices > 1 else ""
    figures = f"{judged.used / GIB:.1f} of {devices}{judged.per_device / GIB:.1f} GiB{fullest} ({listed}{more})"
    remedies = []
    if fitting is not None and 0 < fitting[1] < fitting[0].context:
        remedies.append(f"{fitting[0].model} fits with context: {fitting[1]}")
    if len(distinct) > 1:
        remedies.append(f"move {distinct[0].model} to another pool")
    remedies.append("use a larger GPU, or more with gpusPerReplica")
    here = place("pools", drafted.name)
    if judged.verdict is Verdict.TOO_LARGE:
        return error(here, f"its models do not fit the {gpu.title}: {figures}", "; ".join(remedies))
    message = f"its models fit the {gpu.title} tightly, within the formula's error: {figures}"
    return warning(here, message, "; ".join(remedies))


def turns(drafted: Draft, facts: MemoryFacts) -> Iterator[Problem]:
    """What it costs that models take turns."""
    distinct = [one for one in drafted.residents if one.shares is None]
    if drafted.together or len(distinct) < 2 or drafted.memory.verdict is Verdict.TOO_LARGE:
        return
    of_all = memory.judge(
        drafted.residents, facts, per_device=drafted.memory.per_device, devices=drafted.memory.devices, together=True
    )
    largest = max(one.disk for one in distinct) / 10**9
    yield warning(
        place("pools", drafted.name, "loading"),
        f"{len(distinct)} models take turns on the {drafted.gpu.title}: each turn loads up to {largest:.1f} GB anew, "
        "and its requests wait for that",
        "loading: together keeps all of them resident"
        if of_all.verdict is Verdict.FITS
        else f"all at once need {of_all.used / GIB:.1f} GiB: move some to another pool if the wait is too long",
    )
