"""Whose GPUs are read, and what the plan says of the others."""

from typing import Any

import pytest

from infra.catalogue import load
from infra.plan.build import decide
from infra.plan.model import FleetPlan
from infra.problem import has_errors
from infra.report import json as report
from infra.report import markdown, text

FLEET: dict[str, Any] = {
    "gke": {"location": "us-central1-c"},
    "sites": {"rig": {"docker": {}, "url": "https://rig.example.net"}},
    "pools": {
        "t4": {"gpu": "t4"},
        "a100": {"gpu": "a100-40gb", "replicas": "0..1"},
        "m60": {"gpu": "m60", "site": "rig"},
        "cpu": {"gpu": "none"},
    },
    "models": {"llama3.2:3b": ["t4", "a100"], "gemma3:4b": ["m60"], "nomic-embed-text": ["cpu"]},
    "monitoring": {"gpus": True},
}


def plan(catalogue: Any = None, **changes: Any) -> FleetPlan:
    found = decide({**FLEET, **changes}, stack="dev", project="example-project", catalogue=catalogue)
    assert not has_errors(found.problems)
    return found


def with_facts(**facts: Any) -> Any:
    catalogue = load()
    exporter = catalogue.gke.gpu_exporter.model_copy(update=facts)
    return catalogue.model_copy(update={"gke": catalogue.gke.model_copy(update={"gpu_exporter": exporter})})


def test_every_pool_with_gpus_on_gke_has_it_and_of_each_other_the_reason_is_said() -> None:
    monitoring = plan().monitoring
    assert monitoring is not None and monitoring.gpus is not None
    assert monitoring.gpus.pools == ("a100", "t4")
    assert dict(monitoring.gpus.left_out) == {"cpu": "no GPU", "m60": "not on GKE, where the scraper is"}


@pytest.mark.parametrize("asked", [True, "managed", {"kind": "annotations"}, {"gpus": False}])
def test_nobody_reads_gpus_unless_the_file_asks_for_it(asked: Any) -> None:
    monitoring = plan(monitoring=asked).monitoring
    assert monitoring is not None
    assert monitoring.gpus is None
    assert "gpus.json" not in monitoring.dashboards


@pytest.mark.parametrize(
    ("facts", "left_out", "why"),
    [
        ({"minimum_compute": "8.0"}, {"t4"}, "a card that DCGM does not know"),
        ({"minimum_driver": 590}, {"a100", "t4"}, "its driver is before R590"),
    ],
)
def test_a_card_or_a_driver_that_dcgm_does_not_know_is_left_out(facts: Any, left_out: set[str], why: str) -> None:
    monitoring = plan(with_facts(**facts)).monitoring
    assert monitoring is not None and monitoring.gpus is not None
    assert {pool for pool, reason in monitoring.gpus.left_out.items() if reason == why} == left_out


def test_the_cards_of_the_catalogue_and_their_drivers_are_all_within_what_it_reads() -> None:
    facts, gpus = load().gke.gpu_exporter, load().gpus
    least = tuple(map(int, facts.minimum_compute.split(".")))
    for name, gpu in gpus.items():
        if gpu.compute is not None:
            assert gpu.compute_capability >= least, name
            assert int((gpu.default_driver or "").lstrip("R")[:3]) >= facts.minimum_driver, name


def test_the_room_that_it_takes_is_taken_from_the_server_and_from_no_pool_without_it() -> None:
    with_it, without = plan(), plan(monitoring=True)
    facts = load().gke.gpu_exporter
    for name in ("t4", "a100"):
        one, other = with_it.pool(name), without.pool(name)
        assert one.nodes == other.nodes
        assert one.cpu_request <= other.cpu_request - facts.cpu_millis
        assert one.memory_request <= other.memory_request - facts.memory_mib * 2**20
    assert with_it.pool("cpu") == without.pool("cpu")


def test_a_machine_that_it_fills_gives_way_to_a_larger_one() -> None:
    hungry = with_facts(cpu_millis=2500)
    assert plan(monitoring=True).pool("t4").nodes.machine_type == "n1-standard-4"  # type: ignore[union-attr]
    assert plan(hungry).pool("t4").nodes.machine_type == "n1-standard-8"  # type: ignore[union-attr]


def test_the_plan_says_whose_gpus_are_read_and_why_the_others_are_not() -> None:
    said = "a100 t4: by a privileged pod on each node; not of cpu: no GPU; not of m60: not on GKE, where the scraper is"
    assert said in " ".join(text.render(plan(), width=400).split())
    assert "**GPU figures**: a100 t4" in markdown.render(plan())
    assert "GPU figures" not in text.render(plan(monitoring=True))
    assert report.document(plan())["monitoring"]["gpus"]["memoryRequestBytes"] == 128 * 2**20
