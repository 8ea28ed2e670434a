"""Keys that this version reads and does not act on yet, and what no plan can know: said, never left to be found out."""

from collections.abc import Iterator

from pydantic import BaseModel

from infra.config import FleetConfig, place
from infra.plan.cluster import namespace
from infra.problem import Problem, error, warning

CHECKED = ("keys and references", "memory", "card x driver x image", "machine", "disk", "zone list", "price list")
NOT_CHECKED = ("quota", "stock", "whether the registry has a model", "what `latest` and unpinned tags stand for")

UNUSED = ("chat", "keda", "load_test", "monitoring", "proxy")
UNUSED_OF_POOL = ("hold_for", "hold_limit", "registry", "runtime_class", "schedule", "verify_gpu", "wake", "when_busy")
UNUSED_OF_MODEL = ("registry",)
UNUSED_OF_ROUTER = ("client_options", "max_body", "origins", "tls")
UNUSED_OF_SITE = ("ca",)
UNUSED_OF_SITE_NODE = ("cpus",)


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
            f"kubectl -n {namespace(config)} scale deployment/ollama-POOL --replicas=N; "
            "a later `up` leaves the number alone",
        )
    yield from map(_unused, _unused_keys(config))
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


def _unused_keys(config: FleetConfig) -> Iterator[str]:
    """Places of the keys that say something other than their default and change nothing."""
    yield from _given(config, UNUSED)
    yield from _given(config.router, UNUSED_OF_ROUTER, "router")
    for name, pool in sorted(config.pools.items()):
        yield from _given(pool, UNUSED_OF_POOL, "pools", name)
        if pool.scaling is not None and pool.scaling.by != "fixed":
            yield place("pools", name, "scaling")
        if pool.site is None and pool.storage in ("node", "volume"):
            yield place("pools", name, "storage")
    for name, model in sorted(config.models.items()):
        yield from _given(model, UNUSED_OF_MODEL, "models", name)
    for name, site in sorted(config.sites.items()):
        yield from _given(site, UNUSED_OF_SITE, "sites", name)
        for node, machine in sorted(site.nodes.items()):
            yield from _given(machine, UNUSED_OF_SITE_NODE, "sites", name, "nodes", node)


def _given(section: BaseModel, fields: tuple[str, ...], *where: str) -> Iterator[str]:
    for field in fields:
        info = type(section).model_fields[field]
        if getattr(section, field) != info.default:
            yield place(*where, info.alias or field)


def _unused(where: str) -> Problem:
    return warning(where, "read and checked, and not acted on by this version", "leave it for later, or take it out")
