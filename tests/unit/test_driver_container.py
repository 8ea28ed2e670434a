"""NVIDIA's driver in a container: which build goes on which machine, and what is told where there is none."""

from pathlib import Path
from typing import Any

import pytest

from infra.catalogue import load
from infra.plan import compatibility
from infra.plan.model import FleetPlan, Outcome, SiteDriver
from infra.problem import Problem, Severity
from tests.unit.conftest import decide

CATALOGUE = load()
SYSTEMS = sorted({system for build in CATALOGUE.driver_containers.builds for system in build.systems})
CARDS = sorted(name for name, gpu in CATALOGUE.gpus.items() if gpu.compute)


def fleet(gpu: str = "k80", os: str | None = "ubuntu20.04", **nodes: dict[str, Any]) -> dict[str, Any]:
    machine = {"gpus": {gpu: 1}, "memory": "128Gi", "disk": "800Gi"}
    return {
        "pools": {"card": {"gpu": gpu, "site": "rack", "driver": "container", "replicas": max(1, len(nodes))}},
        "models": {"llama3.2:1b": ["card"]},
        "sites": {
            "rack": {
                "kubernetes": {"context": "rack", **({"os": os} if os else {})},
                "url": "https://rack.example.ts.net",
                "nodes": {name: {**machine, **more} for name, more in (nodes or {"rack-1": {}}).items()},
            }
        },
        "router": {"site": "rack"},
    }


def errors(plan: FleetPlan) -> list[Problem]:
    return [one for one in plan.problems if one.severity is Severity.ERROR]


def drivers(plan: FleetPlan) -> tuple[SiteDriver, ...]:
    cluster = plan.site("rack").cluster
    assert cluster is not None
    return cluster.drivers


def test_a_k80_gets_the_last_r470_that_was_built_and_is_told_that_no_other_comes() -> None:
    plan = decide(fleet())
    assert errors(plan) == []
    (driver,) = drivers(plan)
    assert driver.image == "nvcr.io/nvidia/driver:470.256.02-ubuntu20.04"
    assert (driver.name, driver.nodes) == ("nvidia-driver-r470-ubuntu20-04-proprietary", ("rack-1",))
    # the server holds what is loaded against that very version
    assert plan.pool("card").needs.driver == "470.256.02"
    assert any("no longer builds R470 for ubuntu20.04" in one.message for one in plan.problems)
    assert "whether kernels at sites take NVIDIA's modules" in plan.not_checked


def test_a_system_without_a_build_for_the_card_is_refused_with_both_and_with_what_works() -> None:
    (told,) = errors(decide(fleet("k80", "ubuntu24.04")))
    assert told.place == "fleet.pools.card.driver"
    assert "R470" in told.message
    assert "'ubuntu24.04'" in told.message
    assert "R470 is built for ubuntu20.04" in told.remedy


def test_where_the_cards_own_branch_is_not_built_the_newest_that_works_is_taken() -> None:
    (driver,) = drivers(decide(fleet("m60", "ubuntu20.04")))
    assert driver.version == "570.172.08"
    (driver,) = drivers(decide(fleet("t4", "ubuntu26.04")))
    assert driver.version == "595.91.07"
    # R595 has left the M60 behind, and nothing older is built there
    assert errors(decide(fleet("m60", "ubuntu26.04")))


def test_machines_of_two_systems_get_one_branch_each_in_its_own_build() -> None:
    plan = decide(fleet("m60", None, one={"os": "ubuntu20.04"}, two={"os": "ubuntu22.04"}, three={"os": "ubuntu22.04"}))
    assert errors(plan) == []
    assert {driver.image.rpartition(":")[2]: driver.nodes for driver in drivers(plan)} == {
        "570.172.08-ubuntu20.04": ("one",),
        "570.211.01-ubuntu22.04": ("three", "two"),
    }
    # no one version is loaded everywhere
    assert plan.pool("card").needs.driver == "570."


def test_a_machines_own_system_stands_over_the_sites() -> None:
    (driver,) = drivers(decide(fleet("t4", "ubuntu20.04", one={"os": "ubuntu24.04"})))
    assert driver.image == "nvcr.io/nvidia/driver:580.178.04-ubuntu24.04"


def test_a_machine_is_given_one_driver_however_many_pools_it_has() -> None:
    two = fleet("t4", "ubuntu22.04", one={"gpus": {"t4": 2}})
    two["pools"]["card"]["replicas"] = 1
    two["pools"]["other"] = {**two["pools"]["card"]}
    two["models"]["nomic-embed-text"] = ["other"]
    (driver,) = drivers(decide(two))
    assert driver.nodes == ("one",)


