"""What each site consists of: the servers on its machines, and the doors before them."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from infra.catalogue.types import Catalogue
from infra.config import FleetConfig, Site, place
from infra.config.model import ApiKey, DockerSite, KubernetesSite, Router
from infra.plan import door, driver_container, facts, naming, needs, routes
from infra.plan.asked import DEVICE_PLUGIN
from infra.plan.model import (
    OLLAMA_PORT,
    AliasPlan,
    Asked,
    Machine,
    ModelPlan,
    PoolPlan,
    RouterPlan,
    SiteCluster,
    SitePlan,
    SiteServer,
)
from infra.plan.placement import Known
from infra.problem import Problem, error

SITE_KEY = "fleet"
"""The key of a site's door: the site's token, which the fleet's router sends."""
HOME_PORT = 8443
"""Of a door whose site has no url."""
TLS_SECRET = "ollama-site-tls"  # noqa: S105 - its name
PORTS = {"https": 443, "http": 80}
HEADER = "# Written by the fleet for the door of site {site}.\n"
NODE = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
"""As Kubernetes names them: in lower case, and without _."""
HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")


@dataclass(frozen=True, kw_only=True)
class Decided:
    """What the doors of sites are made from."""

    catalogue: Catalogue
    config: FleetConfig
    known: Mapping[str, Known]
    models: Sequence[ModelPlan]
    aliases: Sequence[AliasPlan]
    pools: Sequence[PoolPlan]
    router: RouterPlan
    namespace: str


def build(decided: Decided) -> tuple[tuple[SitePlan, ...], list[Problem]]:
    """Every site of the file, by name, and what keeps one from being set up."""
    plans: list[SitePlan] = []
    problems: list[Problem] = []
    for name, site in sorted(decided.config.sites.items()):
        here = [pool for pool in decided.pools if pool.site == name]
        plan = SitePlan(name=name, kind=site.kind, pools=tuple(pool.name for pool in here), hosts=_hosts(site))
        if site.kind == "docker":
            plan = replace(plan, machines=tuple(_machines(decided, name, site, here)))
            problems += _check(name, site, here)
        elif site.kubernetes is not None:
            plan = replace(plan, cluster=_cluster(decided, name, site, site.kubernetes, here))
            problems += _check_nodes(name, site, here)
            problems += driver_container.check_nodes(name, here, _nodes_of(site, here))
        plans.append(plan)
    return tuple(plans), problems


def _cluster(
    decided: Decided, name: str, site: Site, kubernetes: KubernetesSite, pools: Sequence[PoolPlan]
) -> SiteCluster:
    door = None
    if pools and (site.url is not None or decided.config.router.site == name):
        inside = [_inside(pool, naming.host(pool.names.workload, decided.namespace)) for pool in pools]
        plain = (site.url or "").startswith("http://")
        door = _door(decided, name, inside, tls=None if plain else TLS_SECRET)
        # beyond the cluster, by whatever gives its Services an address; a token or the fleet's keys are asked for
        door = replace(door, settings=door.settings.model_copy(update={"expose": "public"}))
    with_gpu = any(pool.needs.cards for pool in pools)
    install = with_gpu and kubernetes.device_plugin == "install"
    return SiteCluster(
        applied=kubernetes.apply == "pulumi",
        context=kubernetes.context,
        namespace=decided.namespace,
        driver_namespace=naming.drivers(decided.namespace),
        door=door,
        nodes=_nodes_of(site, pools),
        device_plugin=decided.catalogue.gke.images["device_plugin"] if install else "",
        device_plugin_asks=DEVICE_PLUGIN if install else Asked(),
        runtime_class=runtime_class(site) if with_gpu else None,
        drivers=driver_container.on_site(decided.catalogue, site, pools, _nodes_of(site, pools)),
    )


def runtime_class(site: Site | None) -> str | None:
    """What a pod with a GPU asks for where its pool says nothing."""
    k3s = site is not None and site.kubernetes is not None and site.kubernetes.distribution == "k3s"
    return "nvidia" if k3s else None


