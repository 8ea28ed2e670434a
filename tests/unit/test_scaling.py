"""What a pool's replicas follow, and what sleeping saves."""

from typing import Any

import pytest

from infra.plan.model import FleetPlan, PoolPlan
from infra.plan.scaling import SAFE_SHARE
from infra.problem import Severity, has_errors
from infra.report import figures, remarks
from infra.report import json as to_json
from tests.unit.conftest import Plan, Problems


def pool(plan: FleetPlan, name: str = "t4") -> PoolPlan:
    return plan.pool(name)


def test_a_range_on_gke_follows_requests_in_flight_and_one_number_is_fixed(plan_of: Plan, good: dict) -> None:
    plan = plan_of(good)
    assert {one.name: one.scaling.by for one in plan.pools} == {
        "a100": "inFlight", "k80": "fixed", "m60": "fixed", "t4": "inFlight",
    }  # fmt: skip
    followed = pool(plan).scaling
    assert (followed.up_after, followed.down_after, followed.target) == (30, 600, 1)


def test_a_replica_takes_as_many_requests_as_it_answers_at_a_time_unless_the_file_says_otherwise(
    plan_of: Plan, good: dict
) -> None:
    good["pools"]["t4"]["parallel"] = 2
    assert pool(plan_of(good)).scaling.target == 2
    good["pools"]["t4"]["scaling"] = {"by": "inFlight", "target": 3, "upAfter": "1m", "downAfter": "5m"}
    followed = pool(plan_of(good)).scaling
    assert (followed.target, followed.up_after, followed.down_after) == (3, 60, 300)


def test_keda_is_installed_where_a_pool_needs_it_and_the_file_does_not_say_that_it_is_there(
    plan_of: Plan, good: dict
) -> None:
    assert plan_of(good).keda is not None
    there = plan_of(good | {"keda": "existing"})
    assert there.keda is None
    assert any("has none at first" in one.message for one in there.problems)
    existing = good | {"keda": "existing", "gke": good["gke"] | {"cluster": "shared"}}
    assert not any(one.place == "fleet.keda" for one in plan_of(existing).problems)
    for name in ("t4", "a100"):
        good["pools"][name] |= {"replicas": "1..2", "scaling": "utilization"}
    assert plan_of(good).keda is None


def test_only_a_pool_that_may_have_no_pod_sleeps(plan_of: Plan, good: dict) -> None:
    good["pools"]["t4"]["replicas"] = "1..2"
    plan = plan_of(good)
    assert {one.name for one in plan.pools if one.scaling.sleep} == {"a100"}
    assert all(one.sleeps == (one.scaling.sleep is not None) for one in plan.pools)


def test_more_who_may_wait_than_a_router_has_memory_for_are_warned_of(plan_of: Plan, good: dict) -> None:
    def told(limit: int) -> list[str]:
        good["pools"]["t4"]["holdLimit"] = limit
        return [one.message for one in plan_of(good).problems if one.place == "fleet.pools.t4.holdLimit"]

    # the a100's two hundred besides
    assert told(4800) == []
    (message,) = told(4801)
    assert message.startswith("5,001 requests may wait in each router pod, and from 5,000")


def test_a_wake_is_billed_from_the_boot_until_the_node_is_gone(plan_of: Plan, good: dict) -> None:
    def asleep() -> Any:
        return pool(plan_of(good)).scaling.sleep

    assert asleep().billed_minutes == 5 + 10 + 10
    hourly = pool(plan_of(good)).nodes.hourly  # type: ignore[union-attr]
    assert asleep().wake_cost == pytest.approx(hourly * 25 / 60)
    good["pools"]["t4"]["scaling"] = {"by": "inFlight", "downAfter": "30m"}
    assert asleep().billed_minutes == 5 + 30 + 10


def test_a_request_waits_for_as_long_as_node_and_models_may_take_and_longer(plan_of: Plan, good: dict) -> None:
    plan = plan_of(good)
    small, large = plan.pool("t4").scaling.sleep, plan.pool("a100").scaling.sleep
    assert small
    assert large
    assert 6 * 60 < small.starts_within < large.starts_within
    assert small.hold_for >= 1.5 * small.starts_within
    good["pools"]["t4"]["holdFor"] = "20m"
    chosen = pool(plan_of(good)).scaling.sleep
    assert chosen
    assert chosen.hold_for == 1200


def test_the_plan_tells_what_sleeping_saves_and_what_a_wake_costs(plan_of: Plan, good: dict) -> None:
    plan = plan_of(good)
    said = figures.sleeping(plan)
    assert "t4 saves $404 a month, $0.23 a wake, pays in gaps above 25 min, wakes in about 7 min" in said
    assert "a replica for 1 request in flight, one more a minute after 30 s, fewer after 10 min" in figures.scaling(
        plan
    )
    found = {one["name"]: one for one in to_json.document(plan)["pools"]}["t4"]["scaling"]
    assert found["sleep"]["wakeUsd"] == pytest.approx(0.23, abs=0.01)
    assert found["sleep"]["savedUsdPerHour"] > 0
    assert "scaling" not in figures.scaling(plan_of({}))


def test_a_model_whose_next_pool_answers_meanwhile_is_not_called_asleep(plan_of: Plan, good: dict) -> None:
    good["pools"]["t4"]["wake"] = "fallback"
    good["pools"]["a100"]["replicas"] = 1
    plan = plan_of(good)
    said = {model.name: remarks.remarks(plan, model) for model in plan.models}
    assert said["llama3.1:8b"] == ("a100 answers while t4 wakes",)
    assert any("first answer after" in one for one in said["nomic-embed-text"])


def test_the_request_that_a_memory_target_names_works(problems_of: Problems, plan_of: Plan, good: dict) -> None:
    good["pools"]["cpu"] = {"gpu": "none", "replicas": "1..3", "scaling": "utilization"}
    good["models"]["gemma3:4b"] = ["cpu"]
    (refused,) = [one for one in problems_of(good) if one.place == "fleet.pools.cpu.scaling"]
    assert refused.severity is Severity.ERROR
    needed = float(refused.remedy.partition("leaves a pod ")[2].partition(" GiB")[0])
    for machine in ("e2-standard-8", "e2-standard-16", "e2-standard-32"):
        good["pools"]["cpu"]["machineType"] = machine
        plan = plan_of(good)
        asked = (plan.pool("cpu").memory_request + plan.pool("cpu").companion_memory) / 2**30
        ran_away = any(one.place == "fleet.pools.cpu.scaling" for one in plan.problems)
        assert ran_away == (asked < needed), (asked, needed)
    assert 0 < SAFE_SHARE < 1


def test_models_on_a_gpu_make_no_memory_target_run_away(plan_of: Plan, good: dict) -> None:
    good["pools"]["t4"] |= {"replicas": "1..2", "scaling": "utilization"}
    assert not has_errors(plan_of(good).problems)


def test_a_schedule_stands_in_the_plan(plan_of: Plan, good: dict) -> None:
    good["pools"]["t4"]["schedule"] = [{"from": "0 8 * * 1-5", "to": "0 18 * * 1-5", "timezone": "Europe/Berlin"}]
    plan = plan_of(good)
    (window,) = pool(plan).scaling.windows
    assert (window.start, window.end, window.timezone, window.replicas) == (
        "0 8 * * 1-5", "0 18 * * 1-5", "Europe/Berlin", 1,
    )  # fmt: skip
    assert "1 from '0 8 * * 1-5' to '0 18 * * 1-5' Europe/Berlin" in figures.scaling(plan)
