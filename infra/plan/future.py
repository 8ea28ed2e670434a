"""Keys that this version reads and does not act on yet, and what no plan can know: said, never left to be found out."""

from collections.abc import Iterator

from infra.config import FleetConfig, place
from infra.problem import Problem, error, warning

CHECKED = ("keys and references", "memory", "card x driver x image", "machine", "disk", "zone list", "price list")
NOT_CHECKED = ("quota", "stock", "whether the registry has a model", "what `latest` and unpinned tags stand for")

UNUSED_OF_POOL = {
    "hold_for": "holdFor",
    "hold_limit": "holdLimit",
    "registry": "registry",
    "runtime_class": "runtimeClass",
    "schedule": "schedule",
}


def check(config: FleetConfig) -> Iterator[Problem]:
    """One line for each part of the file that has no effect yet, and a refusal where that would be unsafe."""
    router = config.router
    if config.gke is not None and router.expose != "cluster" and not router.insecure_public_access:
        yield error(
            place("router", "expose"),
            f"the router of this version checks no key and ends no TLS, so it is not exposed as {router.expose}",
            "write expose: cluster, and reach it by kubectl port-forward",
        )
    if router.keys:
        yield warning(
            place("router", "keys"),
            "the router of this version checks no key",
            "expose: cluster keeps it inside the cluster",
        )
    scaled = sorted(name for name, pool in config.pools.items() if pool.replicas.scales)
    if scaled:
        yield warning(
            place("pools"),
            f"nothing scales {', '.join(scaled[:6])}{', ...' if scaled[6:] else ''} yet: "
            "a minimum of 0 starts without a pod, any other with one",
            "kubectl scale deployment/ollama-POOL --replicas=N; a later `up` leaves the number alone",
        )
    yield from _unused_sections(config)
    yield from _sites(config)


def _sites(config: FleetConfig) -> Iterator[Problem]:
    here = place("router", "site")
    if config.gke is None and (config.pools or config.models):
        yield warning(
            here,
            "this version sets up nothing at a site, and the file has no gke: `up` builds nothing",
            "take the plan as a check, and run the servers and a door there yourself",
        )
        return
    if config.router.site is not None:
        yield warning(here, "this version sets up no door at a site: the router stands on GKE", "take site out")
    for name, site in sorted(config.sites.items()):
        if site.kind != "endpoints":
            yield warning(
                place("sites", name),
                "this version plans the site and routes to it; it does not yet set up what runs there",
                "run Ollama behind its url yourself",
            )


def _unused_sections(config: FleetConfig) -> Iterator[Problem]:
    for section in ("proxy", "chat", "monitoring", "load_test"):
        if getattr(config, section) is not None:
            yield _unused(place({"load_test": "loadTest"}.get(section, section)))
    yield from _unused_of_pools(config)
    for name, model in sorted(config.models.items()):
        if model.registry is not None:
            yield _unused(place("models", name, "registry"))


def _unused_of_pools(config: FleetConfig) -> Iterator[Problem]:
    for name, pool in sorted(config.pools.items()):
        for field, key in UNUSED_OF_POOL.items():
            if getattr(pool, field):
                yield _unused(place("pools", name, key))
        if pool.site is None and pool.storage in ("node", "volume"):
            yield _unused(place("pools", name, "storage"))
        if pool.when_busy == "spill":
            yield _unused(place("pools", name, "whenBusy"))
        if pool.wake == "fallback":
            yield _unused(place("pools", name, "wake"))


def _unused(where: str) -> Problem:
    return warning(where, "read and checked, and not acted on by this version", "leave it for later, or take it out")
