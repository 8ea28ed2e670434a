"""What the status page and `fleet status` show: the map, the pools and the replicas, seen from one router."""

import re
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Any

from router.admin import Admin, UnreachableError
from router.control import Control
from router.metrics import active
from router.observing import PREFIX
from router.poll import NO_ADDRESS, Replica
from router.routing import RouteMap, canonical, shown

FRESH_FOR = 1.0
"""Seconds. Pages ask every few, and each would have Envoy write all its figures."""
FAILED = 500
"""From this status on a request is an error of the fleet; below it is the client's."""
WITHHELD = "known to whoever may use every model"

Entry = dict[str, Any]
_LINE = re.compile(rf"envoy_{PREFIX}_requests\{{(.*)\}} (\d+)")
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


@dataclass(frozen=True, kw_only=True)
class Figures:
    """What Envoy has counted since it started."""

    asked: Mapping[str, int] = field(default_factory=dict)
    """Requests by `model NAME` and `pool NAME`."""
    failed: Mapping[str, int] = field(default_factory=dict)
    in_flight: Mapping[str, int] = field(default_factory=dict)
    """By pool."""
    healthy: Mapping[str, int] = field(default_factory=dict)
    """Replicas that Envoy sends requests to, by pool."""


class Overview:
    """The state of the fleet, for whoever may know it."""

    def __init__(self, control: Control, admin: Admin) -> None:
        self._control = control
        self._admin = admin
        self._figures: tuple[float, Figures] = (-FRESH_FOR, Figures())

    def of(self, key: str) -> Entry:
        """Everything that the bearer of a key may know: a key for some models knows these and their pools."""
        control, only = self._control, self._control.allowed(key)
        fleet, status = control.fleet, control.status
        figures = self._count(tuple(fleet.pools))
        models = [self._model(fleet, name, figures) for name in fleet.names if only is None or canonical(name) in only]
        reached = None if only is None else {pool for model in models for pool in (*model["route"], *model["now"])}
        return {
            "map": {
                "in_force": status.in_force,
                "changes": status.changes,
                "faults": _told(status.faults, only),
                "door_faults": _told(status.door_faults, only),
                "overridden": [name for name in status.overridden if only is None or canonical(name) in only],
                "trouble": status.trouble,
            },
            "draining": status.draining,
            "key": key or None,
            "models": models,
            "pools": [
                self._pool(fleet, name, figures, only)
                for name in sorted(fleet.pools)
                if reached is None or name in reached
            ],
        }

    def _model(self, fleet: RouteMap, name: str, figures: Figures) -> Entry:
        own, table = canonical(name), self._control.table
        shares = fleet.splits.get(name, {})
        route = fleet.orders.get(own) or _pools(fleet.orders[canonical(model)] for model in shares)
        now = table.orders.get(own) or _pools(order for order, _ in table.splits.get(own, ()))
        return {
            "name": shown(name),
            "alias_of": fleet.aliases.get(name),
            "split": dict(shares) or None,
            "route": list(route),
            "now": list(now),
            "overridden": name in self._control.status.overridden,
            "digests": self._control.status.differing.get(own, {}),
            "requests": figures.asked.get(f"model {own}", 0),
            "errors": figures.failed.get(f"model {own}", 0),
        }

    def _pool(self, fleet: RouteMap, name: str, figures: Figures, only: AbstractSet[str] | None) -> Entry:
        replicas = self._control.seen.get(name, ())
        wanted = sorted(own for own, order in fleet.orders.items() if name in order)
        failures = self._control.failures.get(name, {})
        state, cause = _state(replicas, wanted, failures, figures.healthy.get(name))
        return {
            "name": name,
            "state": state,
            "cause": cause if only is None or state != "partial" else WITHHELD,
            "overridden": name in self._control.status.overridden,
            "in_flight": figures.in_flight.get(name),
            "requests": figures.asked.get(f"pool {name}", 0),
            "errors": figures.failed.get(f"pool {name}", 0),
            "replicas": [_replica(one, only) for one in replicas],
        }

    def _count(self, pools: tuple[str, ...]) -> Figures:
        taken, figures = self._figures
        if time.monotonic() - taken >= FRESH_FOR:
            try:
                figures = _figures(self._admin, pools)
            except UnreachableError:
                figures = Figures()
            self._figures = (time.monotonic(), figures)
        return figures


def _told(faults: tuple[str, ...], only: AbstractSet[str] | None) -> list[str]:
    """Faults name models that a key may not know."""
    return list(faults) if only is None else [WITHHELD for _ in faults[:1]]


def _pools(orders: Iterable[tuple[str, ...]]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(pool for order in orders for pool in order))


def _replica(replica: Replica, only: AbstractSet[str] | None) -> Entry:
    return {
        "address": replica.address,
        "version": replica.version,
        "models": sorted(shown(name) for name in replica.models if only is None or name in only),
        "loaded": [
            {
                "name": shown(str(entry.get("model", ""))),
                "size": entry.get("size"),
                "size_vram": entry.get("size_vram"),
                "expires_at": entry.get("expires_at"),
            }
            for entry in replica.loaded
            if only is None or canonical(str(entry.get("model", ""))) in only
        ],
    }


def _state(
    replicas: tuple[Replica, ...], wanted: list[str], failures: Mapping[str, str], healthy: int | None
) -> tuple[str, str]:
    """How a pool is in a word, and the cause in a line where it is not ready."""
    silent = "; ".join(f"{where} {why}" for where, why in sorted(failures.items()))
    if not replicas:
        asleep = bool(failures) and set(failures.values()) == {NO_ADDRESS}
        return "empty" if asleep else "down", silent or "no replica has answered yet"
    if healthy == 0:
        return "down", "its replicas answer, but fail the health checks of the router"
    held = {name for replica in replicas for name in replica.models}
    if lacking := [shown(name) for name in wanted if name not in held]:
        rest = f" and {len(lacking) - 3} more" if lacking[3:] else ""
        return "partial", f"no replica has {', '.join(lacking[:3])}{rest} yet"
    return ("partial", silent) if silent else ("ready", "")


def _figures(admin: Admin, pools: tuple[str, ...]) -> Figures:
    asked: defaultdict[str, int] = defaultdict(int)
    failed: defaultdict[str, int] = defaultdict(int)
    for labels, count in _counted(admin.prometheus(rf"^{PREFIX}\.requests")):
        for of in ("model", "pool"):
            name = f"{of} {labels.get(of, '')}"
            asked[name] += count
            failed[name] += count if int(labels.get("status", "0")) >= FAILED else 0
    numbers = admin.numbers(r"cluster\.[^>]*\.(upstream_rq_(pending_)?active|membership_healthy)")
    healthy = {pool: numbers[f"cluster.{pool}.membership_healthy"] for pool in pools if _has(numbers, pool)}
    return Figures(
        asked=asked, failed=failed, in_flight={pool: active(pool, numbers) for pool in pools}, healthy=healthy
    )


def _has(numbers: Mapping[str, int], pool: str) -> bool:
    return f"cluster.{pool}.membership_healthy" in numbers


def _counted(text: str) -> Iterator[tuple[dict[str, str], int]]:
    for line in text.splitlines():
        if found := _LINE.fullmatch(line):
            yield dict(_LABEL.findall(found[1])), int(found[2])
