"""What becomes of running pods: rollouts without a spare GPU, drains through the eviction API, scale-in."""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from infra.plan.model import PoolPlan
from tests.cluster.cordon import cordoned
from tests.cluster.fleet import Fleet
from tests.cluster.kube import Manifest, until
from tests.cluster.readiness import addresses
from tests.cluster.watched import REPLICA_SETS, asked_for, is_ready, ready, watched
from tests.engine.fleets import Edit

pytestmark = pytest.mark.parametrize("fleet", ["dense", "spot-with-fallback"], indirect=True)
"""Between them: several replicas on a node and one, several GPUs in a replica and none, fixed numbers and ranges from 0
and 1, our driver and Google's, a volume."""

MIRROR = "mirror.example.com"
NOWHERE = "does-not-exist.example.com"
"""A registry whose images KWOK never finds."""
DRAIN_SECONDS = 20


@contextmanager
def applied(fleet: Fleet, edit: Edit) -> Iterator[Fleet]:
    """The file with this edit for a while: what the program then makes, applied."""
    other = fleet.edited(edit)
    other.apply()
    try:
        yield other
    finally:
        fleet.apply()
        fleet.settle()


def images_from(fleet: Fleet, registry: str) -> Edit:
    """Every pool's image, from another registry."""
    return {"pools": {pool.name: {"image": f"{registry}/{pool.runtime.image}"} for pool in fleet.pools}}


def images(pods: Sequence[Manifest]) -> Counter[str]:
    return Counter(pod["spec"]["containers"][0]["image"] for pod in pods)


def identities(pods: Sequence[Manifest]) -> set[str]:
    return {pod["metadata"]["uid"] for pod in pods}


def servers(fleet: Fleet, pool: PoolPlan) -> Sequence[Manifest]:
    return fleet.pods(fleet.deployment(pool))


# Rollouts


def test_a_new_image_rolls_through_a_full_pool_one_replica_at_a_time(grown: Fleet) -> None:
    with ExitStack() as stack:
        moments = [
            (
                pool,
                stack.enter_context(watched(grown.kube, grown.deployment(pool))),
                stack.enter_context(watched(grown.kube, grown.deployment(pool), REPLICA_SETS)),
            )
            for pool in grown.pools
        ]
        with applied(grown, images_from(grown, MIRROR)):
            grown.settle()
            for pool in grown.pools:
                assert images(servers(grown, pool)) == {f"{MIRROR}/{pool.runtime.image}": pool.replicas.max}
    for pool, seen, sets in moments:
        assert max(asked_for(sets)) == pool.replicas.max
        assert min(ready(seen)) == pool.replicas.max - 1


def test_an_image_that_cannot_be_pulled_costs_one_replica_until_it_is_taken_back(grown: Fleet) -> None:
    with applied(grown, images_from(grown, NOWHERE)):
        for pool in grown.pools:
            until(lambda at=pool: [pod for pod in servers(grown, at) if waits_for_its_image(pod)], grown.complaints)
            pods = servers(grown, pool)
            assert len([pod for pod in pods if is_ready(pod)]) == len(pods) - 1
            assert images(pods)[pool.runtime.image] == pool.replicas.max - 1
    for pool in grown.pools:
        assert images(servers(grown, pool)) == {pool.runtime.image: pool.replicas.max}


def waits_for_its_image(pod: Manifest) -> bool:
    containers = pod.get("status", {}).get("containerStatuses", [])
    return any(one["state"].get("waiting", {}).get("reason") == "ImagePullBackOff" for one in containers)


def test_the_door_never_has_fewer_pods_than_planned_while_it_rolls(grown: Fleet) -> None:
    restarted = {"spec": {"template": {"metadata": {"annotations": {"kubectl.kubernetes.io/restartedAt": "now"}}}}}
    before = identities(grown.pods(grown.router()))
    with watched(grown.kube, grown.router()) as moments:
        grown.kube.merge(grown.router(), restarted, manager="kubectl-rollout")
        grown.settle()
    assert not identities(grown.pods(grown.router())) & before
    assert min(ready(moments)) == grown.plan.router.replicas


