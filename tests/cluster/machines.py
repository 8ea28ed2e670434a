"""Nodes as GKE makes them from the node pools that the program registers, and what Google itself runs on them."""

from collections.abc import Iterator, Mapping
from typing import Any

from infra import catalogue
from infra.plan.capacity import allocatable, usable_disk
from infra.recorder import Recording
from tests.cluster.control_plane import FAKE
from tests.cluster.kube import Manifest

NODE_POOL = "cloud.google.com/gke-nodepool"
ACCELERATOR = "cloud.google.com/gke-accelerator"
DRIVER_VERSION = "cloud.google.com/gke-gpu-driver-version"
PLAYED = {"type": "kwok"}
"""Label of the played nodes, so that the stand-ins for Google's own pods stay off any others."""
SYSTEM = "system"
SYSTEM_NODES = 2
PODS_PER_NODE = "110"
"""Google's default."""
KUBE_SYSTEM = "kube-system"
_EFFECTS = {"NO_SCHEDULE": "NoSchedule", "NO_EXECUTE": "NoExecute", "PREFER_NO_SCHEDULE": "PreferNoSchedule"}
MADE_BY_OTHERS: Mapping[str, Any] = {
    "name": "default-pool",
    "nodeLocations": ["europe-west4-a"],
    "nodeConfig": {"machineType": "e2-standard-2", "diskSizeGb": 100, "imageType": "COS_CONTAINERD"},
}
"""The system nodes of a cluster that exists already."""


def nodes(recording: Recording) -> Iterator[Manifest]:
    """Every node pool at its largest, and two nodes without GPU."""
    pools = [resource.inputs for resource in recording.of_type("gcp:container/nodePool:NodePool")]
    if all(pool["name"] != SYSTEM for pool in pools):
        pools.append(MADE_BY_OTHERS)
    for pool in pools:
        yield from of_pool(pool)


def of_pool(pool: Mapping[str, Any]) -> Iterator[Manifest]:
    """A node pool at its largest; one without taints has two nodes."""
    count = int(pool["autoscaling"]["totalMaxNodeCount"]) if "taints" in pool["nodeConfig"] else SYSTEM_NODES
    for number in range(count):
        yield node(pool, number)


def node(pool: Mapping[str, Any], number: int) -> Manifest:
    """One node of a pool, with the labels and taints that GKE gives it, and what its machine leaves for pods."""
    config = pool["nodeConfig"]
    machine = catalogue.load().machines[config["machineType"]]
    facts = catalogue.load().gke.node
    left = allocatable(machine, facts)
    accelerator = next(iter(config.get("guestAccelerators") or []), None)
    zone = pool["nodeLocations"][number % len(pool["nodeLocations"])]
    name = f"gke-{pool['name']}-{number}"
    offered = {
        "cpu": f"{left.cpu}m",
        "memory": str(left.memory),
        "ephemeral-storage": str(usable_disk(int(config["diskSizeGb"]), facts)),
        "pods": PODS_PER_NODE,
    }
    labels = {
        **PLAYED,
        "kubernetes.io/hostname": name,
        "kubernetes.io/os": "linux",
        "kubernetes.io/arch": "amd64",
        "node.kubernetes.io/instance-type": config["machineType"],
        "topology.kubernetes.io/zone": zone,
        "topology.kubernetes.io/region": zone.rpartition("-")[0],
        NODE_POOL: pool["name"],
        "cloud.google.com/gke-os-distribution": "ubuntu" if "UBUNTU" in config["imageType"] else "cos",
        "cloud.google.com/machine-family": machine.family,
        **config.get("labels", {}),
    }
    if config.get("spot"):
        labels["cloud.google.com/gke-spot"] = "true"
    if accelerator is not None:
        offered["nvidia.com/gpu"] = str(accelerator["count"])
        labels[ACCELERATOR] = accelerator["type"]
        labels["cloud.google.com/gke-accelerator-count"] = str(accelerator["count"])
        version = accelerator["gpuDriverInstallationConfig"]["gpuDriverVersion"]
        if version != "INSTALLATION_DISABLED":
            labels[DRIVER_VERSION] = version.lower()
    taints = [{**taint, "effect": _EFFECTS[taint["effect"]]} for taint in config.get("taints", [])]
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": labels, "annotations": FAKE},
        "spec": {"taints": taints},
        "status": {"allocatable": offered, "capacity": offered},
    }


def googles() -> list[Manifest]:
    """Stand-ins for what GKE runs: the most that its DaemonSets were seen to ask for, and its pods on system nodes.

    Seen on GKE: 218 to 384m and 320 to 626 MiB, the device plugin 55 to 150m and 80 MiB (gke.toml);
    Google's kube-dns (two pods of 260m), metrics server, autoscalers and exporters from memory (2026-11-21).
    """
    return [
        _quota(),
        _daemon_set("gke-agents", "384m", "626Mi", NODE_POOL),
        _daemon_set("gke-device-plugin", "150m", "80Mi", ACCELERATOR),
        _deployment("gke-dns", 2, "260m", "110Mi"),
        _deployment("gke-others", 1, "100m", "200Mi"),
    ]


def _quota() -> Manifest:
    expression = {
        "scopeName": "PriorityClass",
        "operator": "In",
        "values": ["system-node-critical", "system-cluster-critical"],
    }
    return {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "gcp-critical-pods", "namespace": KUBE_SYSTEM},
        "spec": {"hard": {"pods": "1G"}, "scopeSelector": {"matchExpressions": [expression]}},
    }


def _daemon_set(name: str, cpu: str, memory: str, label: str) -> Manifest:
    term = {"matchExpressions": [{"key": label, "operator": "Exists"}]}
    pod = {
        **_pod("system-node-critical", cpu, memory),
        "tolerations": [{"operator": "Exists"}],
        "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}},
    }
    return _workload("DaemonSet", name, {}, pod)


def _deployment(name: str, replicas: int, cpu: str, memory: str) -> Manifest:
    return _workload("Deployment", name, {"replicas": replicas}, _pod("system-cluster-critical", cpu, memory))


def _pod(priority: str, cpu: str, memory: str) -> Manifest:
    container = {"name": "main", "image": "pause", "resources": {"requests": {"cpu": cpu, "memory": memory}}}
    return {"priorityClassName": priority, "nodeSelector": PLAYED, "containers": [container]}


def _workload(kind: str, name: str, spec: Manifest, pod: Manifest) -> Manifest:
    own = {"k8s-app": name}
    return {
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": {"name": name, "namespace": KUBE_SYSTEM},
        "spec": {**spec, "selector": {"matchLabels": own}, "template": {"metadata": {"labels": own}, "spec": pod}},
    }
