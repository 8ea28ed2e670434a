"""Rules that hold between the parts of one file and need no fact from outside it."""

import ipaddress
from collections import defaultdict
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from urllib.parse import urlsplit

from infra.config.model import FleetConfig, Pool, Router
from infra.config.places import place
from infra.config.types import shown
from infra.names import canonical_model
from infra.problem import Problem, error, warning

ONLY_ON_GKE = {
    "spot": "spot",
    "machine_type": "machineType",
    "gpus_per_node": "gpusPerNode",
    "disk": "disk",
    "zones": "zones",
    "allow_withdrawn": "allowWithdrawn",
}
"""Keys of a pool that describe nodes which Google makes; at a site the nodes are there already."""


def check(config: FleetConfig, known: Mapping[str, frozenset[str]]) -> list[Problem]:
    """Every broken reference and contradiction.

    `known` names what each section declares, entries that could not be read included, so that one broken entry does
    not make every reference to it a second error.
    """
    return [
        *_pools(config, known),
        *_models(config, known),
        *_aliases(config, known),
        *_one_name_each(config),
        *_sites(config, known),
        *_router(config, known),
    ]


def _pools(config: FleetConfig, known: Mapping[str, frozenset[str]]) -> Iterator[Problem]:
    for name, pool in config.pools.items():
        here = place("pools", name)
        if pool.site is None and "gke" not in known[""]:
            yield error(
                here,
                "the pool stands on GKE, and the file has no gke",
                "add gke: {location: ZONE}, or site: NAME of one of the sites",
            )
        if pool.site is not None:
            if pool.site not in known["sites"]:
                yield error(
                    f"{here}.site", f"there is no site {shown(pool.site)}", one_of(pool.site, known["sites"], "sites")
                )
            yield from _off_gke(here, pool)
        if pool.schedule and not pool.replicas.scales:
            yield error(
                f"{here}.schedule",
                "the pool's replicas are fixed, so a schedule has nothing to change",
                "write replicas: 0..N",
            )
        if pool.scaling is not None and pool.scaling.by == "fixed" and pool.replicas.scales:
            yield error(
                f"{here}.scaling",
                f"scaling is fixed and replicas are {pool.replicas.min}..{pool.replicas.max}",
                "write one number of replicas, or another scaling",
            )
        if pool.scaling is not None and pool.scaling.by == "utilization" and pool.replicas.min == 0:
            yield error(
                f"{here}.scaling",
                "utilization cannot wake a pool that has no pod",
                "use inFlight, or a minimum of one replica",
            )


def _off_gke(here: str, pool: Pool) -> Iterator[Problem]:
    for field, key in ONLY_ON_GKE.items():
        if field in pool.model_fields_set and getattr(pool, field):
            yield error(
                f"{here}.{key}",
                f"{key} is for pools on GKE; the nodes of a site are described there",
                f"take {key} out",
            )
    if pool.driver == "gke":
        yield error(f"{here}.driver", "gke is Google's own driver installation", "write host, or container")
    if pool.replicas.scales:
        yield error(
            f"{here}.replicas",
            "only pools on GKE scale: the machines of a site are there or not",
            "write one number, as many replicas as the site's GPUs hold",
        )
    elif pool.scaling is not None and pool.scaling.by != "fixed":
        yield error(f"{here}.scaling", "only pools on GKE scale", "take scaling out")


def _models(config: FleetConfig, known: Mapping[str, frozenset[str]]) -> Iterator[Problem]:
    for name, model in config.models.items():
        here = place("models", name, "pools")
        for pool in sorted(set(model.pools)):
            if pool not in known["pools"]:
                yield error(here, f"there is no pool {shown(pool)}", one_of(pool, known["pools"], "pools"))
            if model.pools.count(pool) > 1:
                yield error(here, f"the pool {pool} stands twice in the route", "name each pool once")
    used = {pool for model in config.models.values() for pool in model.pools}
    if len(config.models) == len(known["models"]):
        for name in sorted(set(config.pools) - used):
            yield warning(
                place("pools", name),
                "no model is routed to this pool",
                "name it in a model's list, or take the pool out",
            )


