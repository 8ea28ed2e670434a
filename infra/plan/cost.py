"""What the fleet costs by list price: a check of the plan, not a cap on the bill."""

from collections.abc import Iterator, Sequence
from math import ceil

from infra.catalogue.types import Catalogue, Fact, RegionPrices
from infra.config import FleetConfig, place
from infra.plan.capacity import GIB
from infra.plan.clients import volume_gb
from infra.plan.model import ClusterPlan, CostLine, CostPlan, Money, PoolPlan
from infra.problem import Problem, error, warning

REFERENCE_REGION = "us-central1"
VOLUME_TYPE = "pd-balanced"
"""Of GKE's default StorageClass, standard-rwo."""


def region(location: str) -> str:
    """The region of a zone or region: us-central1-c is in us-central1."""
    parts = location.split("-")
    return "-".join(parts[:2])


def priced_in(catalogue: Catalogue, location: str) -> str:
    """The region whose prices stand for `location`: its own, else the reference region."""
    own = region(location)
    return own if own in catalogue.prices else REFERENCE_REGION


def _prices(catalogue: Catalogue, location: str) -> RegionPrices:
    return catalogue.prices[priced_in(catalogue, location)]


def machine_hourly(
    catalogue: Catalogue, location: str, machine_type: str, *, gpu: str, gpus: int, spot: bool
) -> float | None:
    """USD per hour of a machine with its GPUs; None where the catalogue has no such price."""
    prices, machine = _prices(catalogue, location), catalogue.machines[machine_type]
    if (bundle := prices.machines.get(machine_type)) is not None:
        return bundle.spot if spot else bundle.on_demand
    family = prices.families.get(machine.family)
    if family is None:
        return None
    vcpu, gb = (family.spot_vcpu, family.spot_gb) if spot else (family.vcpu, family.gb)
    if vcpu is None or gb is None:
        # no spot price of the host was found: reckoned at the full price, which errs on the safe side
        vcpu, gb = family.vcpu, family.gb
    hourly = machine.vcpus * vcpu + machine.memory_gb * gb
    if gpus:
        device = prices.gpus.get(gpu)
        if device is None or (spot and device.spot is None):
            return None
        hourly += gpus * (device.spot or 0.0 if spot else device.on_demand)
    return hourly


def disk_hourly(catalogue: Catalogue, location: str, disk_type: str, disk_gb: int) -> float:
    """USD per hour of a boot disk."""
    price = _prices(catalogue, location).disks.get(disk_type)
    return price.on_demand * disk_gb / catalogue.gke.hours_per_month if price else 0.0


def node_hourly(
    catalogue: Catalogue,
    location: str,
    machine_type: str,
    *,
    gpu: str,
    gpus: int,
    spot: bool,
    disk_gb: int,
    disk_type: str,
) -> float | None:
    """USD per hour of one node with its GPUs and boot disk; None where a price is missing."""
    machine = machine_hourly(catalogue, location, machine_type, gpu=gpu, gpus=gpus, spot=spot)
    return None if machine is None else machine + disk_hourly(catalogue, location, disk_type, disk_gb)


def build(
    catalogue: Catalogue, config: FleetConfig, cluster: ClusterPlan | None, pools: Sequence[PoolPlan]
) -> tuple[CostPlan | None, list[Problem]]:
    """The bill, and the budget held against it. No cluster, no bill: what stands at home is not reckoned."""
    if cluster is None:
        return None, _budget_without_cloud(config)
    prices = _prices(catalogue, cluster.location)
    lines = [] if cluster.existing else list(_base(catalogue, cluster, pools))
    if config.router.expose != "cluster":
        lines.append(_fixed("load balancer", prices.load_balancer.on_demand))
    if config.router.expose == "public":
        lines.append(_fixed("address of the door", prices.address.on_demand))
    lines += _chat(catalogue, config, cluster)
    lines += [
        CostLine(
            title=pool.name,
            pool=pool.name,
            hourly=Money(
                minimum=_fewest(catalogue, pool) * pool.nodes.hourly, maximum=pool.nodes.maximum * pool.nodes.hourly
            ),
        )
        for pool in pools
        if pool.nodes is not None and pool.nodes.hourly is not None
    ]
    lines += [
        CostLine(title=f"{pool.name} volume", pool=pool.name, hourly=Money(minimum=hourly, maximum=hourly))
        for pool in pools
        if pool.site is None
        and pool.volume
        # Google's GB are GiB, and it makes whole ones
        and (hourly := disk_hourly(catalogue, cluster.location, VOLUME_TYPE, ceil(pool.volume / GIB)))
    ]
    unpriced = [pool.name for pool in pools if pool.nodes is not None and pool.nodes.hourly is None]
    plan = CostPlan(
        region=region(cluster.location),
        priced_in=priced_in(catalogue, cluster.location),
        date=min((fact.date for fact in _used(catalogue, config, cluster, pools)), default=prices.cluster.date),
        hours_per_month=catalogue.gke.hours_per_month,
        lines=tuple(lines),
        budget=config.budget.monthly_usd if config.budget else None,
        not_counted=(
            "traffic and NAT data",
            "free tier, committed use and negotiated prices",
            *(("the existing cluster's own base",) if cluster.existing else ()),
            *((f"pools without a price: {', '.join(unpriced)}",) if unpriced else ()),
            *(("machines at home",) if any(pool.site for pool in pools) else ()),
        ),
    )
    return plan, [*_unpriced(pools, plan), *_budget(config, plan)]


