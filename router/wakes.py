"""Which pools are on their way: who waits for them, since when, and for how much longer."""

import time
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from router.admin import Admin, UnreachableError
from router.routing import HELD, NOW, Sleeper
from router.waking import WOKEN

LOOK_EVERY = 1.0
WANTED_FOR = 60.0
"""Seconds for which one request that was answered by another pool wants the first: many looks of the autoscaler."""
COUNTED = rf"cluster\.[^>]*(({HELD}|{WOKEN})\.upstream_rq_active|{NOW}\.upstream_rq_total)"


@dataclass(frozen=True, kw_only=True)
class Waking:
    """A pool that somebody wants and that no server has answered for yet."""

    seconds_left: int
    """Until it usually is there; 0 when it takes longer."""
    waiting: int
    """Requests held for it by this router."""


class Wakes:
    """Looks at Envoy's figures, once a second at most. `pools` and `wanted` may be read from any thread."""

    def __init__(self, admin: Admin, clock: Callable[[], float] = time.monotonic) -> None:
        self._admin = admin
        self._clock = clock
        self._looked = float("-inf")
        self._since: dict[str, float] = {}
        self._turned_away: dict[str, tuple[int, float]] = {}
        self.pools: Mapping[str, Waking] = {}
        self.wanted: AbstractSet[str] = frozenset()
        """Pools that others answer for, and that shall be woken."""

    def look(self, sleepers: Mapping[str, Sleeper], awake: AbstractSet[str]) -> None:
        """`awake` are the pools of which a server answers."""
        now = self._clock()
        if now - self._looked < LOOK_EVERY:
            return
        self._looked = now
        try:
            found = self._admin.numbers(COUNTED) if sleepers else {}
        except UnreachableError:
            return
        self.wanted = {pool for pool in sleepers if self._is_wanted(pool, found, now)}
        waiting = {pool: _waiting(pool, found) for pool in sleepers}
        waking = {pool for pool in sleepers if pool not in awake and (waiting[pool] or pool in self.wanted)}
        self._since = {pool: self._since.get(pool, now) for pool in waking}
        self.pools = {
            pool: Waking(
                seconds_left=max(0, round(sleepers[pool].starts_within - (now - since))), waiting=waiting[pool]
            )
            for pool, since in sorted(self._since.items())
        }

    def _is_wanted(self, pool: str, found: Mapping[str, int], now: float) -> bool:
        total = found.get(f"cluster.{pool}{NOW}.upstream_rq_total", 0)
        # what was counted before this process looked is no news
        before, risen = self._turned_away.get(pool, (total, float("-inf")))
        if total != before:
            risen = now
        self._turned_away[pool] = (total, risen)
        return now - risen < WANTED_FOR


def _waiting(pool: str, found: Mapping[str, int]) -> int:
    """Those on the way to a pool, less those whom it answers."""
    held, woken = (found.get(f"cluster.{pool}{part}.upstream_rq_active", 0) for part in (HELD, WOKEN))
    return max(0, held - woken)