def _aliases(config: FleetConfig, known: Mapping[str, frozenset[str]]) -> Iterator[Problem]:
    by_name = {canonical_model(name): name for name in known["models"]}
    for alias, entry in config.aliases.items():
        here = place("aliases", alias)
        targets = sorted(entry.targets)
        for target in targets:
            if canonical_model(target) not in by_name:
                remedy = one_of(target, known["models"], "models")
                if target in known["aliases"]:
                    remedy = "name the model itself: an alias of an alias is not followed"
                yield error(here, f"there is no model {shown(target)}", remedy)
        routes = {
            target: set(config.models[declared].pools)
            for target in targets
            if (declared := by_name.get(canonical_model(target))) in config.models
        }
        for first, second in ((a, b) for i, a in enumerate(targets) for b in targets[i + 1 :]):
            if shared := routes.get(first, set()) & routes.get(second, set()):
                yield error(
                    here,
                    f"{first} and {second} share the pool {min(shared)}, where one name cannot stand for both",
                    "split between models on disjoint pools",
                )


def _one_name_each(config: FleetConfig) -> Iterator[Problem]:
    """Ollama does not tell `llama3`, `Llama3:latest` and `library/llama3` apart, so neither may the file."""
    same = defaultdict(list)
    for section, names in (("models", config.models), ("aliases", config.aliases)):
        for name in names:
            same[canonical_model(name)].append(place(section, name))
    for canonical, places in sorted(same.items()):
        for here in sorted(places)[1:]:
            yield error(
                here, f"Ollama takes this for the same name as {min(places)} ({canonical})", "keep one of the two"
            )


def _contexts(config: FleetConfig) -> Iterator[Problem]:
    """Two sites with one context may be two clusters: k3s calls every context `default`."""
    same = defaultdict(list)
    for name, site in sorted(config.sites.items()):
        if site.kubernetes is not None and site.kubernetes.apply == "pulumi" and site.kubernetes.context is not None:
            same[site.kubernetes.context].append(name)
    for context, names in sorted(same.items()):
        for name in names[1:]:
            yield warning(
                f"{place('sites', name)}.kubernetes.context",
                f"site {names[0]} has the context {shown(context)} too, and in one cluster the two would take each "
                "other's objects",
                "make them one site; or, where each is a cluster, give each its own kubeconfig: "
                "pulumi config set --secret --path ollama-fleet:kubeconfigs.SITE",
            )


def _sites(config: FleetConfig, known: Mapping[str, frozenset[str]]) -> Iterator[Problem]:
    yield from _contexts(config)
    for name, site in config.sites.items():
        here = place("sites", name)
        unused = not any(pool.site == name for pool in config.pools.values()) and config.router.site != name
        if unused and len(config.pools) == len(known["pools"]):
            yield warning(here, "no pool stands at this site", f"write site: {name} in a pool, or take the site out")
        if site.kind == "endpoints" and (site.nodes or site.url):
            yield error(
                here,
                "a site of endpoints has no nodes and no url of its own",
                "keep endpoints, or describe a docker site",
            )
        if site.kind != "endpoints" and site.url is None and config.router.site != name:
            yield error(
                f"{here}.url",
                "the router cannot reach this site: url is missing",
                "add url: https://HOST, the address of its door",
            )
        if site.kubernetes is not None and site.kubernetes.apply == "pulumi" and site.kubernetes.context is None:
            yield error(
                f"{here}.kubernetes.context",
                "`up` applies what stands at this site, and no context says to which cluster",
                "write context: NAME, as `kubectl config get-contexts` lists it, or apply: manual",
            )
        addresses = [(f"{here}.endpoints[{index}]", url) for index, url in enumerate(site.endpoints)]
        for there, url in [*addresses, *([(f"{here}.url", site.url)] if site.url else [])]:
            if url.startswith("http://") and not _is_private(url):
                yield error(
                    there,
                    "a public address without TLS would carry prompts and the site's token in clear",
                    "use https://, or a private address inside a VPN",
                )


