"""The door: images, replicas, the time it takes to leave, and the map with what goes beside it."""

import re
from collections.abc import Iterator, Mapping, Sequence

from infra.catalogue import Catalogue
from infra.config import FleetConfig, place
from infra.names import some
from infra.plan import cluster, door, facts, naming, routes
from infra.plan.model import CONFIG_MAP_BYTES, AliasPlan, ModelPlan, PoolPlan, RouterPlan
from infra.plan.placement import Known
from infra.problem import Problem, error, warning
from router.routes import BY_BODY

PORT = 8080
ADMIN_PORT = 9901
METRICS_PORT = 9902
BESIDE_PORT = 9903
SPILL_PORT = 9904
REPLICAS = 2
MOST_REPLICAS = 6
CPU_TARGET = 70
"""Per cent of what its containers ask for: Envoy's work grows with the requests and with nothing else."""
CPU_REQUEST = 250
MEMORY_REQUEST = 256 * 2**20
THREADS = 2
"""Of Envoy, which takes one for each core otherwise: a body of 33 MB takes 280 MB more while a thread reads it."""
MEMORY_LIMIT = 2 * 2**30
"""What `router.overload` keeps it below."""
CONTROL_CPU_REQUEST = 50
CONTROL_MEMORY_REQUEST = 64 * 2**20
CONTROL_MEMORY_LIMIT = 512 * 2**20
"""The answers of many replicas with hundreds of models each, and the files in memory, which count here as well."""
LEAVE_SECONDS = 15
"""Between the endpoint's removal and the last accepted connection, so that no client is still sent here."""
SHORTEST_DRAIN = 120
LONGEST_WAKE = 1800
CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----\s[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----")


def check(config: FleetConfig, plan: RouterPlan) -> Iterator[Problem]:
    """More names than the map's ConfigMap holds: Kubernetes would refuse it at apply."""
    for name, text in sorted(plan.authorities.items()):
        if not CERTIFICATE.search(text):
            yield error(
                place("sites", name, "ca"),
                "it holds no certificate in PEM form",
                "paste the text of the certificate, or name the file that has it",
            )
    needed = sum(len(text.encode()) for text in (plan.routes, plan.facts, plan.rules, *plan.authorities.values()))
    in_a_cluster = config.gke is not None or any(site.kubernetes is not None for site in config.sites.values())
    if in_a_cluster and needed >= CONFIG_MAP_BYTES:
        names = len(config.models) + len(config.aliases)
        yield error(
            place("models"),
            f"{names} names need {needed / 2**20:.1f} MiB in the router's ConfigMap, which holds 1 MiB",
            "take names out, or divide them over two stacks",
        )


def missing(models: Sequence[ModelPlan], pools: Sequence[PoolPlan]) -> Iterator[Problem]:
    """Routes of the door that no pool of a model has: nothing stops the fleet, but a client will meet it."""
    lacking = {pool.name: set(pool.runtime.missing_routes) for pool in pools}
    by_path: dict[str, list[str]] = {}
    for model in models:
        for path in sorted(set.intersection(*(lacking[pool] for pool in model.route))):
            if re.fullmatch(BY_BODY, path):
                by_path.setdefault(path, []).append(model.name)
    for path, names in sorted(by_path.items()):
        yield warning(
            place("models"),
            f"no pool of {some(names)} has {path}: the router answers 501",
            "add a pool whose image has it; the model's other routes work",
        )


def build(
    catalogue: Catalogue,
    config: FleetConfig,
    known: Mapping[str, Known],
    models: Sequence[ModelPlan],
    aliases: Sequence[AliasPlan],
    pools: Sequence[PoolPlan],
) -> RouterPlan:
    """Two replicas at least, so that one may be drained; the map of these models."""
    reached = sorted((name, site) for name, site in config.sites.items() if site.url or site.endpoints)
    return RouterPlan(
        image=catalogue.gke.images["envoy"],
        control_image=catalogue.gke.images["python"],
        replicas=REPLICAS,
        most_replicas=MOST_REPLICAS,
        cpu_target=CPU_TARGET,
        port=PORT,
        admin_port=ADMIN_PORT,
        metrics_port=METRICS_PORT,
        beside_port=BESIDE_PORT,
        spill_port=SPILL_PORT,
        threads=THREADS,
        cpu_request=CPU_REQUEST,
        memory_request=MEMORY_REQUEST,
        memory_limit=MEMORY_LIMIT,
        control_cpu_request=CONTROL_CPU_REQUEST,
        control_memory_request=CONTROL_MEMORY_REQUEST,
        control_memory_limit=CONTROL_MEMORY_LIMIT,
        leave_seconds=LEAVE_SECONDS,
        # a stream through the door may take as long to end as one at the slowest pool
        # and whoever waits for a pool to wake waits on; not by its models, or adding one would restart the door
        drain_limit=max([SHORTEST_DRAIN, *(_slowest(config, pool) for pool in pools)]),
        priority_class=naming.priority_class(cluster.namespace(config)),
        settings=config.router,
        routes=routes.render(config, models, aliases, pools),
        facts=facts.render(config, known, models, pools),
        rules=door.render(config, models),
        keys=door.keys(config),
        sites=tuple(name for name, site in reached),
        authorities={name: site.ca for name, site in reached if site.ca},
    )


def _slowest(config: FleetConfig, pool: PoolPlan) -> int:
    """Seconds that a request to a pool may take to end."""
    asleep = config.pools[pool.name].hold_for or LONGEST_WAKE
    return pool.drain_limit + (asleep if pool.sleeps else 0)
