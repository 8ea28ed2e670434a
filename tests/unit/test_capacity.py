"""What a node leaves for pods, a boot disk for models, and what a replica asks of its host."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.catalogue import Catalogue, load
from infra.plan import capacity
from tests.unit.conftest import Plan

MIB, GIB = 2**20, 2**30


@pytest.mark.parametrize(
    ("machine", "real_mib"),
    [
        ("n1-standard-4", 12366),
        ("g2-standard-4", 13276),
        ("n1-standard-8", 25.89 * 1024),
        ("a2-highgpu-1g", 76.6 * 1024),
    ],
)
def test_the_memory_that_a_node_leaves_is_within_80_mib_of_a_real_one(
    catalogue: Catalogue, machine: str, real_mib: float
) -> None:
    """The a2's is Google's formula by hand: no real one was found."""
    memory = capacity.allocatable(catalogue.machines[machine], catalogue.gke.node).memory / MIB
    assert memory == pytest.approx(real_mib, abs=80)


@pytest.mark.parametrize(("vcpus", "millis"), [(4, 3920), (8, 7910), (16, 15890)])
def test_the_cpu_that_a_node_leaves_is_that_of_googles_page(catalogue: Catalogue, vcpus: int, millis: int) -> None:
    machine = catalogue.machines[f"n1-standard-{vcpus}"]
    assert capacity.allocatable(machine, catalogue.gke.node).cpu == millis


def test_twelve_cpus_leave_11900(catalogue: Catalogue) -> None:
    assert capacity.allocatable(catalogue.machines["a2-highgpu-1g"], catalogue.gke.node).cpu == 11900


@pytest.mark.parametrize(("machine", "gib"), [("n1-standard-4", 11.3), ("g2-standard-4", 12.2)])
def test_a_pod_gets_what_the_system_pods_leave(catalogue: Catalogue, machine: str, gib: float) -> None:
    share = capacity.pod_share(catalogue.machines[machine], catalogue.gke.node, replicas=1)
    assert share.cpu == 3200
    assert share.memory / GIB == pytest.approx(gib, abs=0.07)


def test_fifteen_gib_of_common_examples_schedule_on_neither(catalogue: Catalogue) -> None:
    for machine in ("n1-standard-4", "g2-standard-4"):
        assert capacity.pod_share(catalogue.machines[machine], catalogue.gke.node, replicas=1).memory < 15 * GIB


def test_a_disk_of_100_gib_leaves_43_8(catalogue: Catalogue) -> None:
    assert capacity.usable_disk(100, catalogue.gke.node) / GIB == pytest.approx(43.8, abs=0.1)


@given(st.integers(10, 70_000))
@settings(max_examples=60, deadline=None)
def test_a_larger_disk_never_leaves_less(size: int) -> None:
    facts = load().gke.node
    assert 0 <= capacity.usable_disk(size, facts) <= capacity.usable_disk(size + 1, facts) < (size + 1) * GIB


@given(st.integers(0, 50 * 2**40), st.integers(0, 500))
@settings(max_examples=60, deadline=None)
def test_the_smallest_disk_holds_and_one_step_less_does_not(needed: int, start: int) -> None:
    catalogue = load()
    size, step = capacity.smallest_disk(catalogue, needed, start=start), catalogue.gke.server.disk_step_gb
    assert size is not None
    assert capacity.usable_disk(size, catalogue.gke.node) >= needed
    assert size - step < start or size == step or capacity.usable_disk(size - step, catalogue.gke.node) < needed


def test_no_disk_is_large_enough_for_everything(catalogue: Catalogue) -> None:
    assert capacity.smallest_disk(catalogue, 2**60, start=100) is None


def test_the_boot_disk_of_a_pool_holds_image_and_models(plan_of: Plan, good: dict, catalogue: Catalogue) -> None:
    good["models"]["gpt-oss:120b"] = ["a100"]
    nodes = plan_of(good).pool("a100").nodes
    assert nodes is not None
    assert capacity.usable_disk(nodes.disk_gb, catalogue.gke.node) > (65 + 20 + 4.9 + 6) * 10**9


def test_replicas_of_one_node_share_its_cpu_and_memory(plan_of: Plan, good: dict) -> None:
    good["pools"]["t4"] |= {"gpusPerNode": 2, "machineType": "n1-standard-8"}
    one, node = plan_of(good).pool("t4"), 25.86 * GIB
    assert one.nodes is not None
    assert (one.nodes.replicas_per_node, one.nodes.maximum) == (2, 1)
    assert 2 * one.memory_request < node
    assert 2 * one.cpu_request < 7910


def test_every_loaded_model_asks_for_memory_of_the_host(catalogue: Catalogue) -> None:
    asked = [capacity.host_memory(catalogue, loaded=loaded) for loaded in range(5)]
    assert asked == sorted(set(asked))
    assert asked[0] >= GIB


def test_a_pool_without_gpu_holds_its_models_in_main_memory(plan_of: Plan, good: dict) -> None:
    good["pools"]["cpu"] = {"gpu": "none"}
    good["models"]["qwen3:32b"] = {"pools": ["cpu"], "context": 8192}
    pool = plan_of(good).pool("cpu")
    assert pool.nodes is not None
    assert pool.nodes.accelerator is None
    assert pool.nodes.gpus_per_node == pool.gpus_per_replica == 0
    assert pool.memory_request >= pool.memory.used > 20 * GIB
    assert pool.driver.mode == "none"
