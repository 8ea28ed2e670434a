"""Schedules of pools: what is wrong with them, and for how many hours of a month they keep how many replicas."""

import re
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta, tzinfo
from difflib import get_close_matches
from functools import cache, lru_cache, reduce
from itertools import combinations
from math import ceil
from operator import or_
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from infra.config import Pool, place
from infra.config.model import ScheduleWindow
from infra.config.model.scaling import MOST_WINDOWS
from infra.config.types import shown
from infra.plan import cron
from infra.plan.cron import Cron, CronError, Day
from infra.plan.model import KeptPlan, Nodes, PoolPlan
from infra.problem import Problem, error, warning

TIMEZONE = re.compile(r"UTC|GMT|[A-Z][A-Za-z]+(/[A-Z][A-Za-z0-9_+-]+){1,2}", re.ASCII)
IN_A_WORD = re.compile(r"[A-Z][A-Za-z0-9+-]{1,30}", re.ASCII)
"""CET, Japan, EST5EDT: names of the database too, and few of them."""
YEARS = range(2029, 2057)
"""28 of them: each date falls on each weekday equally often, so that no single year decides about the money."""


def kept(pool: Pool, machines: Nodes | None, *, hours_per_month: int) -> tuple[KeptPlan, ...]:
    """What the windows keep up beyond the pool's minimum, the most replicas first: where they overlap, the larger
    number holds. A window that cannot be read keeps nothing: it is an error."""
    windows = [one for one in pool.schedule if _times(one) is not None]
    by_utc = len({one.timezone for one in windows}) > 1
    if not windows:
        return ()
    numbers = {min(one.replicas, pool.replicas.max) for one in windows} - set(range(pool.replicas.min + 1))
    seen = [0] * len(_calendar())
    found = []
    for replicas in sorted(numbers, reverse=True):
        those = [_held(one, by_utc=by_utc) for one in windows if one.replicas >= replicas]
        now = [reduce(or_, days) for days in zip(*those, strict=True)]
        minutes = sum((day & ~before).bit_count() for day, before in zip(now, seen, strict=True))
        seen = now
        hours = hours_per_month * minutes / (cron.MINUTES_OF_A_DAY * len(now))
        more = ceil(replicas / machines.replicas_per_node) - machines.minimum if machines else 0
        hourly = machines.hourly if machines else None
        found.append(
            KeptPlan(
                replicas=replicas,
                hours=hours,
                machines=more,
                monthly=None if hourly is None else hours * more * hourly,
            )
        )
    return tuple(found)


def check(name: str, entry: Pool, pool: PoolPlan) -> Iterator[Problem]:
    """Every problem of every window, and windows that overlap."""
    if entry.schedule and pool.scaling.by != "inFlight" and pool.replicas.scales:
        yield error(
            place("pools", name, "schedule"),
            "a schedule is kept by KEDA, beside requests in flight",
            "scaling: inFlight",
        )
    for index, window in enumerate(entry.schedule):
        here = place("pools", name, "schedule", index)
        yield from _times_of(here, window)
        yield from _zone_of(f"{here}.timezone", window.timezone)
        if window.replicas > pool.replicas.max:
            yield error(
                f"{here}.replicas",
                f"it wants {window.replicas}, and the pool has {pool.replicas.max} at most",
                f"write {pool.replicas.max} or less, or raise the pool's maximum",
            )
        elif window.replicas <= pool.replicas.min:
            yield warning(
                f"{here}.replicas", f"the pool has {pool.replicas.min} at any time", "lower the pool's minimum"
            )
    for (first, one), (second, other) in combinations(enumerate(entry.schedule), 2):
        if _times(one) and _times(other) and overlap(one, other):
            yield warning(
                place("pools", name, "schedule", second),
                f"it overlaps with schedule[{first}]: at these times the larger number holds",
                "end the one before the other begins",
            )


def _times_of(here: str, window: ScheduleWindow) -> Iterator[Problem]:
    for key, text in (("from", window.start), ("to", window.end)):
        try:
            _read(text)
        except CronError as wrong:
            yield error(
                f"{here}.{key}",
                f"{shown(text)} is no cron time: {wrong}",
                "for instance '0 8 * * 1-5': 8:00 on workdays",
            )
    if (times := _times(window)) is None:
        return
    if times[0] == times[1]:
        yield error(here, "it ends when it begins", "write two different times")
    elif _begins_in_vain(window, times[0]):
        yield warning(
            here,
            "it begins again before it has ended: KEDA keeps it from the last of these times on",
            "write one beginning for each end, for instance '0 8 * * 1' to '0 18 * * 5'",
        )


def _begins_in_vain(window: ScheduleWindow, start: Cron) -> bool:
    begins = reduce(or_, (1 << 60 * hour + minute for hour in start.hours for minute in start.minutes))
    held = zip(_calendar(), _held(window, by_utc=False), strict=True)
    return any(begins & ~minutes and start.on(day) for day, minutes in held)


def _zone_of(here: str, name: str) -> Iterator[Problem]:
    remedy = "write one such as UTC or Europe/Berlin"
    if not TIMEZONE.fullmatch(name) and not (IN_A_WORD.fullmatch(name) and _zone(name) is not None):
        yield error(here, f"{shown(name)} is no time zone", remedy)
    elif _zone(name) is None:
        near = get_close_matches(name, available_timezones(), n=1)
        yield warning(
            here,
            f"this machine's time zones have no {shown(name)}: its hours are counted by UTC, and KEDA may refuse it",
            f"did you mean {near[0]}?" if near else remedy,
        )


def overlap(one: ScheduleWindow, other: ScheduleWindow) -> bool:
    """Whether two windows ever hold at the same time, by their own clocks, summer time included."""
    by_utc = one.timezone != other.timezone
    return any(a & b for a, b in zip(_held(one, by_utc=by_utc), _held(other, by_utc=by_utc), strict=True))


def _times(window: ScheduleWindow) -> tuple[Cron, Cron] | None:
    try:
        return _read(window.start), _read(window.end)
    except CronError:
        return None


@lru_cache
def _read(text: str) -> Cron:
    found = cron.parse(text)
    if not any(found.on(day) for day in _calendar()):
        raise CronError("such a day never comes")
    return found


def _held(window: ScheduleWindow, *, by_utc: bool) -> Sequence[Day]:
    return _minutes(window.start, window.end, window.timezone if by_utc else "UTC")


@lru_cache(maxsize=2 * MOST_WINDOWS)
def _minutes(start: str, end: str, zone: str) -> tuple[Day, ...]:
    days = cron.held(_read(start), _read(end), _calendar())
    return tuple(days if zone == "UTC" else cron.shifted(days, _ahead(zone)))


@cache
def _calendar() -> tuple[date, ...]:
    first, last = date(YEARS.start, 1, 1), date(YEARS.stop, 1, 1)
    return tuple(first + timedelta(days=index) for index in range((last - first).days))


@lru_cache(maxsize=16)
def _ahead(zone: str) -> tuple[int, ...]:
    """Minutes by which the zone is ahead of UTC at each noon."""
    known = _zone(zone)
    noons = (datetime(day.year, day.month, day.day, 12, tzinfo=known) for day in _calendar())
    return tuple(int((noon.utcoffset() or timedelta()).total_seconds()) // 60 for noon in noons)


@cache
def _zone(name: str) -> tzinfo | None:
    if name in ("UTC", "GMT"):
        # a machine without a database of time zones knows these
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None
