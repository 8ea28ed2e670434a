"""From no pod to many and back, on a real API server: who owns the number of replicas, and what that calls for."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from infra.plan.model import PoolPlan
from tests.cluster import keda
from tests.cluster.conftest import GIVEN
from tests.cluster.fleet import Fleet
from tests.cluster.kube import Manifest, RefusedError, until
from tests.cluster.watched import ready, there, watched


def replicas(fleet: Fleet, pool: PoolPlan) -> int:
    number: int = fleet.kube.get(fleet.deployment(pool))["spec"]["replicas"]
    return number


def scaled_object(fleet: Fleet, pool: PoolPlan) -> Manifest:
    found = [one for one in fleet.objects if one["kind"] == "ScaledObject"]
    return next(one for one in found if one["metadata"]["name"] == pool.names.workload)


def pending(fleet: Fleet) -> Sequence[Manifest]:
    """Pods for which the cluster's autoscaler would call a node."""
    return [pod for pod in fleet.kube.list("v1", "Pod", fleet.plan.namespace) if not pod["spec"].get("nodeName")]


def sleepers(fleet: Fleet) -> list[PoolPlan]:
    return [pool for pool in fleet.pools if pool.sleeps]


def by_keda(fleet: Fleet) -> list[PoolPlan]:
    return [pool for pool in fleet.pools if pool.replicas.scales and pool.scaling.by_keda]


@contextmanager
def restored(fleet: Fleet, pool: PoolPlan) -> Iterator[None]:
    """The number of replicas as it was."""
    before = replicas(fleet, pool)
    try:
        yield
    finally:
        fleet.kube.scale(fleet.deployment(pool), before)
        fleet.settle()


def test_the_first_up_of_a_pool_that_sleeps_calls_no_node(fleet: Fleet) -> None:
    for pool in sleepers(fleet):
        with restored(fleet, pool):
            fleet.kube.delete(fleet.deployment(pool))
            until(lambda at=pool: not fleet.pods(fleet.deployment(at)), "its pods gone")  # type: ignore[misc]
            fleet.kube.apply(fleet.deployment(pool))
            fleet.settle()
            assert replicas(fleet, pool) == 0
            assert pending(fleet) == []


def test_what_keda_wakes_stays_awake_through_an_up(fleet: Fleet) -> None:
    for pool in sleepers(fleet):
        with restored(fleet, pool):
            fleet.kube.scale(fleet.deployment(pool), 0)
            fleet.settle()
            fleet.kube.scale(fleet.deployment(pool), 1)
            fleet.settle()
            assert len(fleet.pods(fleet.deployment(pool))) == 1
            assert fleet.apply() == []
            assert replicas(fleet, pool) == 1


def test_a_scaled_object_is_strictly_valid(fleet: Fleet) -> None:
    for pool in by_keda(fleet):
        scaled = scaled_object(fleet, pool)
        assert fleet.kube.get(scaled)["spec"].items() >= {"maxReplicaCount": pool.replicas.max}.items()
        for change in ({"pollIntervall": 5}, {"minReplicaCount": pool.replicas.max + 1}, {"triggers": []}):
            with pytest.raises(RefusedError):
                fleet.kube.apply({**scaled, "spec": {**scaled["spec"], **change}}, dry_run=True)


def test_a_fixed_number_is_set_back_after_somebody_else_changed_it(fleet: Fleet) -> None:
    for pool in fleet.pools:
        if pool.replicas.scales:
            continue
        fleet.kube.scale(fleet.deployment(pool), 0)
        fleet.apply()
        assert replicas(fleet, pool) == pool.replicas.max
    fleet.settle()


def test_from_one_on_a_real_autoscaler_follows_the_requests_up_and_down(fleet: Fleet, tmp_path: Path) -> None:
    if os.environ.get(GIVEN):
        pytest.skip("a given cluster does not reach this machine's loopback")
    pools = [pool for pool in by_keda(fleet) if pool.replicas.max > 1]
    with keda.metrics(fleet.kube, tmp_path) as figures:
        for pool in pools:
            autoscaler = keda.autoscaler(scaled_object(fleet, pool))
            name, most = autoscaler["spec"]["metrics"][0]["external"]["metric"]["name"], pool.replicas.max
            with restored(fleet, pool), watched(fleet.kube, fleet.deployment(pool)) as moments:
                fleet.kube.scale(fleet.deployment(pool), 1)
                fleet.settle()
                figures.values[name] = pool.scaling.target
                fleet.kube.create(autoscaler)
                try:
                    # one replica's worth of requests asks for one; far too many ask for no more than the nodes hold
                    figures.values[name] = 100 * pool.scaling.target * most
                    until(lambda at=pool, most=most: replicas(fleet, at) == most, "as many as there may be")
                    fleet.settle()
                    assert pending(fleet) == []
                    figures.values[name] = 0
                    least = max(1, pool.replicas.min)
                    until(lambda at=pool, least=least: replicas(fleet, at) == least, "as few as there may be")
                finally:
                    fleet.kube.delete(autoscaler)
            assert max(there(moments)) == most
            assert min(ready(moments)[ready(moments).index(1) :]) == max(1, pool.replicas.min)
