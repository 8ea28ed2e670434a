"""NVIDIA's driver in a container, for Kubernetes sites that ask for it: which build goes on which machine."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from infra.catalogue.types import Catalogue, DriverBuild, Gpu
from infra.config import FleetConfig, Pool, Site, place
from infra.config.types import shown
from infra.plan import compatibility
from infra.plan.asked import DRIVER_CONTAINER
from infra.plan.model import DriverPlan, Outcome, PoolPlan, SiteDriver
from infra.problem import Problem, error, warning


def plan(catalogue: Catalogue, config: FleetConfig, pool: Pool, gpu: Gpu) -> DriverPlan:
    """The card's own branch where it is built for all systems of the pool's machines, else the newest that works there.

    Where there is none the plan keeps the card's own, and `check` tells.
    """
    own, there = compatibility.default_branch(gpu), systems(config, pool)
    reference = pool.image or gpu.default_image or catalogue.releases.default_image
    built = [branch for branch in _branches(catalogue) if there and not set(there) - set(_builds(catalogue, branch))]
    fitting = [
        branch
        for branch in built
        if compatibility.judge(catalogue, gpu=gpu, branch=branch, reference=reference).outcome is Outcome.WORKS
    ]
    branch = own if own in built or not fitting else fitting[0]
    versions = {_builds(catalogue, branch)[system].version for system in there} if branch in built else set()
    return DriverPlan(mode="container", branch=branch, exact=min(versions) if len(versions) == 1 else None)


def systems(config: FleetConfig, pool: Pool) -> tuple[str, ...]:
    """What the machines with the pool's card run; an empty name for one of which the file does not say it."""
    site = config.sites.get(pool.site or "")
    if site is None or site.kubernetes is None:
        return ()
    return tuple(sorted({_system(site, node) for node, entry in site.nodes.items() if entry.count(pool.gpu)}))


def on_site(
    catalogue: Catalogue, site: Site, pools: Sequence[PoolPlan], nodes: Mapping[str, Sequence[str]]
) -> tuple[SiteDriver, ...]:
    """One for each build and flavour of modules; `nodes` are the machines and the pools on each."""
    by_name = {pool.name: pool for pool in pools}
    wanted: dict[tuple[int, str, str], list[str]] = defaultdict(list)
    for node, there in sorted(nodes.items()):
        for pool in (by_name[name] for name in there if by_name[name].driver.mode == "container"):
            wanted[pool.driver.branch or 0, _system(site, node), pool.needs.modules].append(node)
    return tuple(
        SiteDriver(
            name="-".join(filter(None, ("nvidia-driver", f"r{branch}", system.replace(".", "-"), modules))),
            image=f"{catalogue.driver_containers.image.repository}:{build.version}-{system}",
            version=build.version,
            architectures=build.architectures,
            modules=modules,
            nodes=tuple(dict.fromkeys(on)),
            asks=DRIVER_CONTAINER,
        )
        for (branch, system, modules), on in sorted(wanted.items())
        if (build := _builds(catalogue, branch).get(system)) is not None
    )


def check(catalogue: Catalogue, config: FleetConfig, name: str, pool: Pool, driver: DriverPlan) -> Iterator[Problem]:
    """Pools that ask for it where it is not set up, or is not built."""
    here, site = place("pools", name, "driver"), config.sites.get(pool.site or "")
    if driver.mode != "container" or site is None:
        return
    if site.kubernetes is None:
        yield error(
            here,
            f"NVIDIA's driver container is set up at Kubernetes sites, and {pool.site} is a site of {site.kind}",
            f"install R{driver.branch} on the machine itself, and take driver out",
        )
        return
    if site.kubernetes.device_plugin == "existing":
        yield warning(
            f"{place('sites', pool.site or '')}.kubernetes.devicePlugin",
            "where NVIDIA's GPU operator is what is there, it brings a driver to these machines too, and of two that "
            "load their modules each stops the other",
            "install the operator with driver.enabled=false, or take driver: container out and leave it to the "
            "operator",
        )
    there = systems(config, pool)
    if not there:
        yield error(
            here,
            "NVIDIA's driver container goes onto machines that the file names, and it names none with this card",
            f"describe them under {place('sites', pool.site or '', 'nodes')}, each with its os",
        )
    elif "" in there:
        yield error(
            f"{place('sites', pool.site or '')}.kubernetes.os",
            "NVIDIA's driver container is built for one system, and nobody says what these machines run",
            f"write os: there or at each machine, one of {', '.join(_systems(catalogue))}; `fleet discover` reads it",
        )
    else:
        yield from _check_builds(catalogue, here, there, driver)


def _check_builds(catalogue: Catalogue, here: str, there: Sequence[str], driver: DriverPlan) -> Iterator[Problem]:
    builds = _builds(catalogue, driver.branch)
    if lacking := [system for system in there if system not in builds]:
        yield error(
            here,
            f"NVIDIA builds no driver container of R{driver.branch} for {' and '.join(map(shown, lacking))}",
            f"R{driver.branch} is built for {', '.join(sorted(builds)) or 'no system that the catalogue knows'}; "
            "or install the driver on the machine itself, and take driver out",
        )
        return
    for system in there:
        if (since := builds[system].dropped) is not None:
            yield warning(
                here,
                f"NVIDIA no longer builds R{driver.branch} for {system}, since {since}: {builds[system].version} gets "
                "no fix, and a newer kernel may not take its modules",
                "hold the kernel of these machines, or move the card's models to a newer one",
            )


def check_nodes(name: str, pools: Sequence[PoolPlan], nodes: Mapping[str, Sequence[str]]) -> Iterator[Problem]:
    """Machines that would need a driver of their own and none at once."""
    modes = {pool.name: pool.driver.mode for pool in pools if pool.needs.cards}
    for node, there in sorted(nodes.items()):
        hosts = [pool for pool in there if modes.get(pool) == "host"]
        containers = [pool for pool in there if modes.get(pool) == "container"]
        if hosts and containers:
            yield error(
                place("sites", name, "nodes", node),
                f"pool {hosts[0]} wants the driver of {node} itself, and the container of pool {containers[0]} wants a "
                "machine without one",
                "write driver: container at both, or at neither",
            )


def _system(site: Site, node: str) -> str:
    return site.nodes[node].os or (site.kubernetes.os if site.kubernetes else None) or ""


def _builds(catalogue: Catalogue, branch: int | None) -> dict[str, DriverBuild]:
    """By system."""
    return {
        system: build
        for build in catalogue.driver_containers.builds
        if build.branch == branch
        for system in build.systems
    }


def _branches(catalogue: Catalogue) -> list[int]:
    """The newest first."""
    return sorted({build.branch for build in catalogue.driver_containers.builds}, reverse=True)


def _systems(catalogue: Catalogue) -> list[str]:
    return sorted({system for build in catalogue.driver_containers.builds for system in build.systems})
