"""Cron times as KEDA reads them (github.com/robfig/cron/v3, five fields): which minutes of a year they stand for."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta

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
YEAR = 2028
"""A leap year, for what is to hold in every year."""
MINUTES_OF_A_DAY = 24 * 60


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
    """Whether one of the two fields for days is `*`; else a day need fit only one of them."""

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
    any_day = any(word.startswith(("*", "?")) for word in (words[2], words[4]))
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


def _number(word: str, name: str, names: dict[str, int]) -> int:
    if word in names:
        return names[word]
    if not word.isdecimal() or len(word) > 4:
        raise CronError(f"its {name} cannot be read")
    return int(word)


def windows(start: Cron, end: Cron) -> Iterator[tuple[int, int]]:
    """The times of a year, in minutes of it, that lie between a start and the end that follows it; merged, in order."""
    opened: int | None = None
    for minute, opens in _events(start, end):
        if opens and opened is None:
            opened = minute
        elif not opens and opened is not None:
            yield opened, minute
            opened = None


def _events(start: Cron, end: Cron) -> Iterator[tuple[int, bool]]:
    """Starts and ends in order; at the same minute the end comes first."""
    times = [
        (sorted(60 * hour + minute for hour in cron.hours for minute in cron.minutes), cron, opens)
        for cron, opens in ((end, False), (start, True))
    ]
    day = date(YEAR, 1, 1)
    while day.year == YEAR:
        offset = (day - date(YEAR, 1, 1)).days * MINUTES_OF_A_DAY
        today = [(offset + minute, opens) for minutes, cron, opens in times if cron.on(day) for minute in minutes]
        yield from sorted(today)
        day += timedelta(days=1)


def overlap(one: tuple[Cron, Cron], other: tuple[Cron, Cron]) -> bool:
    """Whether two windows, each a start and an end, ever hold at the same time."""
    first, second = list(windows(*one)), list(windows(*other))
    i = j = 0
    while i < len(first) and j < len(second):
        if max(first[i][0], second[j][0]) < min(first[i][1], second[j][1]):
            return True
        if first[i][1] <= second[j][1]:
            i += 1
        else:
            j += 1
    return False
