"""The door: image, replicas and the map."""

from collections.abc import Iterator, Sequence

from infra.catalogue import Catalogue
from infra.config import FleetConfig, place
from infra.plan import routes
from infra.plan.model import AliasPlan, ModelPlan, PoolPlan, RouterPlan
from infra.problem import Problem, error

PORT = 8080
REPLICAS = 2
CPU_REQUEST = 250
MEMORY_REQUEST = 256 * 2**20
MEMORY_LIMIT = 2**30
"""Holds about thirty bodies of the default maxBody at once beside Envoy's own 120 MB."""
BYTES_OF_A_NAME = 620
"""What a model or alias of usual length takes in Envoy's routes, measured at 480 to 590."""
CONFIG_MAP_BYTES = 2**20


def check(config: FleetConfig) -> Iterator[Problem]:
    """More names than the router's ConfigMap holds: Kubernetes would refuse it at apply."""
    names = [*config.models, *config.aliases]
    needed = sum(BYTES_OF_A_NAME + 2 * max(0, len(name) - 20) for name in names)
    if config.gke is not None and needed > CONFIG_MAP_BYTES:
        yield error(
            place("models"),
            f"{len(names)} names need about {needed / 2**20:.1f} MiB in the router's ConfigMap, which holds 1 MiB",
            "take names out, or divide them over two stacks",
        )


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