def test_a_machine_cannot_have_a_driver_of_its_own_and_one_in_a_container() -> None:
    two = fleet("t4", "ubuntu22.04", one={"gpus": {"t4": 2}})
    two["pools"]["card"]["replicas"] = 1
    two["pools"]["other"] = {"gpu": "t4", "site": "rack", "driver": "host"}
    two["models"]["nomic-embed-text"] = ["other"]
    (told,) = errors(decide(two))
    assert told.place == "fleet.sites.rack.nodes.one"
    assert "driver: container at both, or at neither" in told.remedy


def test_a_device_plugin_that_is_there_may_be_an_operators_that_brings_a_driver_too() -> None:
    there = fleet("t4", "ubuntu22.04")
    there["sites"]["rack"]["kubernetes"]["devicePlugin"] = "existing"
    (told,) = [one for one in decide(there).problems if one.place.endswith("devicePlugin")]
    assert "driver.enabled=false" in told.remedy
    there["pools"]["card"]["driver"] = "host"
    assert not [one for one in decide(there).problems if one.place.endswith("devicePlugin")]


def test_a_pool_without_a_gpu_needs_no_driver_beside_one_in_a_container() -> None:
    mixed = fleet("t4", "ubuntu22.04")
    mixed["pools"]["cpu"] = {"gpu": "none", "site": "rack"}
    mixed["models"]["nomic-embed-text"] = ["cpu"]
    plan = decide(mixed)
    assert errors(plan) == []
    assert len(drivers(plan)) == 1


@pytest.mark.parametrize("gpu", CARDS)
@pytest.mark.parametrize("os", SYSTEMS)
def test_of_every_card_and_system_the_plan_has_a_build_that_works_or_says_that_there_is_none(gpu: str, os: str) -> None:
    plan = decide(fleet(gpu, os))
    found = drivers(plan)
    if not found:
        assert any("builds no driver container" in one.message for one in errors(plan))
        return
    (driver,) = found
    pool = plan.pool("card")
    judged = compatibility.judge(
        CATALOGUE, gpu=CATALOGUE.gpus[gpu], branch=pool.driver.branch, reference=pool.runtime.image
    )
    assert judged.outcome is Outcome.WORKS
    assert driver.version.startswith(f"{pool.driver.branch}.")
    assert driver.image.endswith(f":{driver.version}-{os}")


@pytest.mark.parametrize("os", ["ubuntu18.04", "ubuntu22", "ubuntu22.10", "debian12", "rhel9.4", "rocky9"])
def test_a_system_that_the_table_does_not_have_is_never_given_a_driver(os: str) -> None:
    plan = decide(fleet("t4", os))
    assert drivers(plan) == ()
    (told,) = errors(plan)
    assert f"'{os}'" in told.message


def test_each_branch_has_one_build_for_a_system_and_is_a_branch_that_the_catalogue_knows() -> None:
    pairs = [(build.branch, system) for build in CATALOGUE.driver_containers.builds for system in build.systems]
    assert len(pairs) == len(set(pairs))
    for build in CATALOGUE.driver_containers.builds:
        assert f"R{build.branch}" in CATALOGUE.releases.drivers
        assert build.version.startswith(f"{build.branch}.")


def test_the_page_shows_the_table_as_the_catalogue_has_it() -> None:
    page = (Path(__file__).parents[2] / "docs" / "sites.md").read_text(encoding="utf-8")
    rows = {row.split("|")[1].split()[0]: row for row in page.splitlines() if row.startswith("| R")}
    assert set(rows) == {f"R{build.branch}" for build in CATALOGUE.driver_containers.builds}
    for build in CATALOGUE.driver_containers.builds:
        assert build.version in rows[f"R{build.branch}"]
        assert build.dropped is None or build.dropped.isoformat() in rows[f"R{build.branch}"]
    cells = {
        (branch, f"ubuntu{system}"): cell.strip()
        for branch, row in rows.items()
        for system, cell in zip(("20.04", "22.04", "24.04", "26.04"), row.split("|")[2:6], strict=True)
    }
    built = {
        (f"R{one.branch}", system): one.version for one in CATALOGUE.driver_containers.builds for system in one.systems
    }
    assert {place: version for place, version in cells.items() if version} == built
