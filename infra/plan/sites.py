"""Which machines of a site carry which replicas."""

from collections.abc import Mapping
from dataclasses import dataclass

from infra.catalogue.types import Catalogue, Gpu
from infra.config import FleetConfig, Pool, place
from infra.config.references import one_of
from infra.config.types import shown
from infra.plan.capacity import GIB, Load
from infra.plan.model import SitePlacement
from infra.problem import Problem, error, warning


@dataclass
class _Room:
    """What is left of one machine while pools are placed on it."""

    site: str
    node: str
    gpus: dict[str, int]
    memory: int
    disk: int

    def holds(self, pool: Pool, gpu: Gpu, load: Load, wanted: int) -> tuple[int, str]:
        """How many replicas fit, and what they fall short of if that is not the GPUs."""
        room = wanted if gpu.compute is None else self.gpus.get(pool.gpu, 0) // pool.gpus_per_replica
        shortage = ""
        for what, available, each in (
            ("memory", self.memory, load.memory),
            ("disk", self.disk - load.image, load.models),
        ):
            if room and each and available // each < room:
                room = max(0, available // each)
                shortage = (
                    f"; {self.node} has {max(0, available) / GIB:.0f} GiB of {what} left, "
                    f"a replica needs {each / GIB:.1f}"
                )
        return min(room, wanted), shortage

    def take(self, pool: Pool, gpu: Gpu, load: Load, replicas: int) -> None:
        self.memory -= replicas * load.memory
        self.disk -= replicas * load.models + load.image
        if gpu.compute is not None:
            self.gpus[pool.gpu] -= replicas * pool.gpus_per_replica


def distribute(
    catalogue: Catalogue, config: FleetConfig, loads: Mapping[str, Load], gpus: Mapping[str, Gpu]
) -> tuple[dict[str, tuple[SitePlacement, ...]], list[Problem]]:
    """Places the replicas of the pools at sites on the machines that the file describes, pools and machines by name."""
    rooms = [
        _Room(site=site, node=node, gpus=dict(entry.gpus), memory=entry.memory, disk=entry.disk)
        for site, described in sorted(config.sites.items())
        for node, entry in sorted(described.nodes.items())
    ]
    placements: dict[str, tuple[SitePlacement, ...]] = {}
    unknown = {
        (site, node, gpu)
        for site, described in config.sites.items()
        for node, entry in described.nodes.items()
        for gpu in set(entry.gpus) - set(catalogue.gpus)
    }
    problems = [
        error(
            place("sites", site, "nodes", node, "gpus", gpu),
            f"the catalogue has no GPU {shown(gpu)}",
            one_of(gpu, frozenset(catalogue.gpus), "GPUs", most=20),
        )
        for site, node, gpu in sorted(unknown)
    ]
    misread = {site for site, _, _ in unknown}
    for name in sorted(loads):
        pool = config.pools[name]
        site = config.sites.get(pool.site or "")
        if site is None or site.kind == "endpoints" or pool.site in misread:
            continue
        if not site.nodes:
            problems.append(
                warning(
                    place("sites", pool.site or "", "nodes"),
                    f"the site's machines are not described, so GPUs, memory and disk of pool {name} are not checked",
                    "add nodes: {NAME: {gpus: {k80: 2}, memory: 64Gi, disk: 400Gi}}",
                )
            )
            continue
        placements[name], found = _place(name, pool, loads[name], gpus[name], rooms, config)
        problems += found
    return placements, problems


def _place(
    name: str, pool: Pool, load: Load, gpu: Gpu, rooms: list[_Room], config: FleetConfig
) -> tuple[tuple[SitePlacement, ...], list[Problem]]:
    placed: list[SitePlacement] = []
    wanted, shortages = pool.replicas.max, ""
    for room in rooms:
        if room.site != pool.site or wanted == 0:
            continue
        taken, shortage = room.holds(pool, gpu, load, wanted)
        shortages += shortage
        if taken:
            room.take(pool, gpu, load, taken)
            gpus_of_node = config.sites[room.site].nodes[room.node].gpus.get(pool.gpu, 0)
            placed.append(SitePlacement(node=room.node, replicas=taken, gpus_of_node=gpus_of_node))
            wanted -= taken
    if wanted == 0:
        return tuple(placed), []
    missing = "" if shortages or gpu.compute is None else f": {wanted * pool.gpus_per_replica} more {gpu.title} wanted"
    return tuple(placed), [
        error(
            place("pools", name, "replicas"),
            f"site {pool.site} has no room for {wanted} of {pool.replicas.max} replica(s){missing}{shortages}",
            f"describe more machines under {place('sites', pool.site or '', 'nodes')}, or write fewer replicas",
        )
    ]
