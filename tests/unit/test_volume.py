"""The volume on which a pool keeps its models: its size, and what of it is refused."""

import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from infra.config.types import UNITS, quantity
from infra.plan.capacity import GIB
from infra.plan.model import FleetPlan
from infra.plan.volume import STEP, USABLE
from infra.problem import Problem, Severity
from infra.report import figures
from infra.report import json as to_json
from tests.unit.conftest import Plan, decide

HERE = "fleet.pools.one.volumeSize"
SMALL, LARGE = 2 * 10**9, 5 * 10**9


def fleet(files: list[int] | None = None, **pool: Any) -> dict[str, Any]:
    """A pool with a volume, and a model of each of these sizes."""
    sizes = [LARGE, SMALL] if files is None else files
    return {
        "gke": {"location": "us-central1-a"},
        "pools": {"one": {"gpu": "a100-80gb", "storage": "volume", **pool}},
        "models": {f"m{i}": {"pools": ["one"], "vram": "1Gi", "disk": f"{size}B"} for i, size in enumerate(sizes)},
    }


def told(plan: FleetPlan, place: str = HERE) -> list[Problem]:
    return [one for one in plan.problems if one.place == place]


def test_a_size_that_nobody_named_stays_as_it_is_when_a_small_model_comes_or_goes(plan_of: Plan) -> None:
    alone, both = (plan_of(fleet(files)).pool("one").volume for files in ([LARGE], [LARGE, SMALL]))
    assert alone == both == STEP


def test_the_size_in_the_file_is_claimed_to_the_letter_whatever_the_models_are(plan_of: Plan) -> None:
    for files in ([LARGE], [LARGE, SMALL, 20 * 10**9]):
        plan = plan_of(fleet(files, volumeSize="200Gi"))
        assert not told(plan)
        assert plan.pool("one").volume == 200 * GIB
        assert plan.pool("one").volume_request == "200Gi"
        assert "a volume keeps one on 200Gi" in figures.storage(plan)
        (pool,) = to_json.document(plan)["pools"]
        assert (pool["volumeBytes"], pool["volumeGb"]) == (200 * GIB, 215)


def test_a_volume_is_paid_for_by_its_size(plan_of: Plan) -> None:
    def monthly(size: str) -> float:
        cost = plan_of(fleet(volumeSize=size)).cost
        assert cost
        return next(cost.monthly(line.hourly.minimum) for line in cost.lines if line.title == "one volume")

    assert monthly("100Gi") == pytest.approx(10, rel=0.01)
    assert monthly("200Gi") == pytest.approx(2 * monthly("100Gi"))


def test_at_a_site_a_volume_is_nobodys_bill(plan_of: Plan) -> None:
    at_home = {"gpu": "l4", "site": "lab", "volumeSize": "300Gi"}
    lab = {"kubernetes": {}, "url": "https://lab.example.org", "nodes": {}}
    lab["nodes"] = {"box": {"gpus": {"l4": 1}, "memory": "64Gi", "disk": "900Gi"}}
    whole = fleet() | {"sites": {"lab": lab}}
    whole["pools"]["home"] = at_home
    whole["models"]["m0"]["pools"] = ["home"]
    plan = plan_of(whole)
    assert plan.pool("home").volume_request == "300Gi"
    assert not told(plan, "fleet.pools.home.volumeSize")
    assert plan.cost
    assert {line.title for line in plan.cost.lines if "volume" in line.title} == {"one volume"}


def test_a_volume_that_stays_on_a_machine_is_no_larger_than_its_disk(plan_of: Plan) -> None:
    def at_home(size: str, **pool: str) -> list[Problem]:
        lab = {"kubernetes": {}, "url": "https://lab.example.org", "nodes": {}}
        lab["nodes"] = {"box": {"gpus": {"l4": 1}, "memory": "64Gi", "disk": "900Gi"}}
        whole = fleet() | {"sites": {"lab": lab}}
        whole["pools"]["one"] = {"gpu": "l4", "site": "lab", "volumeSize": size, **pool}
        return told(plan_of(whole))

    assert at_home("900Gi") == at_home("901Gi", storage="volume") == []
    (warned,) = at_home("901Gi")
    assert "a volume of 901Gi is to stay on box, whose disk has 900Gi" in warned.message


def test_a_size_too_small_is_refused_with_both_figures_and_the_one_that_works(plan_of: Plan) -> None:
    (refused,) = told(plan_of(fleet([20 * 10**9, LARGE], volumeSize="25G")))
    assert refused.severity is Severity.ERROR
    assert "a volume of 25G leaves 23.7 GB, and its models need 25.0" in refused.message
    assert "write volumeSize: 50G" in refused.remedy


def test_a_size_without_room_for_a_changed_model_is_warned_of(plan_of: Plan) -> None:
    (warned,) = told(plan_of(fleet([20 * 10**9], volumeSize="30G")))
    assert warned.severity is Severity.WARNING
    assert "leaves 28.5 GB, and its models need 40.0 while a changed one arrives" in warned.message


@pytest.mark.parametrize(
    ("size", "said"), [("5Gi", "Google's smallest disk has 10 GiB"), ("65Ti", "Google's largest disk has 65536 GiB")]
)
def test_a_size_that_google_does_not_make_is_refused(plan_of: Plan, size: str, said: str) -> None:
    (refused,) = told(plan_of(fleet([SMALL], volumeSize=size)))
    assert refused.severity is Severity.ERROR
    assert said in refused.message


def test_a_size_for_no_volume_is_warned_of(plan_of: Plan) -> None:
    (warned,) = told(plan_of(fleet(storage="ephemeral", volumeSize="200Gi")))
    assert warned.severity is Severity.WARNING
    assert "kept with the pod" in warned.message
    assert "storage: volume" in warned.remedy


@settings(deadline=None, max_examples=40)
@given(some.lists(some.integers(10**8, 300 * 10**9), min_size=1, max_size=5), some.integers(10, 2000))
def test_what_the_plan_proposes_holds_the_models_and_a_size_is_refused_only_where_it_does_not(
    files: list[int], size: int
) -> None:
    chosen = decide(fleet(files))
    assert not told(chosen) and not told(chosen, "fleet.pools.one.storage")
    room = USABLE * size * GIB
    given_one = decide(fleet(files, volumeSize=f"{size}Gi"))
    severities = [one.severity for one in told(given_one)]
    held, changed = sum(files) <= room, sum(files) + max(files) <= room
    assert severities == ([] if changed else [Severity.WARNING] if held else [Severity.ERROR])
    for one in told(given_one):
        found = re.search(r"volumeSize: (\w+)", one.remedy)
        assert found
        assert not told(decide(fleet(files, volumeSize=found[1])))


@given(some.integers(1, 2**60))
def test_a_quantity_says_exactly_what_it_was_made_of(size: int) -> None:
    found = re.fullmatch(r"(\d+)([A-Za-z]*)", quantity(size))
    assert found
    assert int(found[1]) * ({**UNITS, "k": 1000}[found[2]]) == size


@pytest.mark.parametrize("text", ["200Gi", "50G", "1500M", "3Ti", "7k", "1"])
def test_a_quantity_is_written_in_the_largest_unit(text: str) -> None:
    found = re.fullmatch(r"(\d+)([A-Za-z]*)", text)
    assert found
    assert quantity(int(found[1]) * {**UNITS, "k": 1000}[found[2]]) == text
