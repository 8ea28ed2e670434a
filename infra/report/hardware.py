"""A pool in words: its hardware, replicas, memory, price, driver and image. Plain text, as in infra.report.figures."""

from dataclasses import dataclass

from infra.plan.model import FleetPlan, Outcome, PoolPlan, Verdict
from infra.report.figures import gib, monthly, span

AT_HOME = "at home"
NO_PRICE = "no price"


def hardware(plan: FleetPlan, pool: PoolPlan) -> str:
    """GPU and machine, defaults included: `T4 16 GB, n1-standard-4` or `K80, 1 of 2 GPUs, rig-1`."""
    if pool.site is not None:
        return ", ".join([pool.gpu_title, *_at_site(pool)])
    titled = pool.gpus_per_replica == 0 or pool.gpu_memory_title in pool.gpu_title
    title = pool.gpu_title if titled else f"{pool.gpu_title} {pool.gpu_memory_title}"
    if (nodes := pool.nodes) is None:
        return f"{title}, no machine"
    parts = [f"{nodes.gpus_per_node} x {title}" if nodes.gpus_per_node > 1 else title, nodes.machine_type]
    if nodes.replicas_per_node > 1:
        parts.append(f"{nodes.replicas_per_node} replicas a node")
    if plan.cluster is None or nodes.zones != (plan.cluster.location,):
        parts.append(" ".join(nodes.zones))
    if pool.google_refuses:
        parts.append("Google refuses it")
    return ", ".join(parts)


def _at_site(pool: PoolPlan) -> list[str]:
    if not pool.placements:
        return [f"at {pool.site}"]
    used = [
        (f"{one.replicas * pool.gpus_per_replica} of {one.gpus_of_node}", one.node, one.gpus_of_node)
        for one in pool.placements
    ]
    if pool.gpus_per_replica == 0:
        return [node for _, node, _ in used]
    if len(used) == 1:
        share, node, gpus = used[0]
        return [f"{share} GPU{'s' * (gpus != 1)}", node]
    return [f"{share} GPUs on {node}" for share, node, _ in used]


def replicas(pool: PoolPlan) -> str:
    """`0..2`, `1`, and `spot` beside it."""
    number = span(str(pool.replicas.min), str(pool.replicas.max))
    return f"{number} spot" if pool.nodes is not None and pool.nodes.spot else number


def memory(pool: PoolPlan) -> tuple[str, str]:
    """What a replica's models take of its memory, and how full its fullest device gets: `11.4 of 14.6 GiB`, `78 %`."""
    judged = pool.memory
    if not judged.per_device:
        return f"{gib(judged.used)} GiB", ""
    each = f"{judged.devices} x " if judged.devices > 1 else ""
    where = " RAM" if pool.gpus_per_replica == 0 else ""
    figures = f"{gib(judged.used):>4} of {each}{gib(judged.per_device):>4} GiB{where}"
    return figures, f"{100 * judged.busiest / judged.per_device:.0f} %"


def strain(pool: PoolPlan) -> str:
    """What is to be said of the pool's memory beside the figures; empty where all fits."""
    return "" if pool.memory.verdict is Verdict.FITS else str(pool.memory.verdict)


def price(plan: FleetPlan, pool: PoolPlan, joint: str = "..") -> str:
    """USD per month of a pool; `at home` for what no cloud bills."""
    if pool.site is not None:
        return AT_HOME
    if plan.cost is None or pool.nodes is None or pool.nodes.hourly is None:
        return NO_PRICE
    return monthly(plan, plan.cost.pool(pool.name), joint)


def disk(pool: PoolPlan) -> str:
    """The boot disk of a node on GKE; empty elsewhere."""
    return f"{pool.nodes.disk_gb} GB {pool.nodes.disk_type}" if pool.nodes else ""


def driver(pool: PoolPlan) -> str:
    """Which driver, and who brings it."""
    plan = pool.driver
    if plan.mode == "none":
        return "none"
    which = "any" if plan.exact is None and plan.branch is None else plan.request
    if plan.mode == "installer":
        system = "Ubuntu" if plan.operating_system == "ubuntu" else "COS"
        return f"{which} installed on {system}{', pinned' * plan.pinned}"
    by = {
        "gke": "by GKE (LATEST)",
        "host": "on the host",
        "container": "in NVIDIA's container",
    }
    return f"{which} {by[plan.mode]}"


def _driver_there(plan: FleetPlan, pool: PoolPlan) -> str:
    """That of a server which somebody else runs is taken for what its card needs."""
    theirs = any(site.name == pool.site and site.kind == "endpoints" for site in plan.sites)
    return f"{driver(pool)} (assumed)" if theirs and pool.driver.assumed else driver(pool)


@dataclass(frozen=True, kw_only=True)
class Software:
    """Image, driver and disk of the pools that have them in common."""

    pools: tuple[str, ...]
    image: str
    driver: str
    disk: str
    works: bool


def software(plan: FleetPlan) -> tuple[Software, ...]:
    """The pools grouped by image, driver and disk, in the order of the first pool of each group."""
    groups: dict[tuple[str, str, str, bool], list[str]] = {}
    for pool in plan.pools:
        runtime = pool.runtime
        notes = [] if runtime.official else ["not official"]
        notes += ["assumed"] * runtime.assumed
        if runtime.outcome is not Outcome.WORKS:
            notes.append("not checked" if runtime.outcome is Outcome.UNKNOWN else str(runtime.outcome))
        if runtime.version and runtime.version not in runtime.image:
            notes.append(f"Ollama {runtime.version}")
        image = f"{runtime.image} ({', '.join(notes)})" if notes else runtime.image
        works = runtime.outcome in (Outcome.WORKS, Outcome.UNKNOWN)
        groups.setdefault((image, _driver_there(plan, pool), disk(pool), works), []).append(pool.name)
    return tuple(
        Software(pools=tuple(names), image=image, driver=which, disk=size, works=works)
        for (image, which, size, works), names in groups.items()
    )
