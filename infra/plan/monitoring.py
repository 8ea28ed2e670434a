"""What is watched: the rules' expectations of this fleet, who scrapes the routers, and whose GPUs are read."""

from collections.abc import Sequence

from infra.catalogue import Catalogue
from infra.config import FleetConfig
from infra.plan.memory import MIB
from infra.plan.model import CostPlan, GpuExporterPlan, MonitoringPlan, PoolPlan
from monitoring import Expected, counters, dashboards, groups

WAKES = 2
"""Times the longest wake of the catalogue: what a pool may take before somebody looks."""


def build(
    catalogue: Catalogue, config: FleetConfig, pools: Sequence[PoolPlan], cost: CostPlan | None
) -> MonitoringPlan | None:
    """None where the file does not ask for it."""
    section = config.monitoring
    if section is None:
        return None
    gpus = gpu_exporter(catalogue, pools) if section.gpus else None
    read = gpus is not None and bool(gpus.pools)
    return MonitoringPlan(
        kind=section.kind,
        rules=tuple(groups(expected(catalogue, config, pools, cost))),
        dashboards=dashboards(with_gpus=read) if section.dashboards else {},
        gpus=gpus,
    )


def gpu_exporter(catalogue: Catalogue, pools: Sequence[PoolPlan]) -> GpuExporterPlan:
    """Our own rather than what GKE has since 1.32.1: that says no pool, is switched for a whole cluster beside all that
    Google has on by default, and not at all for one that exists."""
    facts = catalogue.gke.gpu_exporter
    left_out = {pool.name: why for pool in pools if (why := _not_read(catalogue, pool))}
    return GpuExporterPlan(
        image=catalogue.gke.images["gpu_exporter"],
        port=facts.port,
        counters=counters(),
        pools=tuple(pool.name for pool in pools if pool.name not in left_out),
        left_out=left_out,
        cpu_request=facts.cpu_millis,
        memory_request=facts.memory_mib * MIB,
        memory_limit=facts.memory_limit_mib * MIB,
    )


def _not_read(catalogue: Catalogue, pool: PoolPlan) -> str:
    """Why nobody reads the GPUs of a pool; empty where its nodes get the exporter."""
    facts = catalogue.gke.gpu_exporter
    if not pool.gpus_per_replica:
        return "no GPU"
    if pool.nodes is None:
        return "not on GKE, where the scraper is"
    least = tuple(int(part) for part in facts.minimum_compute.split("."))
    if catalogue.gpus[pool.gpu].compute_capability < least:
        return "a card that DCGM does not know"
    if not pool.driver.checked_on_node:
        return "a driver that is not the fleet's to look after"
    if pool.driver.branch is not None and pool.driver.branch < facts.minimum_driver:
        return f"its driver is before R{facts.minimum_driver}"
    return ""


def expected(catalogue: Catalogue, config: FleetConfig, pools: Sequence[PoolPlan], cost: CostPlan | None) -> Expected:
    """What the rules hold this fleet to. Machines at home cost nothing here."""
    hourly = {
        pool.name: pool.nodes.hourly / pool.nodes.replicas_per_node
        for pool in pools
        if pool.nodes is not None and pool.nodes.hourly is not None
    }
    return Expected(
        parallel={pool.name: pool.parallel for pool in pools},
        awake=[pool.name for pool in pools if not pool.sleeps],
        asleep=[pool.name for pool in pools if pool.sleeps],
        on_gpu=[pool.name for pool in pools if pool.gpus_per_replica],
        wake_seconds=round(WAKES * catalogue.gke.wake.maximum_minutes * 60),
        base_hourly=cost.base.minimum if cost else 0.0,
        hourly=hourly if cost else {},
        hours_per_month=catalogue.gke.hours_per_month,
        budget=config.budget.monthly_usd if config.budget else None,
    )
