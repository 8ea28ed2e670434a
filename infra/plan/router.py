"""The door: image, replicas and the map."""

from collections.abc import Sequence

from infra.catalogue import Catalogue
from infra.config import FleetConfig
from infra.plan import routes
from infra.plan.model import AliasPlan, ModelPlan, PoolPlan, RouterPlan

PORT = 8080
REPLICAS = 2
CPU_REQUEST = 250
MEMORY_REQUEST = 256 * 2**20
MEMORY_LIMIT = 2**30
"""Holds about thirty bodies of the default maxBody at once beside Envoy's own 120 MB."""


def build(
    catalogue: Catalogue,
    config: FleetConfig,
    models: Sequence[ModelPlan],
    aliases: Sequence[AliasPlan],
    pools: Sequence[PoolPlan],
) -> RouterPlan:
    """Two replicas, so that one may be drained; the map of these models."""
    return RouterPlan(
        image=catalogue.gke.images["envoy"],
        replicas=REPLICAS,
        port=PORT,
        cpu_request=CPU_REQUEST,
        memory_request=MEMORY_REQUEST,
        memory_limit=MEMORY_LIMIT,
        settings=config.router,
        routes=routes.render(config, models, aliases, pools),
    )
