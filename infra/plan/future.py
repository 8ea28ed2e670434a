"""Keys that this version reads and does not act on yet, and what no plan can know: said, never left to be found out."""

from collections.abc import Iterator, Sequence

from pydantic import BaseModel

from infra.config import FleetConfig, place
from infra.names import some
from infra.plan.model import PoolPlan
from infra.problem import Problem, warning

OF_A_NEW_CLUSTER = ("deletion_protection", "network", "release_channel")
OF_OUR_SERVERS = ("drain_limit", "env", "keep_alive", "pull_deadline", "startup_threshold", "storage", "volume_size")
"""Keys of a pool that set up its server; the others describe it, and the plan reckons with them."""
NOT_YET = "read and checked, and not acted on by this version"
LATER = "leave it for later, or take it out"


def scope(config: FleetConfig, pools: Sequence[PoolPlan]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What this plan checked, and what it could not: of each only what the fleet has."""
    on_gke = any(pool.nodes is not None for pool in pools)
    placed = any(pool.placements for pool in pools)
    checked = [
        "keys and references",
        "memory",
        "card x driver x image",
        *(("machine",) if on_gke else ()),
        *(("disk",) if on_gke or placed else ()),
        *(("room at sites",) if placed else ()),
        *(("zone list", "price list") if on_gke else ()),
    ]
    not_checked = [
        *(("quota", "stock") if on_gke else ()),
        "whether the registry has a model",
        "what `latest` and unpinned tags stand for",
        *(("whether kernels at sites take NVIDIA's modules",) if _in_containers(pools) else ()),
        *(("drivers of the hosts at sites",) if any(pool.driver.assumed for pool in pools) else ()),
        *(("what runs at endpoints",) if any(site.kind == "endpoints" for site in config.sites.values()) else ()),
    ]
    return tuple(checked), tuple(not_checked)


def _in_containers(pools: Sequence[PoolPlan]) -> bool:
    return any(pool.driver.mode == "container" for pool in pools)


def check(config: FleetConfig) -> Iterator[Problem]:
    """One line for each part of the file that has no effect yet."""
    if config.gke is not None and config.gke.cluster is not None:
        for where in _written(config.gke, OF_A_NEW_CLUSTER, "gke"):
            yield warning(
                where, "it describes a cluster that the program makes, and cluster names one that exists", "take it out"
            )
    if config.gke is not None and config.router.site is not None:
        yield warning(
            place("router", "site"),
            "a door at a site is for fleets without GKE: with gke the router stands on GKE",
            "take site out",
        )
    yield from _sites(config)
    for where in _unused(config):
        yield warning(where, NOT_YET, LATER)


def _sites(config: FleetConfig) -> Iterator[Problem]:
    for name, site in sorted(config.sites.items()):
        pools = sorted(pool for pool, entry in config.pools.items() if entry.site == name)
        if site.kind != "endpoints":
            continue
        if len(pools) > 1:
            yield warning(
                place("sites", name, "endpoints"),
                f"pools {', '.join(pools)} send to the same servers: the memory of each is reckoned as if it had them "
                "to itself",
                "describe them as one pool, or write a site for each server",
            )
        models = sorted(model for model, entry in config.models.items() if set(entry.pools) & set(pools))
        if models:
            yield warning(
                place("sites", name, "endpoints"),
                "nothing is pulled or made on servers that the fleet does not run: "
                f"{some(models)} must be there, with the planned options",
                "pull them there, and set context, parallel and keep-alive there as the plan has them",
            )
        for pool in pools:
            for where in _written(config.pools[pool], OF_OUR_SERVERS, "pools", pool):
                yield warning(where, "it sets up a server of the fleet's own, and endpoints are not", "take it out")


def _unused(config: FleetConfig) -> Iterator[str]:
    """Places of keys that stand in the file and that nothing acts on, whatever their value."""
    for name, site in sorted(config.sites.items()):
        for node, entry in sorted(site.nodes.items()):
            unused = ("cpus",) if site.kubernetes else ("cpus", "os")
            yield from _written(entry, unused, "sites", name, "nodes", node)


def _written(section: BaseModel, fields: Sequence[str], *where: str) -> Iterator[str]:
    """Places of those `fields` of a section that the file names."""
    for field in fields:
        if field in section.model_fields_set:
            yield place(*where, type(section).model_fields[field].alias or field)
