"""Schedules: what is wrong with them, how long they keep a pool up, and what that costs."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo, reset_tzpath

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from infra.config.model import ScheduleWindow
from infra.plan import schedule
from infra.plan.model import FleetPlan, PoolPlan
from infra.problem import Problem, Severity
from infra.report import figures, markdown, text
from infra.report import json as to_json
from tests.unit.conftest import Plan

WORKDAYS = {"from": "0 8 * * 1-5", "to": "0 18 * * 1-5"}
MONTH = 730


def with_schedule(good: dict[str, Any], *windows: dict[str, Any], **more: Any) -> dict[str, Any]:
    good["pools"]["t4"] |= {"schedule": list(windows), **more}
    return good


def pool(plan: FleetPlan) -> PoolPlan:
    return plan.pool("t4")


def told(plan: FleetPlan) -> list[Problem]:
    return [one for one in plan.problems if one.place.startswith("fleet.pools.t4.schedule")]


def monthly(plan: FleetPlan) -> float:
    assert plan.cost
    return plan.cost.monthly(plan.cost.pool("t4").minimum)


def test_a_schedule_stands_in_the_plan(plan_of: Plan, good: dict) -> None:
    plan = plan_of(with_schedule(good, WORKDAYS | {"timezone": "Europe/Berlin"}))
    (window,) = pool(plan).scaling.windows
    assert (window.start, window.end, window.timezone, window.replicas) == (
        "0 8 * * 1-5", "0 18 * * 1-5", "Europe/Berlin", 1,
    )  # fmt: skip
    assert "1 from '0 8 * * 1-5' to '0 18 * * 1-5' Europe/Berlin" in figures.scaling(plan)


# hours and money


def test_workdays_are_five_sevenths_of_a_month_in_every_year(plan_of: Plan, good: dict) -> None:
    (kept,) = pool(plan_of(with_schedule(good, WORKDAYS))).scaling.kept
    assert kept.hours == pytest.approx(MONTH * 10 / 24 * 5 / 7, rel=1e-9)


def test_the_minimum_of_a_month_has_the_hours_of_the_schedule(plan_of: Plan, good: dict) -> None:
    asleep, plan = plan_of(good), plan_of(with_schedule(good, WORKDAYS))
    nodes, (kept,) = pool(plan).nodes, pool(plan).scaling.kept
    assert nodes and nodes.hourly and kept.monthly
    assert monthly(asleep) == 0
    assert monthly(plan) == pytest.approx(kept.hours * nodes.hourly) == pytest.approx(kept.monthly)
    assert asleep.cost and plan.cost
    assert plan.cost.total.maximum == asleep.cost.total.maximum
    assert not any("schedule" in one for one in plan.cost.not_counted)


def test_the_plan_says_for_how_long_a_schedule_keeps_a_pool_up_and_what_sleeping_then_still_saves(
    plan_of: Plan, good: dict
) -> None:
    before, plan = plan_of(good), plan_of(with_schedule(good, WORKDAYS))
    assert figures.scheduled(before) == ""
    assert figures.scheduled(plan) == "t4 1 replica for 217.3 hours of a month, at least $120"
    assert "t4 saves $404 a month" in figures.sleeping(before)
    assert "t4 saves $284 a month" in figures.sleeping(plan)
    found = {one["name"]: one for one in to_json.document(plan)["pools"]}["t4"]
    (kept,) = found["scaling"]["kept"]
    assert (kept["replicas"], kept["machines"]) == (1, 1)
    assert (kept["hoursPerMonth"], kept["usdPerMonth"]) == (pytest.approx(217.26, abs=0.01), pytest.approx(120, abs=1))
    assert found["scaling"]["sleep"]["hoursPerMonth"] == pytest.approx(MONTH - 217.26, abs=0.01)
    assert found["cost"]["usdPerMonth"]["minimum"] == pytest.approx(120, abs=1)


def test_with_a_schedule_the_lower_figure_of_an_hour_is_told_to_be_a_mean(plan_of: Plan, good: dict) -> None:
    before, plan = plan_of(good), plan_of(with_schedule(good, WORKDAYS))
    for rendered in (text.render, markdown.render):
        assert "an hour, the lower on average" not in rendered(before)
        assert "an hour, the lower on average" in " ".join(rendered(plan).split())


def test_a_budget_below_what_the_schedule_costs_is_refused(plan_of: Plan, good: dict) -> None:
    assert plan_of(good).cost
    least = plan_of(good).cost.monthly(plan_of(good).cost.total.minimum)  # type: ignore[union-attr]
    good["budget"] = {"monthlyUsd": round(least) + 60}
    assert not [one for one in plan_of(good).problems if one.severity is Severity.ERROR]
    (refused,) = [one for one in plan_of(with_schedule(good, WORKDAYS)).problems if one.severity is Severity.ERROR]
    assert "costs at least" in refused.message


def test_where_windows_overlap_the_larger_number_is_paid_for_once(plan_of: Plan, good: dict) -> None:
    noon = {"from": "0 12 * * *", "to": "0 14 * * *", "replicas": 2}
    two, one = pool(plan_of(with_schedule(good, {"from": "0 8 * * *", "to": "0 18 * * *"}, noon))).scaling.kept
    assert (two.replicas, one.replicas) == (2, 1)
    assert (two.hours, one.hours) == (pytest.approx(MONTH * 2 / 24), pytest.approx(MONTH * 8 / 24))


def test_only_what_is_above_the_minimum_is_counted_and_by_machines(plan_of: Plan, good: dict) -> None:
    always = with_schedule(good, WORKDAYS | {"replicas": 2}, replicas="1..4", gpusPerNode=2)
    plan = plan_of(always)
    # two replicas stand on the machine that is there anyway
    assert [(one.replicas, one.machines) for one in pool(plan).scaling.kept] == [(2, 0)]
    always["pools"]["t4"]["schedule"] = []
    assert monthly(plan) == monthly(plan_of(always))
    always["pools"]["t4"]["schedule"] = [WORKDAYS | {"replicas": 3}]
    more = plan_of(always)
    assert [(one.replicas, one.machines) for one in pool(more).scaling.kept] == [(3, 1)]
    assert monthly(more) > monthly(plan)


def test_a_pool_without_a_schedule_keeps_nothing(plan_of: Plan, good: dict) -> None:
    assert {one.scaling.kept for one in plan_of(good).pools} == {()}


# what is wrong


def test_every_broken_time_of_a_schedule_is_told_at_once(plan_of: Plan, good: dict) -> None:
    broken = with_schedule(
        good,
        {"from": "0 8 * * 1-9", "to": "0 99 * * *"},
        {"from": "0 8 * 13 *", "to": "61 8 * * *", "timezone": "berlin", "replicas": 9},
    )
    places = [one.place.removeprefix("fleet.pools.t4.schedule") for one in told(plan_of(broken))]
    assert sorted(places) == ["[0].from", "[0].to", "[1].from", "[1].replicas", "[1].timezone", "[1].to"]


def test_a_day_that_never_comes_is_refused(plan_of: Plan, good: dict) -> None:
    (refused,) = told(plan_of(with_schedule(good, {"from": "0 8 30 2 *", "to": "0 18 * * *"})))
    assert refused.place == "fleet.pools.t4.schedule[0].from"
    assert "never comes" in refused.message
    assert not told(plan_of(with_schedule(good, {"from": "0 8 29 2 *", "to": "0 18 29 2 *"})))


def test_the_same_time_in_other_words_is_no_window(plan_of: Plan, good: dict) -> None:
    (refused,) = told(plan_of(with_schedule(good, {"from": "0 8 * * 1-5", "to": "0 8 * * mon-fri"})))
    assert "ends when it begins" in refused.message


def test_a_window_that_begins_again_before_it_ends_is_warned_of(plan_of: Plan, good: dict) -> None:
    (warned,) = told(plan_of(with_schedule(good, {"from": "0 8 * * 1-5", "to": "0 18 * * 5"})))
    assert warned.severity is Severity.WARNING
    assert "begins again before it has ended" in warned.message
    assert not told(plan_of(with_schedule(good, {"from": "0 8 * * 1", "to": "0 18 * * 5"})))


def test_a_time_zone_that_nobody_knows_is_warned_of_with_the_nearest_one(plan_of: Plan, good: dict) -> None:
    (warned,) = told(plan_of(with_schedule(good, WORKDAYS | {"timezone": "Europe/Berlni"})))
    assert warned.severity is Severity.WARNING
    assert warned.remedy == "did you mean Europe/Berlin?"


@pytest.mark.parametrize("zone", ["CET", "Japan", "EST5EDT", "Etc/GMT+5"])
def test_a_time_zone_of_one_word_is_one_where_the_database_has_it(plan_of: Plan, good: dict, zone: str) -> None:
    assert not told(plan_of(with_schedule(good, WORKDAYS | {"timezone": zone})))


@pytest.mark.parametrize("zone", ["Berlin", "cet", "../UTC", "posix/../UTC", "\uff35tc"])
def test_what_the_database_does_not_have_in_one_word_is_refused(plan_of: Plan, good: dict, zone: str) -> None:
    (refused,) = told(plan_of(with_schedule(good, WORKDAYS | {"timezone": zone})))
    assert refused.severity is Severity.ERROR


def test_a_time_is_handed_on_with_one_space_between_its_fields(plan_of: Plan, good: dict) -> None:
    odd = {"from": " 0\u00a08  *\n* 1-5", "to": "0 18 * *\t1-5"}
    (window,) = pool(plan_of(with_schedule(good, odd))).scaling.windows
    assert (window.start, window.end) == ("0 8 * * 1-5", "0 18 * * 1-5")


@pytest.fixture
def no_zones() -> Iterator[None]:
    """A machine without a database of time zones, as a slim image of Python is."""
    schedule._zone.cache_clear()
    ZoneInfo.clear_cache()
    reset_tzpath(to=())
    yield
    reset_tzpath()
    schedule._zone.cache_clear()


@pytest.mark.usefixtures("no_zones")
@pytest.mark.parametrize("zone", ["UTC", "GMT"])
def test_utc_is_known_without_a_database_of_time_zones(plan_of: Plan, good: dict, zone: str) -> None:
    assert not told(plan_of(with_schedule(good, WORKDAYS | {"timezone": zone})))


# overlaps across time zones


def window(start: str, end: str, zone: str) -> ScheduleWindow:
    return ScheduleWindow.model_validate({"from": start, "to": end, "timezone": zone})


@pytest.mark.parametrize(
    ("one", "other", "overlaps"),
    [
        # an hour apart in winter and in summer
        (("0 8 * * *", "0 9 * * *", "Europe/Berlin"), ("0 8 * * *", "0 9 * * *", "Europe/London"), False),
        (("0 8 * * *", "1 9 * * *", "Europe/Berlin"), ("0 8 * * *", "0 9 * * *", "Europe/London"), True),
        # nine hours apart, but in the weeks in which only one of them has changed its clocks
        (("0 8 * * *", "0 17 * * *", "Europe/Berlin"), ("0 8 * * *", "0 17 * * *", "America/Los_Angeles"), True),
        (("0 8 * * *", "0 16 * * *", "Europe/Berlin"), ("0 8 * * *", "0 17 * * *", "America/Los_Angeles"), False),
        # only while the one has summer time: 8:00 to 10:00 are 7:00 to 9:00 in winter, 6:00 to 8:00 in summer
        (("0 8 * * *", "0 10 * * *", "Europe/Berlin"), ("0 6 * * *", "0 7 * * *", "UTC"), True),
        (("0 8 * * *", "0 10 * * *", "Europe/Berlin"), ("30 8 * * *", "0 9 * * *", "UTC"), True),
        (("0 8 * * *", "0 10 * * *", "Europe/Berlin"), ("0 9 * * *", "0 23 * * *", "UTC"), False),
        # over midnight and over the end of a week
        (("0 22 * * 0", "0 2 * * 1", "UTC"), ("0 9 * * 1", "0 10 * * 1", "Asia/Tokyo"), True),
        (("0 22 * * 0", "0 0 * * 1", "UTC"), ("0 9 * * 1", "0 10 * * 1", "Asia/Tokyo"), False),
        # half hours
        (("0 9 * * *", "0 10 * * *", "Asia/Kolkata"), ("30 3 * * *", "0 4 * * *", "UTC"), True),
        (("0 9 * * *", "0 10 * * *", "Asia/Kolkata"), ("30 4 * * *", "0 5 * * *", "UTC"), False),
    ],
)
def test_windows_of_two_time_zones_overlap_by_the_same_moment(
    one: tuple[str, str, str], other: tuple[str, str, str], overlaps: bool
) -> None:
    assert schedule.overlap(window(*one), window(*other)) is overlaps
    assert schedule.overlap(window(*other), window(*one)) is overlaps


def test_an_overlap_across_time_zones_is_told(plan_of: Plan, good: dict) -> None:
    west = WORKDAYS | {"timezone": "America/New_York", "replicas": 2}
    (warned,) = told(plan_of(with_schedule(good, WORKDAYS | {"timezone": "Europe/Berlin"}, west)))
    assert warned.place == "fleet.pools.t4.schedule[1]"
    assert "overlaps with schedule[0]" in warned.message


ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Sydney")
HOURS = some.tuples(some.integers(0, 23), some.integers(0, 23)).filter(lambda pair: pair[0] != pair[1])


@settings(deadline=None, max_examples=40)
@given(HOURS, some.sampled_from(ZONES), HOURS, some.sampled_from(ZONES))
def test_two_daily_windows_overlap_where_a_minute_of_a_week_lies_in_both_in_winter_or_in_summer(
    one: tuple[int, int], there: str, other: tuple[int, int], elsewhere: str
) -> None:
    def holds(hours: tuple[int, int], zone: str, moment: datetime) -> bool:
        first, last = hours
        hour = moment.astimezone(ZoneInfo(zone)).hour
        return first <= hour < last if first < last else hour >= first or hour < last

    # the clocks go forward and back on days of their own: a week of each season, and those between
    mondays = [datetime(2031, month, 8, tzinfo=UTC) for month in (1, 3, 4, 7, 10, 11)]
    wanted = any(
        holds(one, there, moment) and holds(other, elsewhere, moment)
        for monday in (*mondays, datetime(2031, 3, 27, tzinfo=UTC), datetime(2031, 10, 27, tzinfo=UTC))
        for moment in (monday + timedelta(minutes=30 * half) for half in range(7 * 48))
    )
    windows = [
        window(f"0 {hours[0]} * * *", f"0 {hours[1]} * * *", zone) for hours, zone in ((one, there), (other, elsewhere))
    ]
    assert schedule.overlap(*windows) is wanted


def test_hours_in_two_time_zones_are_counted_once_where_they_meet(plan_of: Plan, good: dict) -> None:
    day = {"from": "0 8 * * *", "to": "0 18 * * *"}
    apart = {"timezone": "Asia/Tokyo"}, {"timezone": "America/Los_Angeles"}
    (both,) = pool(plan_of(with_schedule(good, *(day | one for one in apart)))).scaling.kept
    # three hours in common in winter, two in summer
    assert 2 / 24 < 20 / 24 - both.hours / MONTH < 3 / 24
