"""Which machines of a site carry which replicas."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from infra.catalogue.types import Catalogue, Gpu
from infra.config import FleetConfig, Pool, place
from infra.config.references import one_of
from infra.config.types import shown
from infra.names import some
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
    devices: dict[str, list[str]]
    """GPUs that are not taken, by kind; no entry where the file does not say which is which."""
    drivers: dict[int, Draft] = field(default_factory=dict)
    """The driver branches that its pools want, and the first pool that wants each."""
    modules: dict[str, str] = field(default_factory=dict)
    """The flavours of kernel modules that its cards want, and the first pool that wants each."""

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

    def take(self, draft: Draft, replicas: int) -> tuple[tuple[str, ...], ...]:
        """The GPUs of each replica, as far as they are known."""
        self.memory -= replicas * draft.load.memory
        self.disk -= replicas * draft.load.models + draft.load.image
        if draft.gpu.compute is not None:
            self.gpus[draft.pool.gpu] -= replicas * draft.pool.gpus_per_replica
        if draft.driver.branch is not None:
            self.drivers.setdefault(draft.driver.branch, draft)
        if draft.gpu.card is not None and draft.gpu.card.modules:
            self.modules.setdefault(draft.gpu.card.modules, draft.name)
        free, each = self.devices.get(draft.pool.gpu, []), draft.pool.gpus_per_replica
        if draft.gpu.compute is None or not free:
            return ()
        taken = tuple(tuple(free[index * each : (index + 1) * each]) for index in range(replicas))
        del free[: replicas * each]
        return taken


def distribute(
    catalogue: Catalogue, config: FleetConfig, drafts: Mapping[str, Draft]
) -> tuple[dict[str, tuple[SitePlacement, ...]], list[Problem]]:
    """Places the replicas of the pools at sites on the machines that the file describes, pools and machines by name."""
    rooms = [
        _Room(
            site=site,
            node=node,
            gpus={gpu: entry.count(gpu) for gpu in entry.gpus},
            memory=entry.memory,
            disk=entry.disk,
            devices={gpu: list(named) for gpu in entry.gpus if (named := entry.devices(gpu))},
        )
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
            f"the site's machines are not described, so GPUs, driver, memory and disk of {some(names)} are not checked",
            f"add nodes: {{MACHINE: {{gpus: {{{gpus}}}, memory: 64Gi, disk: 400Gi}}}} with its true figures",
        )


def _one_driver_each(rooms: list[_Room]) -> Iterator[Problem]:
    """A machine has one driver, of one flavour: a K80 (R470 at most) and a card that begins above cannot share it."""
    for room in rooms:
        here = place("sites", room.site, "nodes", room.node)
        if len(room.drivers) > 1:
            wanted = " and ".join(f"R{branch} for pool {draft.name}" for branch, draft in sorted(room.drivers.items()))
            yield error(
                here,
                f"{room.node} would need driver {wanted}, and a machine has one driver",
                "put the cards into different machines; where the file names driver or image, take them out, and the "
                "plan looks for what serves all",
            )
        flavours = sorted(room.modules.items())
        if len(flavours) > 1:
            wanted = " and ".join(f"the {flavour} ones for pool {name}" for flavour, name in flavours)
            yield error(
                here,
                f"{room.node} would need two flavours of NVIDIA's kernel modules, {wanted}",
                "put the cards into different machines",
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
            placed.append(
                SitePlacement(
                    node=room.node,
                    replicas=taken,
                    gpus_of_node=config.sites[room.site].nodes[room.node].count(pool.gpu),
                    devices=room.take(draft, taken),
                )
            )
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
