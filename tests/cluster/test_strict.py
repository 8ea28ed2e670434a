"""What a real API server says to the objects of every stack: no unknown field, no refused pod, no second opinion."""

import pytest

from infra.plan.model import CONFIG_MAP_BYTES
from tests.cluster.fleet import Fleet
from tests.cluster.kube import Manifest, RefusedError

OF_EVERY_HEADLESS_SERVICE = '299 - "spec.SessionAffinity is ignored for headless services"'
"""Kubernetes fills the field in itself before it warns of it (1.34.1, pkg/api/service/warnings.go:51)."""
TRIED_AGAIN = "the object has been modified; please apply your changes to the latest version and try again"
"""Two pods were counted against one quota at the same moment: the controller makes the second a little later."""
ENFORCE = "pod-security.kubernetes.io/enforce"


def pod(namespace: str, **spec: object) -> Manifest:
    """A pod that only what is given here can be held against."""
    container = {
        "name": "main",
        "image": "pause",
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "runAsNonRoot": True,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "stranger", "namespace": namespace},
        "spec": {"containers": [container], "automountServiceAccountToken": False, **spec},
    }


def test_every_object_is_accepted_without_a_warning(fleet: Fleet) -> None:
    assert set(fleet.warnings) <= {OF_EVERY_HEADLESS_SERVICE}


def test_no_pod_is_refused_at_the_level_that_its_namespace_declares(fleet: Fleet) -> None:
    refused = [
        event["message"]
        for namespace in fleet.namespaces
        for event in fleet.kube.list("v1", "Event", namespace)
        if event["reason"] == "FailedCreate" and TRIED_AGAIN not in event["message"]
    ]
    assert refused == []


def test_every_workload_has_the_pods_that_it_asks_for(fleet: Fleet) -> None:
    for workload in fleet.workloads():
        status = workload["status"]
        wanted = status["desiredNumberScheduled"] if workload["kind"] == "DaemonSet" else workload["spec"]["replicas"]
        assert len(fleet.pods(workload)) == wanted, workload["metadata"]["name"]


def test_a_second_apply_changes_nothing(fleet: Fleet) -> None:
    assert fleet.apply() == []


def test_an_autoscalers_number_of_replicas_outlives_an_apply(grown: Fleet) -> None:
    assert grown.apply() == []
    replicas = {pool.name: grown.kube.get(grown.deployment(pool))["spec"]["replicas"] for pool in grown.pools}
    assert replicas == {pool.name: pool.replicas.max for pool in grown.pools}


def test_only_drivers_may_be_privileged(fleet: Fleet) -> None:
    levels = {
        one["metadata"]["name"]: one["metadata"]["labels"][ENFORCE]
        for one in fleet.objects
        if one["kind"] == "Namespace"
    }
    drivers = {one["metadata"]["namespace"] for one in fleet.objects if one["kind"] == "DaemonSet"}
    assert {name for name, level in levels.items() if level != "restricted"} == drivers
    with pytest.raises(RefusedError, match="violates PodSecurity"):
        fleet.kube.create(pod(fleet.plan.namespace, hostNetwork=True))


def test_a_field_that_kubernetes_does_not_know_is_refused(fleet: Fleet) -> None:
    router = fleet.router()
    with pytest.raises(RefusedError, match="replikas"):
        fleet.kube.apply({**router, "spec": {**router["spec"], "replikas": 3}})


def test_a_config_map_holds_what_the_plan_counts_on_and_no_more(fleet: Fleet) -> None:
    sizes = {CONFIG_MAP_BYTES: True, CONFIG_MAP_BYTES + 1: False}
    for size, fits in sizes.items():
        place = {"namespace": fleet.plan.namespace, "name": "large"}
        large = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": place, "data": {"text": "x" * size}}
        if fits:
            fleet.kube.apply(large)
        else:
            with pytest.raises(RefusedError, match="Too long"):
                fleet.kube.apply(large)
        fleet.kube.delete(large)


def test_node_critical_pods_need_the_quota_that_the_drivers_have(fleet: Fleet) -> None:
    with pytest.raises(RefusedError, match="insufficient quota to match these scopes"):
        fleet.kube.create(pod(fleet.plan.namespace, priorityClassName="system-node-critical"))
