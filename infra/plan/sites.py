"""Which machines of a site carry which replicas."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from infra.catalogue.types import Catalogue, Gpu
from infra.config import FleetConfig, Pool, place
from infra.config.references import one_of
from infra.config.types import shown
from infra.plan.capacity import GIB, Load
from infra.plan.draft import Draft
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
    drivers: dict[int, Draft] = field(default_factory=dict)
    """The driver branches that its pools want, and the first pool that wants each."""

    def differs(self, branch: int | None) -> bool:
        """Whether a pool stands here already that wants another driver."""
        return branch is not None and bool(set(self.drivers) - {branch})

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

    def take(self, draft: Draft, replicas: int) -> None:
        self.memory -= replicas * draft.load.memory
        self.disk -= replicas * draft.load.models + draft.load.image
        if draft.gpu.compute is not None:
            self.gpus[draft.pool.gpu] -= replicas * draft.pool.gpus_per_replica
        if draft.driver.branch is not None:
            self.drivers.setdefault(draft.driver.branch, draft)


def distribute(
    catalogue: Catalogue, config: FleetConfig, drafts: Mapping[str, Draft]
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
    undescribed: dict[str, list[str]] = {}
    for name in sorted(drafts):
        pool = drafts[name].pool
        site = config.sites.get(pool.site or "")
        if site is None or site.kind == "endpoints" or pool.site in misread:
            continue
        if not site.nodes:
            undescribed.setdefault(pool.site or "", []).append(name)
            continue
        placements[name], found = _place(name, drafts[name], rooms, config)
        problems += found
    return placements, [*problems, *_undescribed(config, undescribed), *_one_driver_each(rooms)]


def _undescribed(config: FleetConfig, sites: Mapping[str, list[str]]) -> Iterator[Problem]:
    for site, names in sorted(sites.items()):
        gpus = ", ".join(f"{gpu}: 1" for gpu in sorted({config.pools[name].gpu for name in names}) if gpu != "none")
        yield warning(
            place("sites", site, "nodes"),
            "the site's machines are not described, so GPUs, driver, memory and disk of "
            f"{', '.join(names[:6])}{', ...' if names[6:] else ''} are not checked",
            f"add nodes: {{MACHINE: {{gpus: {{{gpus}}}, memory: 64Gi, disk: 400Gi}}}} with its true figures",
        )


def _one_driver_each(rooms: list[_Room]) -> Iterator[Problem]:
    """A machine has one driver: a K80 (R470 at most) and a card whose Ollama needs a newer one cannot share it."""
    for room in rooms:
        if len(room.drivers) < 2:
            continue
        (oldest, first), *others = sorted(room.drivers.items())
        wanted = " and ".join(f"R{branch} for pool {draft.name}" for branch, draft in sorted(room.drivers.items()))
        yield error(
            place("sites", room.site, "nodes", room.node),
            f"{room.node} would need driver {wanted}, and a machine has one driver",
            "put the cards into different machines, or write at "
            f"{', '.join(draft.name for _, draft in others)} driver: R{oldest} and image: {first.runtime.image}, "
            "as far as that image goes with the card",
        )


def _place(
    name: str, draft: Draft, rooms: list[_Room], config: FleetConfig
) -> tuple[tuple[SitePlacement, ...], list[Problem]]:
    pool, gpu, branch = draft.pool, draft.gpu, draft.driver.branch
    placed: list[SitePlacement] = []
    wanted, shortages = pool.replicas.max, ""
    for room in sorted((room for room in rooms if room.site == pool.site), key=lambda room: room.differs(branch)):
        if wanted == 0:
            continue
        taken, shortage = room.holds(pool, gpu, draft.load, wanted)
        shortages += shortage
        if taken:
            room.take(draft, taken)
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
