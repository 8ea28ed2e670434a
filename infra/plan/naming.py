"""Names of cloud and Kubernetes objects: DNS-safe, stable, and one object to a name."""

from collections import defaultdict
from collections.abc import Iterable, Iterator

from infra.config import FleetConfig, place
from infra.names import short
from infra.plan.model import PoolNames
from infra.problem import Problem, error

NODE_POOL_LENGTH = 40
SERVICE_ACCOUNT_LENGTH = 30
CLUSTER_LENGTH = 40
ROUTER = "ollama-router"
"""Of everything that the router consists of, and the label of its pods."""
ROUTES = "ollama-routes"
OVERRIDE = "ollama-routes-override"
ROUTER_METRICS = "ollama-router-metrics"
ROUTER_KEYS = "ollama-router-keys"
ROUTER_TOKENS = "ollama-router-tokens"
PREPARE = "ollama-prepare"
CHAT = "ollama-chat"
LOAD_TEST = "ollama-loadtest"
MONITORING = "ollama-fleet"
"""Of the scraper's object and of the rules; its maps of rules and dashboards begin with it."""
GPU_EXPORTER = "nvidia-dcgm"
"""Of what all its pods share, and their label."""
POOL_LABEL = "ollama-fleet/pool"
COMPONENT = "app.kubernetes.io/component"
DRIVER_CONTAINER = "nvidia-driver"


def pool(name: str) -> PoolNames:
    """The names of a pool's objects."""
    return PoolNames(
        workload=f"ollama-{name}",
        node_pool=short(f"ollama-{name}", NODE_POOL_LENGTH),
        driver=f"nvidia-driver-{name}",
        gpu_exporter=f"nvidia-dcgm-{name}",
        models=f"ollama-{name}-models",
    )


def host(service: str, namespace: str) -> str:
    """Under which name a Service is found in its cluster."""
    return f"{service}.{namespace}.svc.cluster.local"


def drivers(namespace: str) -> str:
    """The namespace of drivers and of what else must be privileged, beside that of the servers."""
    return f"{namespace}-drivers"


def driver_log(namespace: str) -> str:
    """The command that shows what NVIDIA's driver containers say."""
    return f"kubectl -n {drivers(namespace)} logs -l {COMPONENT}={DRIVER_CONTAINER} --prefix"


def priority_class(namespace: str) -> str:
    """The priority of what every pool needs, a name of the whole cluster."""
    return f"{namespace}-router"


def cluster(stack: str) -> str:
    """The name of the cluster that a stack makes."""
    return short(f"ollama-fleet-{dns(stack)}", CLUSTER_LENGTH)


def node_account(stack: str) -> str:
    """The account id of the nodes' service account: 6 to 30 characters."""
    return short(f"fleet-{dns(stack)}-nodes", SERVICE_ACCOUNT_LENGTH)


def dns(text: str) -> str:
    """`text` in lower case with everything but letters, digits and `-` replaced."""
    safe = "".join(letter if letter.isascii() and letter.isalnum() else "-" for letter in text.lower()).strip("-")
    return safe or "stack"


def check(config: FleetConfig) -> Iterator[Problem]:
    """Pools whose objects would take a name that is taken, by another pool or by the fleet itself."""
    taken: dict[str, list[str]] = defaultdict(list)
    for fixed in (ROUTER, ROUTER_KEYS, ROUTER_TOKENS, ROUTES, OVERRIDE, PREPARE, CHAT, LOAD_TEST):
        taken[fixed].append("")
    for name in sorted(config.pools):
        for used in _objects(pool(name)):
            taken[used].append(name)
    for used, owners in sorted(taken.items()):
        for name in owners[1:]:
            other = f"pool {owners[0]}" if owners[0] else "the fleet's own object"
            yield error(place("pools", name), f"its name {used} is that of {other}", "name the pool differently")


def _objects(names: PoolNames) -> Iterable[str]:
    return {names.workload, names.node_pool, names.driver, names.gpu_exporter, names.models}