def _fewest(catalogue: Catalogue, pool: PoolPlan) -> float:
    """Machines of a pool at its minimum, as the mean of a month in which schedules keep more."""
    by_schedule = sum(one.machines * one.hours for one in pool.scaling.kept) / catalogue.gke.hours_per_month
    return (pool.nodes.minimum if pool.nodes else 0) + by_schedule


def _chat(catalogue: Catalogue, config: FleetConfig, cluster: ClusterPlan) -> Iterator[CostLine]:
    """Its volume; it is exposed as the door is, by a load balancer and an address of its own."""
    if config.chat is None:
        return
    prices, volume = _prices(catalogue, cluster.location), volume_gb(config.chat)
    yield _fixed("chat volume", disk_hourly(catalogue, cluster.location, VOLUME_TYPE, volume))
    if config.router.expose != "cluster":
        yield _fixed("chat load balancer", prices.load_balancer.on_demand)
    if config.router.expose == "public":
        yield _fixed("chat address", prices.address.on_demand)


def _fixed(title: str, hourly: float, maximum: float | None = None) -> CostLine:
    return CostLine(
        title=title, pool=None, hourly=Money(minimum=hourly, maximum=hourly if maximum is None else maximum)
    )


def _base(catalogue: Catalogue, cluster: ClusterPlan, pools: Sequence[PoolPlan]) -> Iterator[CostLine]:
    prices = _prices(catalogue, cluster.location)
    yield _fixed("control plane", prices.cluster.on_demand)
    system = node_hourly(
        catalogue,
        cluster.location,
        cluster.system_machine,
        gpu="none",
        gpus=0,
        spot=False,
        disk_gb=cluster.system_disk_gb,
        disk_type=cluster.disk_type,
    )
    if system is not None:
        yield _fixed("system nodes", cluster.system_minimum * system, cluster.system_maximum * system)
    if cluster.network.create:
        gateway = prices.nat_gateway.on_demand
        # Google's rate is per VM up to 32 and flat above
        fewest = min(32, cluster.system_minimum + sum(_fewest(catalogue, pool) for pool in pools))
        most = min(32, cluster.system_maximum + sum(pool.nodes.maximum for pool in pools if pool.nodes is not None))
        yield _fixed("NAT", fewest * gateway + prices.address.on_demand, most * gateway + prices.address.on_demand)


def _used(catalogue: Catalogue, config: FleetConfig, cluster: ClusterPlan, pools: Sequence[PoolPlan]) -> Iterator[Fact]:
    """The prices that the bill is made of."""
    prices = _prices(catalogue, cluster.location)
    machines = [
        (pool.nodes.machine_type, pool.gpu, pool.nodes.disk_type)
        for pool in pools
        if pool.nodes is not None and pool.nodes.hourly is not None
    ]
    if not cluster.existing:
        machines.append((cluster.system_machine, "none", cluster.disk_type))
        yield prices.cluster
        if cluster.network.create:
            yield from (prices.nat_gateway, prices.address)
    if config.router.expose != "cluster":
        yield prices.load_balancer
    if config.router.expose == "public":
        yield prices.address
    for machine_type, gpu, disk_type in machines:
        bundle = prices.machines.get(machine_type)
        parts = (prices.families.get(catalogue.machines[machine_type].family), prices.gpus.get(gpu))
        yield from (fact for fact in ((bundle,) if bundle else parts) if fact is not None)
        if disk_type in prices.disks:
            yield prices.disks[disk_type]


def _unpriced(pools: Sequence[PoolPlan], plan: CostPlan) -> Iterator[Problem]:
    if plan.region != plan.priced_in:
        yield warning(
            place("gke", "location"),
            f"the catalogue has no prices of {plan.region}: the figures are those of {plan.priced_in}",
            "compare them with Google's price list",
        )
    for pool in pools:
        if pool.nodes is not None and not pool.google_refuses and pool.nodes.hourly is None:
            kind = "spot " if pool.nodes.spot else ""
            yield warning(
                place("pools", pool.name),
                f"the catalogue has no {kind}price of {pool.nodes.machine_type} with {pool.gpu_title}: not counted",
                "look it up before `pulumi up`",
            )


def _budget(config: FleetConfig, plan: CostPlan) -> Iterator[Problem]:
    if config.budget is None:
        return
    limit = config.budget.monthly_usd
    least, most = plan.monthly(plan.total.minimum), plan.monthly(plan.total.maximum)
    here = place("budget", "monthlyUsd")
    dearest = max(plan.lines, key=lambda line: line.hourly.minimum, default=None)
    if least > limit:
        remedy = "raise the budget, or let pools sleep with replicas: 0..N"
        if dearest is not None and dearest.pool is not None:
            remedy += f"; the dearest is {dearest.pool} with ${plan.monthly(dearest.hourly.minimum):,.0f}"
        figures = _apart(least, limit)
        yield error(here, f"the fleet costs at least {figures[0]} a month, and the budget is {figures[1]}", remedy)
    elif most > limit:
        figures = _apart(most, limit)
        yield warning(
            here,
            f"at its maximum the fleet costs {figures[0]} a month, and the budget is {figures[1]}; "
            "this is a check, not a cap",
            "lower the maximum of replicas, or set a budget alert at Google",
        )


def _apart(cost: float, limit: float) -> tuple[str, str]:
    """Both in whole dollars, or with as many digits as tell them apart."""
    pairs = ((f"${cost:,.{digits}f}", f"${limit:,.{digits}f}") for digits in (0, 2, 6))
    return next((pair for pair in pairs if pair[0] != pair[1]), (f"${cost!r}", f"${limit!r}"))


def _budget_without_cloud(config: FleetConfig) -> list[Problem]:
    if config.budget is None:
        return []
    return [warning(place("budget"), "there is no gke, so nothing here has a price", "take budget out")]
