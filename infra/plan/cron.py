"""Cron times as KEDA reads them (github.com/robfig/cron/v3, five fields), and the minutes between two of them."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

MONTHS = dict(zip(("jan", "feb", "mar", "apr", "may", "jun"), range(1, 7), strict=True)) | dict(
    zip(("jul", "aug", "sep", "oct", "nov", "dec"), range(7, 13), strict=True)
)
DAYS = {"sun": 0, "mon": 1, "tue": 2, "wed": 3, "thu": 4, "fri": 5, "sat": 6}
FIELDS: tuple[tuple[str, int, int, dict[str, int]], ...] = (
    ("minute", 0, 59, {}),
    ("hour", 0, 23, {}),
    ("day of the month", 1, 31, {}),
    ("month", 1, 12, MONTHS),
    ("day of the week", 0, 6, DAYS),
)
ITEM = re.compile(r"(?:(?P<any>[*?])|(?P<first>\w+)(?:-(?P<last>\w+))?)(?:/(?P<step>\d{1,4}))?", re.ASCII)
MINUTES_OF_A_DAY = 24 * 60
WHOLE_DAY = (1 << MINUTES_OF_A_DAY) - 1

Day = int
"""The minutes of a day as the bits of a number, midnight the lowest."""


class CronError(Exception):
    """A text that is no cron time; the message says which field and why."""


@dataclass(frozen=True, kw_only=True)
class Cron:
    """The moments at which something happens."""

    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    any_day: bool
    """Whether one of the two fields for days leaves it open; else a day need fit only one of them. `*/2` leaves nothing
    open: `0 8 */2 * 1-5` is workdays and every other day."""

    def on(self, day: date) -> bool:
        """Whether anything happens on that day."""
        fits = day.day in self.days, day.isoweekday() % 7 in self.weekdays
        return day.month in self.months and (all(fits) if self.any_day else any(fits))


def parse(text: str) -> Cron:
    """The times that `text` stands for, or CronError."""
    words = text.lower().split()
    if len(words) != len(FIELDS):
        raise CronError("it has not five fields")
    minutes, hours, days, months, weekdays = (_field(word, *field) for word, field in zip(words, FIELDS, strict=True))
    any_day = any(map(_open, (words[2], words[4])))
    return Cron(minutes=minutes, hours=hours, days=days, months=months, weekdays=weekdays, any_day=any_day)


def _field(word: str, name: str, least: int, most: int, names: dict[str, int]) -> frozenset[int]:
    found: set[int] = set()
    for item in word.split(","):
        match = ITEM.fullmatch(item)
        if match is None:
            raise CronError(f"its {name} cannot be read")
        first, last = least, most
        if not match["any"]:
            first = _number(match["first"], name, names)
            # `5/15` is from 5 on, `5` alone is 5
            last = _number(match["last"], name, names) if match["last"] else most if match["step"] else first
        step = int(match["step"] or 1)
        if not least <= first <= last <= most or not step:
            raise CronError(f"its {name} is not within {least} to {most}")
        found.update(range(first, last + 1, step))
    return frozenset(found)


def _open(word: str) -> bool:
    found = (ITEM.fullmatch(item) for item in word.split(","))
    return any(match is not None and match["any"] and int(match["step"] or 1) == 1 for match in found)


def _number(word: str, name: str, names: dict[str, int]) -> int:
    if word in names:
        return names[word]
    if not word.isdecimal() or len(word) > 4:
        raise CronError(f"its {name} cannot be read")
    return int(word)


def held(start: Cron, end: Cron, days: Sequence[date]) -> list[Day]:
    """Of each of `days`, after whose last the first comes again, the minutes that a window holds.

    KEDA looks ahead: a window holds while its next end comes before its next start, or with it (v2.20.2,
    pkg/scalers/cron_scaler.go, 2026-11-21). So `0 8 * * 1-5` to `0 18 * * 5` holds on Fridays only.
    """
    kinds = [(start.on(day), end.on(day)) for day in days]
    moments = {kind: _moments(start if kind[0] else None, end if kind[1] else None) for kind in set(kinds)}
    holds = next((moments[kind][0][1] for kind in kinds if moments[kind]), False)
    known: dict[tuple[tuple[bool, bool], bool], tuple[Day, bool]] = {}
    found = []
    for kind in reversed(kinds):
        if (kind, holds) not in known:
            known[kind, holds] = _day(moments[kind], holds)
        day, holds = known[kind, holds]
        found.append(day)
    return found[::-1]


def _moments(start: Cron | None, end: Cron | None) -> list[tuple[int, bool]]:
    """When on a day a window starts or ends, in minutes, each with whether it held before: where it ends, it did."""
    starts, ends = (
        {60 * hour + minute for hour in one.hours for minute in one.minutes} if one else set() for one in (start, end)
    )
    return [(minute, minute in ends) for minute in sorted(starts | ends)]


def _day(moments: Sequence[tuple[int, bool]], holds: bool) -> tuple[Day, bool]:  # noqa: FBT001
    """A day at whose end the window `holds` or not, and how the day before it ends."""
    day, until = 0, MINUTES_OF_A_DAY
    for minute, before in reversed(moments):
        day |= holds * ((1 << until) - (1 << minute))
        until, holds = minute, before
    return day | holds * ((1 << until) - 1), holds


def shifted(days: Sequence[Day], minutes: Sequence[int]) -> list[Day]:
    """The same minutes earlier, each day by its own number, of a day at most: local days by the clock of UTC."""
    # equal days are one number: there are few of them in thirty years, and each has 200 bytes
    once: dict[Day, Day] = {}
    found = [0] * len(days)
    for index, (day, earlier) in enumerate(zip(days, minutes, strict=True)):
        moved = day << (MINUTES_OF_A_DAY - earlier)
        for beside in (-1, 0, 1):
            found[(index + beside) % len(days)] |= moved >> (MINUTES_OF_A_DAY * (1 + beside)) & WHOLE_DAY
    return [once.setdefault(day, day) for day in found]