def _is_private(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    if (
        host == "localhost"
        or "." not in host
        or host.endswith((".local", ".internal", ".lan", ".ts.net", ".home.arpa"))
    ):
        return True
    try:
        # not `is_private`: the addresses of Tailscale and of carriers (100.64.0.0/10) are neither private nor global
        return not ipaddress.ip_address(host).is_global
    except ValueError:
        return False


def _router(config: FleetConfig, known: Mapping[str, frozenset[str]]) -> Iterator[Problem]:
    router = config.router
    if "router" in known[""] and "router" not in config.model_fields_set:
        return  # it could not be read, and its defaults are not what the file says
    if router.site is not None and router.site not in known["sites"]:
        yield error(
            "fleet.router.site", f"there is no site {shown(router.site)}", one_of(router.site, known["sites"], "sites")
        )
    if router.site is None and "gke" not in known[""] and (config.pools or config.models):
        yield error(
            "fleet.router.site",
            "without gke the router has no place to stand",
            f"write router: {{site: {_doorstep(config)}}}, the site at which the door runs",
        )
    standing = config.sites.get(router.site or "")
    if standing is not None and standing.kind == "endpoints" and "gke" not in known[""]:
        yield error(
            "fleet.router.site",
            f"no door can stand at {router.site}: its servers are not the fleet's own",
            "write router: {site: door}, and at sites door: {docker: {}, nodes: {MACHINE: {memory: 4Gi, disk: 20Gi}}}",
        )
    plain = standing is not None and (standing.url or "").startswith("http://")
    yield from _door(router, encrypted=router.tls is not None if "gke" in known[""] else not plain)
    names = {canonical_model(name) for name in known["models"] | known["aliases"]}
    for key, rule in router.keys.items():
        for model in rule.models:
            if canonical_model(model) not in names:
                yield error(
                    place("router", "keys", key, "models"),
                    f"there is no model {shown(model)}",
                    one_of(model, known["models"] | known["aliases"], "models and aliases"),
                )


def _doorstep(config: FleetConfig) -> str:
    """A site of the file at which a door can stand."""
    return min((name for name, site in config.sites.items() if site.kind != "endpoints"), default="NAME")


def _door(router: Router, *, encrypted: bool) -> Iterator[Problem]:
    """A door at a site is `encrypted` by a certificate of its own."""
    if router.auth == "none" and router.expose == "public" and not router.insecure_public_access:
        yield error(
            "fleet.router.auth",
            "a public door without keys serves your GPUs to everybody",
            "take auth: none out, or expose: internal",
        )
    if router.auth == "none" and router.keys:
        yield error("fleet.router.keys", "keys are listed and auth is none", "keep one of the two")
    if router.expose == "public" and not encrypted and not router.insecure_public_access:
        yield error(
            "fleet.router.tls",
            "a public door needs TLS: keys and prompts would cross the internet in clear",
            "name a kubernetes.io/tls Secret in tls (cert-manager's included); at a site write url: https://HOST",
        )
    if router.insecure_public_access and router.expose != "public":
        yield error(
            "fleet.router.insecurePublicAccess", f"it overrides nothing while expose is {router.expose}", "take it out"
        )
    if router.source_ranges and router.expose == "cluster":
        yield error("fleet.router.sourceRanges", "a ClusterIP has no source ranges", "expose it as internal or public")


def one_of(name: str, names: frozenset[str], what: str, *, most: int = 12) -> str:
    """A remedy for a name that is not among `names`: the nearest one, and the list."""
    if not names:
        return f"the file has no {what} yet: add one"
    sizes = [one for one in sorted(names) if one.startswith(f"{name.lower()}-")]
    nearest = [" or ".join(sizes)] if sizes else get_close_matches(name, sorted(names), n=1, cutoff=0.5)
    listed = sorted(names) if len(names) <= most else [*sorted(names)[:most], "..."]
    return (f"did you mean {nearest[0]}? " if nearest else "") + f"{what}: {', '.join(listed)}"
