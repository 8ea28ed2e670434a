"""Cron times as KEDA reads them, and the minutes that a window between two of them holds."""

from collections.abc import Iterator, Sequence
from datetime import date, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from infra.plan import cron

LEAP_YEAR = [date(2028, 1, 1) + timedelta(days=day) for day in range(366)]


def minutes(text: str) -> set[int]:
    """The minutes of a leap year at which a cron time fires, looked at one by one."""
    parsed = cron.parse(text)
    found = set()
    for index, day in enumerate(LEAP_YEAR):
        if parsed.on(day):
            found |= {index * 1440 + 60 * hour + minute for hour in parsed.hours for minute in parsed.minutes}
    return found


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("0 8 * * *", 366),
        ("0 8 * * 1-5", 260),
        ("0 8 * * mon-fri", 260),
        ("*/15 8 * * *", 4 * 366),
        ("0 8 1 * *", 12),
        ("0 8 29 feb ?", 1),
        ("0 8 1 1 mon", 6),
        # a step leaves no day open: one of the two fields is enough
        ("0 8 */2 1 1-5", 26),
        ("0 8 1 1 */3", 14),
        ("0 8 */01 1 1-5", 21),
        ("0 8 1,* 1 1-5", 21),
        ("0,30 8-9 * jan *", 4 * 31),
        ("5/20 8 1 1 *", 3),
    ],
)
def test_a_cron_time_stands_for_its_minutes(text: str, count: int) -> None:
    assert len(minutes(text)) == count


@pytest.mark.parametrize(
    "text",
    ["", "* * * *", "60 * * * *", "* 24 * * *", "* * 0 * *", "* * * 13 *", "* * * * 7", "5-1 * * * *", "*/0 * * * *",
     "a * * * *", "1,,2 * * * *", "1- * * * *", "* * * * mon-sun-tue", "² * * * *", "99999 * * * *"],
)  # fmt: skip
def test_what_is_no_cron_time_is_refused(text: str) -> None:
    with pytest.raises(cron.CronError):
        cron.parse(text)


# windows


def brute(start: str, end: str, days: Sequence[date]) -> list[bool]:
    """Minute by minute: KEDA asks for the next time of each after now, and holds unless the start comes before the end.
    The days come again and again."""

    def fires(text: str) -> list[bool]:
        minute, hour, day, month, weekday = text.split()

        def fits(word: str, value: int) -> bool:
            if word == "*":
                return True
            return any(int(one.split("-")[0]) <= value <= int(one.split("-")[-1]) for one in word.split(","))

        def on(one: date) -> bool:
            both = fits(day, one.day), fits(weekday, one.isoweekday() % 7)
            return fits(month, one.month) and (all(both) if "*" in (day, weekday) else any(both))

        minutes = [fits(minute, one) for one in range(60)]
        at = [fits(hour, one) and there for one in range(24) for there in minutes]
        return [on_day and there for on_day in map(on, days) for there in at]

    def ahead(fired: list[bool]) -> Iterator[int]:
        """Of each minute, how many pass until the next one that fires, itself left out; from the last to the first."""
        following = len(fired) * 3
        for index in reversed(range(len(fired) * 2)):
            if index < len(fired):
                yield following - index
            if fired[index % len(fired)]:
                following = index

    pairs = zip(ahead(fires(start)), ahead(fires(end)), strict=True)
    return [not to_start < to_end for to_start, to_end in pairs][::-1]


def field(least: int, most: int) -> some.SearchStrategy[str]:
    """`*`, a number, a range or a list."""
    number = some.integers(least, most)
    span = some.tuples(number, number).map(sorted).map(lambda ends: f"{ends[0]}-{ends[1]}")
    return some.one_of(some.just("*"), number.map(str), span, some.lists(number, min_size=2, max_size=3).map(_listed))


def _listed(numbers: list[int]) -> str:
    return ",".join(map(str, numbers))


TIMES = some.tuples(field(0, 59), field(0, 23), field(1, 31), field(1, 3), field(0, 6)).map(" ".join)
DAYS = some.integers(0, 75).map(lambda first: [date(2028, 1, 1) + timedelta(days=first + day) for day in range(12)])


@settings(deadline=None, max_examples=60)
@given(TIMES, TIMES, DAYS)
def test_a_window_holds_the_minutes_that_keda_would_hold_looked_at_one_by_one(
    start: str, end: str, days: list[date]
) -> None:
    found = cron.held(cron.parse(start), cron.parse(end), days)
    wanted = brute(start, end, days)
    ever = any(cron.parse(text).on(day) for text in (start, end) for day in days)
    assert [bool(day >> minute & 1) for day in found for minute in range(1440)] == wanted or not ever


@pytest.mark.parametrize(
    ("start", "end", "hours"),
    [
        ("0 8 * * 1-5", "0 18 * * 1-5", 50),
        ("0 22 * * *", "0 6 * * *", 56),
        ("0 8 * * 1", "0 18 * * 5", 106),
        # the next beginning comes before the end
        ("0 8 * * 1-5", "0 18 * * 5", 10),
        # the end comes again
        ("0 8 * * 1", "0 18 * * 1-5", 106),
    ],
)
def test_a_week_holds_the_hours_of_its_windows(start: str, end: str, hours: int) -> None:
    week = [date(2029, 1, 1) + timedelta(days=day) for day in range(7)]
    found = cron.held(cron.parse(start), cron.parse(end), week)
    assert sum(day.bit_count() for day in found) == 60 * hours


@given(some.lists(some.integers(0, cron.WHOLE_DAY), min_size=3, max_size=5), some.integers(-840, 840))
def test_days_by_another_clock_have_the_same_minutes_earlier(days: list[int], minutes: int) -> None:
    def line(found: Sequence[int]) -> list[int]:
        return [day >> minute & 1 for day in found for minute in range(1440)]

    there = line(cron.shifted(days, [minutes] * len(days)))
    here = line(days)
    assert there == here[minutes:] + here[:minutes]
