"""What a pool's replicas follow, how a sleeping pool comes back, and what that saves and costs."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from infra.catalogue import Catalogue
from infra.config import FleetConfig, Pool, place
from infra.names import canonical_model, some
from infra.plan import asked, capacity, schedule
from infra.plan.capacity import GIB
from infra.plan.draft import Draft
from infra.plan.model import KedaPlan, KeptPlan, ModelPlan, Nodes, PoolPlan, ScalingPlan, SleepPlan, WindowPlan
from infra.plan.router import MEMORY_LIMIT
from infra.problem import Problem, error, warning
from router import overload

UP_AFTER, DOWN_AFTER = 30, 600
UP_EVERY, DOWN_EVERY = 60, 120
"""Seconds for one pod more, or fewer: a node's start is watched before the next one is called."""
LOOK_EVERY = 5
"""Seconds between two looks at a pool that sleeps: somebody waits."""
UTILIZATION = 50
"""Per cent of the CPU and of the memory that a pod asks for."""
HOLD_LIMIT = 200
HELD_BYTES = 150_000
"""Of a router for each request that waits, its body apart, which stands there twice. Measured with 400, 2026-11-22."""
SHORTEST_IDLE = 300
"""Seconds: a pool that goes as soon as nobody asks would be woken anew by whoever reads an answer first."""
LONGEST_WINDOW = 3600
"""Seconds over which a HorizontalPodAutoscaler may look back (k8s.io/api autoscaling/v2, 2026-11-21)."""
SAFE_SHARE = 0.9
"""Of the target, in which idle memory must lie: weights stay where they are, so an average above the target calls pod
after pod, and the autoscaler tolerates 10 % on either side."""
MINUTE = 60


def build(catalogue: Catalogue, drafted: Draft, machines: Nodes | None) -> ScalingPlan:
    """Only pools on GKE scale: there requests in flight are the default, since a GPU looks busy at any load."""
    pool = drafted.pool
    given, scales = pool.scaling, pool.replicas.scales
    by = given.by if given else "inFlight" if scales else "fixed"
    down_after = given.down_after if given else DOWN_AFTER
    target = given.target if given else None
    kept = schedule.kept(pool, machines, hours_per_month=catalogue.gke.hours_per_month) if by == "inFlight" else ()
    return ScalingPlan(
        by=by,
        target=target or (UTILIZATION if by == "utilization" else pool.parallel),
        up_after=given.up_after if given else UP_AFTER,
        down_after=down_after,
        up_every=UP_EVERY,
        down_every=DOWN_EVERY,
        look_every=LOOK_EVERY,
        windows=tuple(
            WindowPlan(start=one.start, end=one.end, timezone=one.timezone, replicas=one.replicas)
            for one in pool.schedule
        ),
        kept=kept,
        sleep=_sleep(catalogue, drafted, machines, down_after, kept) if pool.replicas.min == 0 else None,
    )


