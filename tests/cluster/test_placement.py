"""Where the pods of every stack land: nodes with GKE's labels, taints and what its machines leave for pods."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from components import labels
from infra.plan.model import PoolPlan
from tests.cluster import machines
from tests.cluster.cordon import cordoned
from tests.cluster.fleet import BYSTANDER, Fleet
from tests.cluster.kube import Manifest, until
from tests.cluster.watched import condition

GPU = "nvidia.com/gpu"


def where(pods: list[Manifest]) -> Counter[str]:
    """Pods per node."""
    return Counter(pod["spec"].get("nodeName", "") for pod in pods)


def refusal(fleet: Fleet, pod: Manifest) -> str:
    """Why the scheduler finds no node for a pod; fails if it finds one."""

    def decided() -> Manifest:
        return condition(fleet.kube.get(pod), "PodScheduled")

    until(decided, "the scheduler's decision")
    assert decided()["status"] == "False", f"it runs on {fleet.kube.get(pod)['spec']['nodeName']}"
    return str(decided()["message"])


@contextmanager
def scaled(fleet: Fleet, pool: PoolPlan, replicas: int) -> Iterator[list[Manifest]]:
    """The pool at another number of replicas for a while: its pods then."""
    deployment = fleet.deployment(pool)
    usual = fleet.kube.get(deployment)["spec"]["replicas"]
    fleet.kube.scale(deployment, replicas)
    try:
        until(lambda: len(fleet.pods(deployment)) == replicas, f"{replicas} pods")
        yield fleet.pods(deployment)
    finally:
        fleet.kube.scale(deployment, usual)
        fleet.settle()


@pytest.fixture
def bystander(fleet: Fleet) -> Iterator[Callable[..., Manifest]]:
    """Makes pods of somebody else, one millicore each, unless said otherwise."""
    made: list[Manifest] = []

    def make(gpus: int = 0, **spec: Any) -> Manifest:
        resources: dict[str, Any] = {"requests": {"cpu": "1m"}}
        if gpus:
            resources["limits"] = {GPU: str(gpus)}
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": f"bystander-{len(made)}", "namespace": BYSTANDER},
            "spec": {"containers": [{"name": "main", "image": "pause", "resources": resources}], **spec},
        }
        made.append(fleet.kube.create(pod))
        return made[-1]

    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"namespace": BYSTANDER, "name": "default"}}
    until(lambda: fleet.kube.exists(account), "the namespace's service account")
    yield make
    for pod in made:
        fleet.kube.delete(pod)
    until(lambda: not any(map(fleet.kube.exists, made)), "the bystanders gone")


def test_each_replica_lands_on_its_pool_as_many_per_node_as_planned(grown: Fleet) -> None:
    for pool in grown.pools:
        assert pool.nodes
        placed = where(grown.pods(grown.deployment(pool)))
        assert placed.keys() == grown.nodes(pool), pool.name
        assert sum(placed.values()) == pool.replicas.max
        assert max(placed.values()) == pool.nodes.replicas_per_node


def test_a_replica_more_than_the_machines_hold_waits(grown: Fleet) -> None:
    for pool in grown.pools:
        assert pool.nodes
        full = pool.nodes.maximum * pool.nodes.replicas_per_node
        with scaled(grown, pool, full + 1):
            until(lambda at=pool: len(waiting(grown, at)) == 1, f"{full} running and one not")
            assert "Insufficient" in refusal(grown, waiting(grown, pool)[0])


def waiting(fleet: Fleet, pool: PoolPlan) -> list[Manifest]:
    """The pods of a pool that are not ready."""
    pods = fleet.pods(fleet.deployment(pool))
    return [pod for pod in pods if condition(pod, "Ready").get("status") != "True"]


def test_nothing_but_the_pool_its_driver_and_googles_agents_is_on_its_nodes(
    grown: Fleet, bystander: Callable[..., Manifest]
) -> None:
    pods = [bystander() for _ in range(6)]
    until(lambda: all(condition(grown.kube.get(pod), "PodScheduled") for pod in pods), "the bystanders placed")
    for pool in grown.pools:
        nodes = grown.nodes(pool)
        for pod in grown.kube.list("v1", "Pod"):
            if pod["spec"].get("nodeName") in nodes:
                own = pod["metadata"]["labels"].get(labels.POOL) == pool.name
                agent = pod["metadata"].get("ownerReferences", [{}])[0].get("kind") == "DaemonSet"
                assert own or (agent and pod["metadata"]["namespace"] == machines.KUBE_SYSTEM), pod["metadata"]["name"]


def test_an_unplanned_pod_that_asks_for_a_gpu_does_not_fit(grown: Fleet, bystander: Callable[..., Manifest]) -> None:
    for pool in grown.pools:
        if not pool.gpus_per_replica:
            continue
        with scaled(grown, pool, 0):
            reason = refusal(grown, bystander(gpus=1))
        # GKE lets it past its own taint of GPU nodes, so ours has to hold
        assert f"untolerated taint {{{labels.POOL}: {pool.name}}}" in reason


def test_a_pod_that_names_a_pool_but_not_its_taint_does_not_fit(
    grown: Fleet, bystander: Callable[..., Manifest]
) -> None:
    for pool in grown.pools:
        assert "untolerated taint" in refusal(grown, bystander(nodeSelector={labels.POOL: pool.name}))


def test_drivers_and_exporters_run_on_exactly_the_nodes_of_their_pool(fleet: Fleet) -> None:
    for workload in fleet.workloads():
        if workload["kind"] == "DaemonSet":
            pool = fleet.plan.pool(workload["spec"]["selector"]["matchLabels"][labels.POOL])
            assert where(fleet.pods(workload)) == dict.fromkeys(fleet.nodes(pool), 1)


def test_every_pool_with_a_gpu_has_its_driver_or_a_check_of_googles(fleet: Fleet) -> None:
    there = {one["metadata"]["name"] for one in fleet.workloads() if one["kind"] == "DaemonSet"}
    read = fleet.plan.monitoring.gpus.pools if fleet.plan.monitoring and fleet.plan.monitoring.gpus else ()
    drivers = {pool.names.driver for pool in fleet.pools if pool.gpus_per_replica}
    assert there == drivers | {fleet.plan.pool(pool).names.gpu_exporter for pool in read}


def test_the_router_spreads_over_the_system_nodes(fleet: Fleet) -> None:
    # wherever a drain left its pods: a new one goes where there is none
    spread(fleet)


def test_one_system_node_holds_the_whole_router_beside_googles_own_pods(fleet: Fleet) -> None:
    """What the plan's minimum of one system node means, and what an upgrade of the other one leaves."""
    away, stays = sorted(fleet.nodes(None))
    with cordoned(fleet, away):
        for pod in fleet.kube.list("v1", "Pod"):
            owned = pod["metadata"].get("ownerReferences", [{}])[0].get("kind") == "ReplicaSet"
            if owned and pod["spec"].get("nodeName") == away:
                fleet.kube.delete(pod)
        # a workload's status says "ready" for a moment longer than its pods are there: the pods themselves count
        routers = {stays: fleet.plan.router.replicas}
        until(lambda: where(fleet.pods(fleet.router())) == routers, fleet.complaints)
        crowd = fleet.kube.list("apps/v1", "Deployment", machines.KUBE_SYSTEM)
        until(lambda: all(set(where(fleet.pods(one))) == {stays} for one in crowd), "Google's own pods beside it")
    spread(fleet)


def spread(fleet: Fleet) -> None:
    """The router over both nodes again, as a rollout would leave it."""
    # at once: one that is leaving still takes the room that the new one needs, which could then go to the other node
    fleet.kube.delete(fleet.pods(fleet.router())[0], grace=0)
    until(lambda: where(fleet.pods(fleet.router())) == dict.fromkeys(fleet.nodes(None), 1), fleet.complaints)
    fleet.settle()
