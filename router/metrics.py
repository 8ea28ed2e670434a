"""What Prometheus and the autoscaler read."""

import re
from collections.abc import Mapping, Sequence

from router.admin import Admin, UnreachableError
from router.control import Status
from router.observing import PREFIX
from router.spilling import ROOM
from router.web import Reply

TEXT = "text/plain; version=0.0.4; charset=utf-8"

OF_ENVOY = (
    rf"^{PREFIX}\.|^http\.door\.downstream_(rq|cx)_(active|total|[0-9]xx)|^server\.(memory_allocated|uptime)$"
    r"|^cluster\.[^>]*\.(upstream_rq_(active|pending_active|retry|timeout)|membership_(healthy|total))$"
)
"""Of Envoy's own statistics, of which there are 170 KB for five pools."""

Figure = tuple[str, str, str, float]
"""Name, kind, meaning, value."""


def metrics(status: Status, admin: Admin) -> Reply:
    """How the map stands, then what Envoy counts; while Envoy does not answer, the first alone."""
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
    own = "".join(_lines(figure) for figure in figures)
    try:
        return Reply(kind=TEXT, text=own + admin.prometheus(OF_ENVOY))
    except UnreachableError:
        return Reply(kind=TEXT, text=own)


def in_flight(pools: Sequence[str], admin: Admin) -> Reply:
    """The requests under way by pool, of this router: what an autoscaler adds up over all routers.

    A pool without one reads 0. 503 while Envoy does not answer: an error is seen, a false 0 would scale down.
    """
    try:
        found = admin.numbers(r"cluster\.[^>]*\.upstream_rq_(pending_)?active")
    except UnreachableError as error:
        return Reply(status=503, kind=TEXT, text=f"# {error}\n")
    name = "ollama_fleet_pool_requests_in_flight"
    lines = [f"# HELP {name} requests under way at a pool", f"# TYPE {name} gauge"]
    lines += [f'{name}{{pool="{pool}"}} {active(pool, found)}' for pool in pools]
    return Reply(kind=TEXT, text="\n".join(lines) + "\n")


def active(pool: str, found: Mapping[str, int]) -> int:
    """The requests under way at a pool, of Envoy's gauges by name."""
    own = re.compile(rf"cluster\.{re.escape(pool)}({re.escape(ROOM)})?\.upstream_rq_(pending_)?active")
    return sum(value for name, value in found.items() if own.fullmatch(name))


def _lines(figure: Figure) -> str:
    name, kind, meaning, value = figure
    full = f"ollama_fleet_{name}"
    return f"# HELP {full} {meaning}\n# TYPE {full} {kind}\n{full} {float(value):g}\n"