def test_another_driver_branch_reaches_one_node_after_the_other_and_restarts_no_server(grown: Fleet) -> None:
    other = {"R580": "R570", "R570": "R580"}
    pools = [pool for pool in grown.pools if pool.driver.request in other and pool.driver.mode == "installer"]
    assert pools
    before = {pool.name: identities(servers(grown, pool)) for pool in grown.pools}
    with ExitStack() as stack:
        moments = [(pool, stack.enter_context(watched(grown.kube, driver(grown, pool)))) for pool in pools]
        with applied(grown, {"pools": {pool.name: {"driver": other[pool.driver.request]} for pool in pools}}):
            grown.settle()
            for pool in pools:
                assert requests(grown.pods(driver(grown, pool))) == {other[pool.driver.request]: len(grown.nodes(pool))}
    for pool, seen in moments:
        assert min(ready(seen)) == len(grown.nodes(pool)) - 1
    assert {pool.name: identities(servers(grown, pool)) for pool in grown.pools} == before


def driver(fleet: Fleet, pool: PoolPlan) -> Manifest:
    return next(
        one for one in fleet.objects if (one["kind"], one["metadata"]["name"]) == ("DaemonSet", pool.names.driver)
    )


def requests(pods: Sequence[Manifest]) -> Counter[str]:
    """The branches that the installers ask for."""
    environments: list[list[Any]] = [pod["spec"]["initContainers"][0]["env"] for pod in pods]
    return Counter(one["value"] for found in environments for one in found if one["name"] == "DRIVER_REQUEST")


# Drains


def drain(fleet: Fleet, node: str) -> None:
    """Evicts every pod but those of DaemonSets, and asks again where a disruption budget forbids it for now."""
    refused: list[str] = []

    def is_empty() -> bool:
        pods = [
            pod
            for pod in fleet.kube.list("v1", "Pod")
            if pod["spec"].get("nodeName") == node
            and pod["metadata"].get("ownerReferences", [{}])[0].get("kind") != "DaemonSet"
        ]
        refused[:] = [pod["metadata"]["name"] for pod in pods if not fleet.kube.evict(pod)]
        return not pods

    until(is_empty, lambda: f"{node} drained; no eviction granted to {refused}", seconds=DRAIN_SECONDS)


def test_a_node_of_a_full_pool_can_be_drained_and_keeps_those_of_the_others(grown: Fleet) -> None:
    for pool in grown.pools:
        assert pool.nodes
        away, *others = sorted(grown.nodes(pool))
        with watched(grown.kube, grown.deployment(pool)) as moments, cordoned(grown, away):
            drain(grown, away)
            kept = [pod for pod in servers(grown, pool) if pod["spec"].get("nodeName") in others]
            assert len(kept) == pool.replicas.max - pool.nodes.replicas_per_node
            # a second drain at once would take what is left
            assert not any(grown.kube.evict(pod) for pod in kept)
        assert min(ready(moments)) == len(kept)


def test_the_door_stays_open_while_the_nodes_under_it_are_drained_in_turn(grown: Fleet) -> None:
    with watched(grown.kube, grown.router()) as moments:
        for node in sorted(grown.nodes(None)):
            with cordoned(grown, node):
                drain(grown, node)
    assert min(ready(moments)) == grown.plan.router.replicas - 1


def test_the_last_ready_pod_of_the_door_is_not_evicted(grown: Fleet) -> None:
    """A new node may take minutes: the drain waits for it, and so does the door's last pod."""
    first, last = grown.pods(grown.router())
    with cordoned(grown, *grown.nodes(None)):
        assert grown.kube.evict(first)
        until(lambda: not grown.kube.exists(first), "the first one gone")
        assert not grown.kube.evict(last)
    grown.settle()
    assert grown.kube.exists(last)


# Scale-in


def test_scale_in_takes_replicas_out_of_the_service_and_touches_none_that_stays(grown: Fleet) -> None:
    for pool in grown.pools:
        before = identities(servers(grown, pool))
        least = max(1, pool.replicas.min)
        grown.kube.scale(grown.deployment(pool), least)
        try:
            grown.settle()
            left = servers(grown, pool)
            assert len(left) == least
            assert identities(left) <= before
            until(
                lambda at=pool, pods=left: addresses(grown.kube, service(grown, at)) == ips(pods),
                "the Service without those that left",
            )
        finally:
            grown.kube.scale(grown.deployment(pool), pool.replicas.max)
            grown.settle()


def service(fleet: Fleet, pool: PoolPlan) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"namespace": fleet.plan.namespace, "name": pool.names.workload},
    }


def ips(pods: Sequence[Manifest]) -> set[str]:
    return {pod["status"]["podIP"] for pod in pods}