def _sleep(
    catalogue: Catalogue, drafted: Draft, machines: Nodes | None, down_after: int, kept: Sequence[KeptPlan]
) -> SleepPlan:
    facts, pool = catalogue.gke.wake, drafted.pool
    starts_within = int(facts.maximum_minutes * MINUTE + drafted.load.models / 10**9 * facts.seconds_per_gb)
    patience = -(-int(starts_within * facts.patience) // MINUTE) * MINUTE
    idle_after = max(SHORTEST_IDLE, down_after)
    billed = facts.boot_minutes + idle_after / MINUTE + facts.unneeded_minutes
    hourly = machines.hourly if machines else None
    return SleepPlan(
        # who hands on what it has no room for has none while it sleeps
        wake="fallback" if pool.when_busy == "spill" else pool.wake,
        hold_for=pool.hold_for or patience,
        held_at_most=pool.hold_limit or HOLD_LIMIT,
        starts_within=starts_within,
        idle_after=idle_after,
        billed_minutes=billed,
        wake_cost=None if hourly is None else hourly * billed / 60,
        saved_hourly=hourly,
        hours=catalogue.gke.hours_per_month - sum(one.hours for one in kept),
    )


def keda(catalogue: Catalogue, config: FleetConfig, pools: Sequence[PoolPlan]) -> KedaPlan | None:
    """KEDA as it is installed, where a pool needs it and the file does not say that it is there."""
    if config.keda == "existing" or not any(pool.scaling.by_keda for pool in pools):
        return None
    facts = catalogue.gke.keda
    return KedaPlan(
        chart=facts.chart,
        version=facts.version,
        repository=facts.repository,
        namespace=facts.namespace,
        metrics_port=facts.metrics_port,
        operator=asked.KEDA_OPERATOR,
        metrics_server=asked.KEDA_METRICS,
    )


def check(
    catalogue: Catalogue, config: FleetConfig, pools: Sequence[PoolPlan], models: Sequence[ModelPlan]
) -> Iterator[Problem]:
    """What cannot scale as it is written, and what its owner should know."""
    yield from _keda(config, pools)
    by_name = {pool.name: pool for pool in pools}
    last_of = defaultdict(list)
    for model in models:
        last_of[model.route[-1] if model.route else ""].append(model.name)
    for name, pool in by_name.items():
        entry = config.pools[name]
        yield from _windows_of_time(name, entry)
        yield from _numbers(catalogue, name, entry, pool)
        yield from _asleep(name, entry, pool, sorted(last_of[name]))
        yield from schedule.check(name, entry, pool)
    yield from _waits(by_name, models)
    yield from _all_who_wait(pools)
    yield from _splits(config, by_name, models)


def _keda(config: FleetConfig, pools: Sequence[PoolPlan]) -> Iterator[Problem]:
    needed = sorted(pool.name for pool in pools if pool.scaling.by_keda)
    if not needed and "keda" in config.model_fields_set:
        yield warning(place("keda"), "no pool scales by requests in flight, so KEDA is not used", "take keda out")
    if needed and config.keda == "existing" and config.gke is not None and config.gke.cluster is None:
        yield warning(
            place("keda"),
            f"{', '.join(needed)} scale by KEDA, and the cluster that the program makes has none at first",
            "take keda out, and the program installs it",
        )
    if needed and config.keda == "install" and config.gke is not None and config.gke.cluster is not None:
        yield warning(
            place("keda"),
            f"KEDA is installed for {', '.join(needed)}, and the cluster exists: it can have only one KEDA, and no "
            "other server of external metrics beside it",
            "keda: existing where kubectl get apiservice v1beta1.external.metrics.k8s.io finds one of KEDA",
        )


def _windows_of_time(name: str, entry: Pool) -> Iterator[Problem]:
    if entry.scaling is None:
        return
    for key, seconds in (("upAfter", entry.scaling.up_after), ("downAfter", entry.scaling.down_after)):
        if seconds > LONGEST_WINDOW:
            yield error(
                place("pools", name, "scaling", key),
                "an autoscaler looks back over one hour at most",
                "write 1h or less",
            )


def _numbers(catalogue: Catalogue, name: str, entry: Pool, pool: PoolPlan) -> Iterator[Problem]:
    here = place("pools", name, "scaling")
    if entry.scaling is None or pool.site is not None:
        return
    if pool.scaling.by != "fixed" and not pool.replicas.scales:
        least = pool.replicas.min
        yield warning(
            here,
            f"replicas are {least}, so nothing scales",
            f"write replicas: {least}..{least + 1}, or take scaling out",
        )
    if pool.scaling.by != "utilization":
        return
    target = pool.scaling.target
    if target > 100:
        yield error(f"{here}.target", f"{target} % of what a pod asks for is never used on average", "write 1 to 100")
        return
    idle, asked = _idle_memory(catalogue, pool), pool.memory_request + pool.companion_memory
    if idle > SAFE_SHARE * target / 100 * asked:
        needed = idle / (SAFE_SHARE * target / 100)
        yield error(
            here,
            f"its models stand in {idle / GIB:.1f} GiB of main memory, {100 * idle / asked:.0f} % of the "
            f"{asked / GIB:.1f} GiB that a pod asks for: with a memory target of {target} % each new replica would "
            "call the next one",
            f"give it a machineType that leaves a pod {needed / GIB:.1f} GiB, or scaling: inFlight",
        )


def _idle_memory(catalogue: Catalogue, pool: PoolPlan) -> int:
    """Bytes of main memory that a replica takes at any load: that of its runners, and weights that no GPU holds."""
    distinct = sum(one.shares is None for one in pool.residents)
    host = capacity.host_memory(catalogue, loaded=min(1, distinct) if pool.loading == "onDemand" else distinct)
    return host + (0 if pool.gpus_per_replica else pool.memory.used)


def _asleep(name: str, entry: Pool, pool: PoolPlan, alone: Sequence[str]) -> Iterator[Problem]:
    """`alone` are the models that have no pool behind this one."""
    sleep = pool.scaling.sleep
    if sleep is None:
        for field, key in (("wake", "wake"), ("hold_for", "holdFor"), ("hold_limit", "holdLimit")):
            if field in entry.model_fields_set:
                yield warning(
                    place("pools", name, key),
                    "the pool never sleeps, so nobody waits for it",
                    "write replicas: 0..N, or take it out" if pool.site is None else "take it out",
                )
        return
    if sleep.hold_for < sleep.starts_within:
        yield warning(
            place("pools", name, "holdFor"),
            f"requests give up after {_minutes(sleep.hold_for)}, "
            f"and a wake takes about {_minutes(sleep.starts_within)}",
            f"write {-(-sleep.starts_within // MINUTE)}m or more, or take it out",
        )
    if entry.when_busy == "spill" and "wake" in entry.model_fields_set and entry.wake == "hold":
        yield warning(
            place("pools", name, "wake"),
            "the pool spills, so the next one of a route answers while it sleeps too",
            "take wake out, or write whenBusy: wait",
        )
    if entry.wake == "fallback" and alone:
        yield warning(
            place("pools", name, "wake"),
            f"{some(alone)} {'has' if len(alone) == 1 else 'have'} no pool behind {name}: these requests wait for it",
            "name a further pool in the model's list, or write wake: hold",
        )


def _waits(pools: Mapping[str, PoolPlan], models: Sequence[ModelPlan]) -> Iterator[Problem]:
    """Pools that are waited for although the next one would answer."""
    waiting: dict[str, list[str]] = {}
    for model in models:
        route = [pools[name] for name in model.route if name in pools]
        first = next((pool for pool in route if pool.scaling.sleep), None)
        if first is None or first.scaling.sleep is None or first.scaling.sleep.wake == "fallback":
            continue
        if any(pool.scaling.sleep is None for pool in route[route.index(first) + 1 :]):
            waiting.setdefault(first.name, []).append(model.name)
    for name, names in sorted(waiting.items()):
        yield warning(
            place("pools", name, "wake"),
            f"while {name} sleeps, requests for {some(names)} wait for it, though another pool of the route is up",
            "wake: fallback answers from that one at once, and wakes this one meanwhile",
        )


def _all_who_wait(pools: Sequence[PoolPlan]) -> Iterator[Problem]:
    """More than a router has memory for, whatever they ask."""
    held = {pool.name: pool.scaling.sleep.held_at_most for pool in pools if pool.scaling.sleep}
    total, room = sum(held.values()), int(overload.FROM * MEMORY_LIMIT / HELD_BYTES) // 100 * 100
    if total > room:
        yield warning(
            place("pools", max(held, key=lambda name: (held[name], name)), "holdLimit"),
            f"{total:,} requests may wait in each router pod, and from {room:,} small ones on it gives up requests for "
            "want of memory, with large bodies much sooner",
            f"let at most {room:,} wait, all pools together",
        )


def _splits(config: FleetConfig, pools: Mapping[str, PoolPlan], models: Sequence[ModelPlan]) -> Iterator[Problem]:
    routes = {canonical_model(model.name): model.route for model in models}
    for alias, entry in sorted(config.aliases.items()):
        if len(entry.targets) < 2:
            continue
        for target, weight in sorted(entry.targets.items()):
            first = next((pools[name] for name in routes.get(canonical_model(target), ())[:1] if name in pools), None)
            if first is not None and first.sleeps:
                share = 100 * weight / sum(entry.targets.values())
                yield warning(
                    place("aliases", alias),
                    f"{share:.3g} % of its requests go to {target}, whose pool {first.name} may sleep: "
                    "these wait for it",
                    f"give {first.name} a minimum of one replica, or split between pools that stay up",
                )


def _minutes(seconds: int) -> str:
    return f"{seconds} s" if seconds < 2 * MINUTE else f"{seconds / MINUTE:.0f} min"
