"""examples/sidecar on a real API server and scheduler: accepted as it is, and scheduled where the docs say."""

from collections.abc import Iterator
from typing import Any

import pytest

from infra.commands.manifests import objects
from tests.cluster import machines
from tests.cluster.kube import Kube, Manifest, until
from tests.program.test_sidecar import example

NAMESPACE = {
    "apiVersion": "v1",
    "kind": "Namespace",
    "metadata": {"name": "support", "labels": {"pod-security.kubernetes.io/enforce": "restricted"}},
}


def gpu_node(machine: str) -> Manifest:
    """A node with one GPU, the taint that GKE gives it, and what its machine leaves for pods."""
    accelerator = {
        "count": 1,
        "type": "nvidia-tesla-t4",
        "gpuDriverInstallationConfig": {"gpuDriverVersion": "LATEST"},
    }
    config: dict[str, Any] = {
        "machineType": machine,
        "diskSizeGb": 100,
        "imageType": "COS_CONTAINERD",
        "guestAccelerators": [accelerator],
        "taints": [{"key": "nvidia.com/gpu", "value": "present", "effect": "NO_SCHEDULE"}],
    }
    return machines.node({"name": f"side-{machine}", "nodeLocations": ["us-central1-c"], "nodeConfig": config}, 0)


def is_decided(pod: Manifest) -> bool:
    """Whether the scheduler has placed it or said why not; place and condition come one after the other."""
    conditions = pod.get("status", {}).get("conditions", [])
    refused = any(one["type"] == "PodScheduled" and one["status"] == "False" for one in conditions)
    return refused or "nodeName" in pod["spec"]


@pytest.fixture
def pods(kube: Kube) -> Iterator[Any]:
    """Applies the example beside a node of a machine: its pods as they are now."""
    made: list[Manifest] = []

    def on(machine: str) -> list[Manifest]:
        made.append(kube.create(gpu_node(machine)))
        warnings = []
        made.append(kube.create(NAMESPACE))
        for manifest in objects(example()):
            warnings += kube.apply(manifest)[1]
        assert warnings == []

        def found() -> list[Manifest]:
            return list(kube.list("v1", "Pod", "support"))

        until(lambda: any(map(is_decided, found())), "the scheduler's decision")
        return found()

    yield on
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "support-desk", "namespace": "support"},
    }
    kube.delete(deployment)
    for pod in kube.list("v1", "Pod", "support"):
        kube.delete(pod, grace=0)
    for one in reversed(made):
        kube.delete(one)
    until(lambda: not any(map(kube.exists, made)), "the sidecar's namespace and node gone")


def test_an_n1_standard_8_holds_the_pod(pods: Any) -> None:
    (pod,) = pods("n1-standard-8")
    assert pod["spec"]["nodeName"] == "gke-side-n1-standard-8-0"
    assert [one["name"] for one in pod["spec"]["initContainers"]] == ["ollama-inputs", "ollama-prepare", "ollama"]


@pytest.mark.parametrize("machine", ["n1-standard-4", "g2-standard-4"])
def test_fifteen_gibibytes_do_not_fit_on_the_small_machines(pods: Any, machine: str) -> None:
    (pod,) = pods(machine)
    scheduled = next(one for one in pod["status"]["conditions"] if one["type"] == "PodScheduled")
    assert scheduled["status"] == "False"
    assert "Insufficient memory" in scheduled["message"]