def _nodes_of(site: Site, pools: Sequence[PoolPlan]) -> dict[str, tuple[str, ...]]:
    """The machines that have pools, and which."""
    return {node: there for node in sorted(site.nodes) if (there := _pools_on(node, pools))}


def _pools_on(node: str, pools: Sequence[PoolPlan]) -> tuple[str, ...]:
    return tuple(pool.name for pool in pools if node in _nodes(pool))


def _check_nodes(name: str, site: Site, pools: Sequence[PoolPlan]) -> Iterator[Problem]:
    """Kubernetes hands out GPUs by number: of two kinds on one node a pod gets whichever comes first."""
    for node in sorted(site.nodes):
        if not NODE.fullmatch(node):
            yield error(
                place("sites", name, "nodes", node),
                f"no node of a Kubernetes cluster is called {node}",
                "name it as `kubectl get nodes` does: lower-case letters, digits, - and .",
            )
        kinds = sorted({pool.gpu for pool in pools if node in _nodes(pool) and pool.needs.cards})
        if kinds and len(site.nodes[node].gpus) > 1:
            yield error(
                place("sites", name, "nodes", node, "gpus"),
                f"{node} has GPUs of several kinds, and Kubernetes does not tell {' or '.join(kinds)} from the others",
                "put them into different machines, or make it a Docker site: docker: {}",
            )


def _hosts(site: Site) -> tuple[str, ...]:
    url = [urlsplit(site.url).hostname or ""] if site.url else []
    return tuple(dict.fromkeys([*url, *sorted(site.nodes)]))


def _machines(decided: Decided, name: str, site: Site, pools: Sequence[PoolPlan]) -> Iterator[Machine]:
    url = urlsplit(site.url) if site.url else None
    port = (url.port or PORTS[url.scheme]) if url else HOME_PORT
    tls = url is None or url.scheme == "https"
    scheme = "https" if tls else "http"
    on = {node: [pool for pool in pools if node in _nodes(pool)] for node in sorted(site.nodes)}
    main = next(iter(on), "")
    for node, there in on.items():
        # a machine without pools runs nothing, but for the one that has the door
        if not there and node != main:
            continue
        inside = {pool.name: _inside(pool, pool.names.workload) for pool in there}
        if node == main:
            others = [pool for pool in pools if pool.name not in inside]
            beyond = [replace(pool, address=f"{scheme}://{(_nodes(pool) or ('',))[0]}:{port}") for pool in others]
            seen = _door(decided, name, [*inside.values(), *beyond])
        else:
            seen = _door(decided, name, list(inside.values()), only_here=True)
        yield Machine(
            name=node,
            servers=tuple(server for pool in there for server in _servers(pool, node)),
            needs=needs.of_machine(decided.catalogue, site.nodes[node], [pool.needs for pool in there]),
            door=seen,
            port=port,
            tls=tls,
            holder_image=decided.catalogue.gke.images["pause"],
            tokens=tuple(sorted(set(re.findall(r'token = "(.+?)"', seen.routes)))),
        )


def _nodes(pool: PoolPlan) -> tuple[str, ...]:
    return tuple(placed.node for placed in pool.placements)


def _servers(pool: PoolPlan, node: str) -> Iterator[SiteServer]:
    workload = pool.names.workload
    (placed,) = [one for one in pool.placements if one.node == node]
    for index in range(placed.replicas):
        name = workload if placed.replicas == 1 else f"{workload}-{index + 1}"
        yield SiteServer(
            name=name, pool=pool.name, devices=placed.devices[index] if index < len(placed.devices) else ()
        )


def _inside(pool: PoolPlan, host: str) -> PoolPlan:
    """The pool as those see it that are beside it."""
    return replace(pool, site=None, address=f"{host}:{OLLAMA_PORT}")


