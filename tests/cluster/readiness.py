"""Whether a workload or Service is ready by the rules of Pulumi's Kubernetes provider, and why not.

As provider/pkg/await of pulumi-kubernetes 4.34 (read 2026-11-21).
"""

from collections.abc import Iterator

from tests.cluster.kube import Kube, Manifest
from tests.cluster.watched import is_ready, stays


def complaint(kube: Kube, manifest: Manifest) -> str | None:
    """What is missing, in a sentence; None for what is ready, and for kinds that nobody waits for."""
    check = {"Deployment": _deployment, "DaemonSet": _daemon_set, "Service": _service}.get(manifest["kind"])
    return check(kube, kube.get(manifest)) if check else None


def pods(kube: Kube, workload: Manifest) -> list[Manifest]:
    """The pods that a workload's selector finds, without those that are leaving."""
    wanted = workload["spec"]["selector"]["matchLabels"]
    selector = ",".join(f"{key}={value}" for key, value in wanted.items())
    return [pod for pod in kube.list("v1", "Pod", workload["metadata"]["namespace"], selector) if stays(pod)]


def _deployment(kube: Kube, live: Manifest) -> str | None:
    status, wanted = live.get("status", {}), live["spec"]["replicas"]
    have = [status.get(key, 0) for key in ("replicas", "readyReplicas", "updatedReplicas", "availableReplicas")]
    if _is_seen(live) and set(have) == {wanted}:
        return None
    return _with_reasons(kube, live, f"{min(have[1:])} out of {wanted} replicas are ready")


def _daemon_set(kube: Kube, live: Manifest) -> str | None:
    status = live.get("status", {})
    wanted, ready = status.get("desiredNumberScheduled", 0), status.get("numberReady", 0)
    if _is_seen(live) and ready == status.get("updatedNumberScheduled", 0) == wanted:
        return None
    return _with_reasons(kube, live, f"{ready} out of {wanted} nodes are served")


def _service(kube: Kube, live: Manifest) -> str | None:
    if live["spec"].get("clusterIP") == "None" or addresses(kube, live):
        return None
    return "Service does not target any Pods: none that its selector finds is ready"


def addresses(kube: Kube, service: Manifest) -> set[str]:
    """Where a Service leads: the ready pods, as clients find them."""
    metadata = service["metadata"]
    selector = f"kubernetes.io/service-name={metadata['name']}"
    slices = kube.list("discovery.k8s.io/v1", "EndpointSlice", metadata["namespace"], selector)
    endpoints = [one for found in slices for one in found["endpoints"] or []]
    return {address for one in endpoints if one["conditions"]["ready"] for address in one["addresses"]}


def _is_seen(live: Manifest) -> bool:
    """Whether its controller has seen the last change: its status speaks of an older one else."""
    return bool(live.get("status", {}).get("observedGeneration") == live["metadata"]["generation"])


def _with_reasons(kube: Kube, live: Manifest, what: str) -> str:
    failed = [one["message"] for one in live["status"].get("conditions", []) if one["type"] == "ReplicaFailure"]
    waiting = [
        f"{pod['metadata']['name']}: {reason}"
        for pod in pods(kube, live)
        if not is_ready(pod)
        for reason in _reasons(pod)
    ]
    return "; ".join([what, *failed, *sorted(waiting)])


def _reasons(pod: Manifest) -> Iterator[str]:
    status = pod.get("status", {})
    for condition in status.get("conditions", []):
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            yield str(condition["message"])
    for container in status.get("containerStatuses", []):
        if waiting := container["state"].get("waiting"):
            yield f"{container['name']}: {waiting['reason']}: {waiting['message']}"
