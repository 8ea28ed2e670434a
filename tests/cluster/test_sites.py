"""Nodes of others: the fleet's labels come and go, and everything else on them stays as it was."""

import copy
from collections.abc import Iterator
from typing import Any

import pytest

from infra.commands.manifests import objects
from infra.commands.recorded import of_site
from infra.plan.build import decide
from tests.cluster.kube import Kube, Manifest, RefusedError, until

MANAGER = "ollama-fleet"
NODE = "test-sites-rack-1"
FLEET: dict[str, Any] = {
    "pools": {"k80": {"gpu": "k80", "site": "rack"}, "cpu": {"gpu": "none", "site": "rack"}},
    "models": {"llama3.2:3b": ["k80"], "nomic-embed-text": ["cpu"]},
    "sites": {
        "rack": {
            "kubernetes": {"distribution": "k3s"},
            "nodes": {NODE: {"gpus": {"k80": 2}, "memory": "64Gi", "disk": "400Gi"}},
        }
    },
    "router": {"site": "rack"},
}
THEIRS: Manifest = {
    "apiVersion": "v1",
    "kind": "Node",
    "metadata": {
        "name": NODE,
        "labels": {"rack": "7", "ollama-fleet/pool-other": "true", "kubernetes.io/arch": "amd64"},
        "annotations": {"owner": "somebody"},
    },
    "spec": {"unschedulable": True, "taints": [{"key": "dedicated", "value": "lab", "effect": "NoSchedule"}]},
}


CONTAINER = {
    **FLEET,
    "pools": {**FLEET["pools"], "k80": {"gpu": "k80", "site": "rack", "driver": "container"}},
    "sites": {"rack": {**FLEET["sites"]["rack"], "kubernetes": {"distribution": "k3s", "os": "ubuntu20.04"}}},
}
"""NVIDIA's driver container in the place of a driver of the machine's own."""


@pytest.fixture
def node(kube: Kube) -> Iterator[Manifest]:
    """A cordoned node with labels, an annotation and a taint of others."""
    kube.create(THEIRS)
    try:
        yield THEIRS
    finally:
        kube.delete(THEIRS)


def printed(fleet: dict[str, Any] = FLEET) -> list[Manifest]:
    """What `fleet manifests --site rack` prints."""
    plan = decide(fleet, stack="rack", project=None)
    site = plan.site("rack")
    assert site.cluster is not None
    return objects(of_site("rack", plan, site, site.cluster))


def theirs(kube: Kube) -> tuple[object, ...]:
    found = kube.get(THEIRS)
    labels = {key: found["metadata"]["labels"].get(key) for key in THEIRS["metadata"]["labels"]}
    taints = [one for one in found["spec"]["taints"] if one["key"] == "dedicated"]
    return labels, found["metadata"]["annotations"]["owner"], found["spec"]["unschedulable"], taints


def test_labels_of_the_fleet_come_and_go_and_those_of_others_stay(kube: Kube, node: Manifest) -> None:
    before = theirs(kube)
    (ours,) = [one for one in printed() if one["kind"] == "Node"]
    for _ in range(2):  # `up`, and `up` again
        kube.apply(ours, manager=MANAGER)
        labels = kube.get(node)["metadata"]["labels"]
        assert {key: labels[key] for key in ours["metadata"]["labels"]} == ours["metadata"]["labels"]
        assert theirs(kube) == before
    # what the provider does when a NodePatch goes: it owns nothing of the node any more
    empty = copy.deepcopy(ours)
    del empty["metadata"]["labels"]
    kube.apply(empty, manager=MANAGER)
    assert not set(ours["metadata"]["labels"]) & set(kube.get(node)["metadata"]["labels"])
    assert theirs(kube) == before


def test_a_label_that_somebody_else_has_set_is_a_conflict_and_not_taken(kube: Kube, node: Manifest) -> None:
    kube.merge(node, {"metadata": {"labels": {"ollama-fleet/pool-k80": "mine"}}}, manager="somebody")
    (ours,) = [one for one in printed() if one["kind"] == "Node"]
    with pytest.raises(RefusedError, match="conflict"):
        kube.apply(ours, manager=MANAGER)
    assert kube.get(node)["metadata"]["labels"]["ollama-fleet/pool-k80"] == "mine"


@pytest.mark.usefixtures("node")
def test_a_driver_in_a_container_is_accepted_whole_and_its_pod_is_meant_for_the_named_machine(kube: Kube) -> None:
    ours = [one for one in printed(CONTAINER) if one["metadata"].get("namespace", "") == "ollama-drivers"]
    (driver,) = [one for one in ours if one["metadata"]["name"].startswith("nvidia-driver")]
    namespace = next(
        one for one in printed(CONTAINER) if one["kind"] == "Namespace" and one["metadata"]["name"] == "ollama-drivers"
    )
    # a namespace of the test's own: others have the name already
    place = {**namespace["metadata"], "name": "test-sites-drivers"}
    kube.apply({**namespace, "metadata": place}, manager=MANAGER)
    try:
        for one in ours:
            moved = {**one, "metadata": {**one["metadata"], "namespace": place["name"]}}
            _, warnings = kube.apply(moved, manager=MANAGER)
            assert warnings == []
        selector = ",".join(f"{key}={value}" for key, value in driver["spec"]["selector"]["matchLabels"].items())

        def pods() -> list[Manifest]:
            return list(kube.list("v1", "Pod", place["name"], selector))

        until(pods, "the driver has a pod")
        (pod,) = pods()
        (term,) = pod["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"][
            "nodeSelectorTerms"
        ]
        assert {"key": "metadata.name", "operator": "In", "values": [NODE]} in term["matchFields"]
    finally:
        kube.delete({**namespace, "metadata": place})
