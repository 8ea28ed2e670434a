"""What is watched: the rules' expectations of this fleet, and how the scraper finds the routers."""

from collections.abc import Sequence

from infra.catalogue import Catalogue
from infra.config import FleetConfig
from infra.plan.model import CostPlan, MonitoringPlan, PoolPlan
from monitoring import Expected, dashboards, groups

WAKES = 2
"""Times the longest wake of the catalogue: what a pool may take before somebody looks."""


def build(
    catalogue: Catalogue, config: FleetConfig, pools: Sequence[PoolPlan], cost: CostPlan | None
) -> MonitoringPlan | None:
    """None where the file does not ask for it."""
    section = config.monitoring
    if section is None:
        return None
    return MonitoringPlan(
        kind=section.kind,
        rules=tuple(groups(expected(catalogue, config, pools, cost))),
        dashboards=dashboards() if section.dashboards else {},
    )


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