def _door(
    decided: Decided, site: str, pools: Sequence[PoolPlan], *, only_here: bool = False, tls: str | None = None
) -> RouterPlan:
    """The fleet's own door where it stands here, else one that lets in the site's token and leads to `pools`."""
    config, router = decided.config, decided.router
    fleets = config.gke is None and config.router.site == site and not only_here
    if fleets:
        elsewhere = [pool for pool in decided.pools if pool.site != site]
        pools = sorted([*pools, *elsewhere], key=lambda pool: pool.name)
    names = {pool.name for pool in pools}
    models = [
        replace(model, route=tuple(pool for pool in model.route if pool in names))
        for model in decided.models
        if names & set(model.route)
    ]
    served = {model.name for model in models}
    aliases = [
        replace(alias, targets=targets)
        for alias in decided.aliases
        if (targets := {target: weight for target, weight in alias.targets.items() if target in served})
    ]
    asked = config.model_copy(update={} if fleets else {"router": _settings(config.router)})
    # a machine that is reached through another door has a url of its own
    urls = {one: entry if entry.url or entry.endpoints else _reached(entry) for one, entry in config.sites.items()}
    mapped = config.model_copy(update={"sites": urls})
    return replace(
        router,
        settings=asked.router.model_copy(update={"tls": tls}),
        routes=routes.render(mapped, models, aliases, pools, header=HEADER.format(site=site)),
        facts=facts.render(config, decided.known, models, [replace(pool, site=None) for pool in pools]),
        rules=door.render(asked, models),
        keys=door.keys(asked),
        sites=tuple(sorted({pool.site for pool in pools if pool.site is not None})),
        drain_limit=max([router.drain_limit, *(pool.drain_limit for pool in pools)]),
    )


def _settings(router: Router) -> Router:
    """Of a door that only the fleet's router comes to, which has looked at the request already."""
    return Router(keys={SITE_KEY: ApiKey()}).model_copy(
        update={"client_options": router.client_options, "max_body": router.max_body}
    )


def _reached(site: Site) -> Site:
    return site.model_copy(update={"url": "https://machine", "docker": site.docker or DockerSite()})


def _check(name: str, site: Site, pools: Sequence[PoolPlan]) -> Iterator[Problem]:
    for pool in pools:
        nodes = _nodes(pool)
        if len(nodes) > 1:
            yield error(
                place("pools", pool.name, "replicas"),
                f"its replicas stand on {' and '.join(nodes)}, and each machine of a Docker site is set up by itself",
                "write a pool for each machine, and name both at the models",
            )
        for placed in pool.placements:
            if pool.gpus_per_replica and not placed.devices:
                kinds = ", ".join(f"{gpu}: [0, ...]" for gpu in sorted(site.nodes[placed.node].gpus))
                yield error(
                    place("sites", name, "nodes", placed.node, "gpus"),
                    f"{placed.node} has GPUs of several kinds, and the file does not say which is which",
                    f"write {{{kinds}}} with the numbers that `nvidia-smi -L` prints there",
                )
    used = sorted({node for pool in pools for node in _nodes(pool)})
    for node in used:
        yield from _one_name_each(node, [pool for pool in pools if node in _nodes(pool)])
    for node in used if len(site.nodes) > 1 else []:
        if not HOST.fullmatch(node):
            yield error(
                place("sites", name, "nodes", node),
                f"the door at {min(site.nodes)} reaches this machine by its name, which is no host name",
                "name the machine as the network there does",
            )


def _one_name_each(node: str, pools: Sequence[PoolPlan]) -> Iterator[Problem]:
    """Servers are found by their names there: replica 1 of pool t4, and a pool t4-1."""
    taken: dict[str, str] = {}
    for pool in pools:
        for used in dict.fromkeys([pool.names.workload, *(server.name for server in _servers(pool, node))]):
            owner = taken.setdefault(used, pool.name)
            if owner != pool.name:
                yield error(
                    place("pools", pool.name),
                    f"on {node} its name {used} is that of a replica of pool {owner}, whose requests it would get",
                    "name the pool differently",
                )
