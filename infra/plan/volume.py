"""The volume on which a pool keeps its models: whether it has one, how large it is, and whether that is enough."""

from collections.abc import Callable, Iterator, Sequence
from math import ceil, floor

from infra.config import FleetConfig, Pool, place
from infra.config.types import quantity
from infra.plan import sources
from infra.plan.capacity import GIB, LARGEST_DISK_GIB, SMALLEST_DISK_GIB
from infra.plan.model import PoolPlan, Resident
from infra.problem import Problem, error, warning

STEP = 50 * 10**9
"""Of a size that nobody named: what is claimed can grow and never shrink, so that a small edit must not change it."""
USABLE = 0.95
"""What a file system leaves."""


def size(config: FleetConfig, pool: Pool, residents: Sequence[Resident]) -> int:
    """Bytes of the pool's volume: the file's, else what its models need, in steps; 0 where it has none."""
    if not _has_one(config, pool):
        return 0
    return pool.volume_size or _proposed(residents)


def _has_one(config: FleetConfig, pool: Pool) -> bool:
    """In a cluster of one's own too, where `node` means a volume that stays on the node: one writer."""
    site = config.sites.get(pool.site or "")
    if site is None:
        return sources.storage(pool) == "volume"
    return site.kind == "kubernetes" and sources.storage(pool) != "ephemeral" and pool.replicas.max == 1


def _proposed(residents: Sequence[Resident]) -> int:
    return max(1, ceil(_comfortable(residents) / USABLE / STEP)) * STEP


def _comfortable(residents: Sequence[Resident]) -> int:
    """Bytes of the models, and of the largest a second time: a changed one arrives while the old one is still there."""
    files = [one.disk for one in residents if one.shares is None]
    return sum(files) + max(files, default=0)


def check(config: FleetConfig, pools: Sequence[PoolPlan]) -> Iterator[Problem]:
    """Sizes that no volume can have, that do not hold the models, or that nothing is made of."""
    for pool in pools:
        entry = config.pools[pool.name]
        here = place("pools", pool.name, "volumeSize")
        if pool.volume:
            where = here if entry.volume_size else place("pools", pool.name, "storage")
            yield from _check(where, pool, named=entry.volume_size is not None)
            yield from _on_the_machine(here, config, entry, pool)
        elif entry.volume_size and _is_ours(config, entry):
            kept = "pod" if pool.storage == "ephemeral" else "node"
            yield warning(
                here,
                f"the pool has no volume: its models are kept with the {kept}",
                "write storage: volume, or take volumeSize out",
            )


def _is_ours(config: FleetConfig, pool: Pool) -> bool:
    """Whether the server is the fleet's own; of others it is said that nothing is set up there."""
    return pool.site is None or (pool.site in config.sites and config.sites[pool.site].kind != "endpoints")


def _check(here: str, pool: PoolPlan, *, named: bool) -> Iterator[Problem]:
    works = f"write volumeSize: {quantity(_proposed(pool.residents))}" if named else "put fewer models on the pool"
    of_google = (("smallest", SMALLEST_DISK_GIB), ("largest", LARGEST_DISK_GIB))
    kind, bound = of_google[pool.volume > LARGEST_DISK_GIB * GIB]
    if pool.site is None and not SMALLEST_DISK_GIB * GIB <= pool.volume <= LARGEST_DISK_GIB * GIB:
        yield error(here, f"Google's {kind} disk has {bound} GiB, and this is {pool.volume_request}", works)
    elif (left := USABLE * pool.volume) < pool.model_storage:
        yield error(
            here,
            f"a volume of {pool.volume_request} leaves {_gb(left, floor)} GB, and its models need "
            f"{_gb(pool.model_storage, ceil)}",
            f"{works}, or put fewer models on the pool",
        )
    elif left < (wanted := _comfortable(pool.residents)):
        yield warning(
            here,
            f"a volume of {pool.volume_request} leaves {_gb(left, floor)} GB, and its models need "
            f"{_gb(wanted, ceil)} while a changed one arrives: such a pull fails",
            works,
        )


def _on_the_machine(here: str, config: FleetConfig, entry: Pool, pool: PoolPlan) -> Iterator[Problem]:
    """A volume that stays on the node has no more room than the node."""
    if entry.volume_size is None or entry.site is None or sources.storage(entry) != "node":
        return
    disks = {placed.node: config.sites[entry.site].nodes[placed.node].disk for placed in pool.placements}
    for node in sorted(node for node, disk in disks.items() if disk < entry.volume_size):
        yield warning(
            here,
            f"a volume of {pool.volume_request} is to stay on {node}, whose disk has {quantity(disks[node])}",
            "write what the machine has, or storage: volume where the cluster has room elsewhere",
        )


def _gb(size: float, rounded: Callable[[float], int]) -> str:
    """With one digit, rounded so that what does not fit does not look as if it did."""
    return f"{rounded(size / 10**8) / 10:.1f}"
