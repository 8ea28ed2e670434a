"""What Prometheus and the autoscaler read."""

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet

from router.admin import Admin, UnreachableError
from router.control import Status
from router.observing import PREFIX
from router.poll import Seen
from router.routing import HELD
from router.spilling import ROOM
from router.web import Reply

TEXT = "text/plain; version=0.0.4; charset=utf-8"

POOLS = "/metrics/pools"
OF_POOL = "ollama_fleet_pool_"
IN_FLIGHT = f"{OF_POOL}requests_in_flight"
GAUGES = r"cluster\.[^>]*\.upstream_rq_(pending_)?active"
PROBED_WITHIN = 0.05
"""A pool that spills is probed each second on the way of its requests. One of them would keep an idle pool awake; what
is under way at two looks is none."""

OF_ENVOY = (
    rf"^{PREFIX}\.|^http\.door\.downstream_(rq|cx)_(active|total|[0-9]xx)|^server\.(memory_allocated|uptime)$"
    r"|^cluster\.[^>]*\.(upstream_rq_(active|pending_active|retry|timeout)|membership_(healthy|total))$"
)
"""Of Envoy's own statistics, of which there are 170 KB for five pools."""

Figure = tuple[str, str, str, float]
"""Name, kind, meaning, value."""


def metrics(status: Status, pools: Sequence[str], seen: Seen, wanted: AbstractSet[str], admin: Admin) -> Reply:
    """How the map and the pools stand, then what Envoy counts; while Envoy does not answer, the first two alone."""
    figures: list[Figure] = [
        ("map_in_force", "gauge", "1 when Envoy runs from a good map", status.in_force),
        ("map_faults", "gauge", "what is wrong with the mounted map; the last good one serves on", len(status.faults)),
        ("door_faults", "gauge", "what is wrong with mounted rules, keys or certificate", len(status.door_faults)),
        ("map_overridden", "gauge", "models and pools that hand edits decide", len(status.overridden)),
        ("map_changes_total", "counter", "how often something else came into force", status.changes),
        ("digests_differ", "gauge", "names with different content on different replicas", len(status.differing)),
        ("envoy_follows", "gauge", "0 when Envoy has not taken the map", not status.trouble),
        ("draining", "gauge", "1 when this router leaves", status.draining),
    ]
    own = "".join([*(_lines(figure) for figure in figures), _of_pools(pools, seen), *_waking(status)])
    try:
        return Reply(kind=TEXT, text=own + _in_flight(pools, wanted, admin) + admin.prometheus(OF_ENVOY))
    except UnreachableError:
        return Reply(kind=TEXT, text=own)


def in_flight(pools: Sequence[str], wanted: AbstractSet[str], admin: Admin) -> Reply:
    """The requests under way by pool, of this router: what an autoscaler adds up over all routers.

    Those that wait for a sleeping pool are under way, and a pool that is `wanted` has one more. A pool without any
    reads 0. 503 while Envoy does not answer: an error is seen, a false 0 would scale down.
    """
    try:
        return Reply(kind=TEXT, text=_in_flight(pools, wanted, admin))
    except UnreachableError as error:
        return Reply(status=503, kind=TEXT, text=f"# {error}\n")


def _in_flight(pools: Sequence[str], wanted: AbstractSet[str], admin: Admin) -> str:
    found = admin.numbers(GAUGES)
    counts = {pool: active(pool, found) for pool in pools}
    if probed := [pool for pool in pools if counts[pool] and f"cluster.{pool}{ROOM}.upstream_rq_active" in found]:
        time.sleep(PROBED_WITHIN)
        later = admin.numbers(GAUGES)
        counts |= {pool: min(counts[pool], active(pool, later)) for pool in probed}
    wants = {pool: count + (pool in wanted) for pool, count in counts.items()}
    return _by_pool(IN_FLIGHT, "requests under way at a pool", wants)


def _of_pools(pools: Sequence[str], seen: Seen) -> str:
    """What the replicas said of themselves. Of a model on the CPU, and of one that is split, less than all is in
    `size_vram`."""
    loaded = {pool: [entry for replica in seen.get(pool, ()) for entry in replica.loaded] for pool in pools}
    replicas = {pool: len(seen.get(pool, ())) for pool in pools}
    models = {pool: len(entries) for pool, entries in loaded.items()}
    off_gpu = {pool: sum(_off_gpu(entry) for entry in entries) for pool, entries in loaded.items()}
    return (
        _by_pool(f"{OF_POOL}replicas", "replicas of a pool that answer", replicas)
        + _by_pool(f"{OF_POOL}models_loaded", "models in memory, counted at each replica", models)
        + _by_pool(f"{OF_POOL}models_off_gpu", "loaded models that are not wholly in GPU memory", off_gpu)
    )


def _off_gpu(entry: Mapping[str, object]) -> bool:
    whole, on_gpu = entry.get("size"), entry.get("size_vram", 0)
    return isinstance(whole, int) and isinstance(on_gpu, int) and on_gpu < whole


def _by_pool(name: str, meaning: str, counts: Mapping[str, int]) -> str:
    lines = [f"# HELP {name} {meaning}", f"# TYPE {name} gauge"]
    return "\n".join([*lines, *(f'{name}{{pool="{pool}"}} {count}' for pool, count in counts.items())]) + "\n"


def active(pool: str, found: Mapping[str, int]) -> int:
    """The requests under way at a pool, of Envoy's gauges by name."""
    own = re.compile(rf"cluster\.{re.escape(pool)}({ROOM}|{HELD})?\.upstream_rq_(pending_)?active")
    return sum(value for name, value in found.items() if own.fullmatch(name))


def _waking(status: Status) -> Iterator[str]:
    """Of the pools that are on their way."""
    waiting = {pool: one.waiting for pool, one in status.waking.items()}
    yield _by_pool(f"{OF_POOL}waking_waiting", "requests held until a sleeping pool is up", waiting)
    left = {pool: one.seconds_left for pool, one in status.waking.items()}
    yield _by_pool(f"{OF_POOL}waking_seconds_left", "until a pool that wakes usually is up", left)


def _lines(figure: Figure) -> str:
    name, kind, meaning, value = figure
    full = f"ollama_fleet_{name}"
    return f"# HELP {full} {meaning}\n# TYPE {full} {kind}\n{full} {float(value):g}\n"
