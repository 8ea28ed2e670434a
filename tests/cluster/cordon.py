"""Nodes that take no further pod for a while, as `kubectl cordon` leaves them."""

from collections.abc import Iterator
from contextlib import contextmanager

from tests.cluster.fleet import BYSTANDER, Fleet
from tests.cluster.kube import Manifest, until
from tests.cluster.watched import condition

UNSCHEDULABLE = "node.kubernetes.io/unschedulable"


@contextmanager
def cordoned(fleet: Fleet, *names: str) -> Iterator[None]:
    """Until the end of the block; it begins when the scheduler knows: a pod that had to move at once would else land
    on the very node (seen on a busy machine)."""
    nodes = [{"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}} for name in names]
    try:
        for node in nodes:
            live = fleet.kube.merge(node, {"spec": {"unschedulable": True}})
            until(lambda live=live: _is_refused(fleet, live), f"no pod placed on {node['metadata']['name']}")
        yield
    finally:
        for node in nodes:
            fleet.kube.merge(node, {"spec": {"unschedulable": False}})
        fleet.settle()


def _is_refused(fleet: Fleet, node: Manifest) -> bool:
    """Whether the scheduler turns away a pod that fits nowhere else, because of the cordon."""
    name = node["metadata"]["name"]
    taints = [one for one in node["spec"].get("taints", []) if one["key"] != UNSCHEDULABLE]
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": f"asks-for-{name}", "namespace": BYSTANDER},
        "spec": {
            "containers": [{"name": "main", "image": "pause"}],
            "nodeSelector": {"kubernetes.io/hostname": name},
            "tolerations": [{key: one[key] for key in ("key", "value", "effect") if key in one} for one in taints],
        },
    }
    fleet.kube.create(pod)
    try:
        until(lambda: condition(fleet.kube.get(pod), "PodScheduled"), "the scheduler's decision")
        decision = condition(fleet.kube.get(pod), "PodScheduled")
        return bool(decision["status"] == "False" and "unschedulable" in decision["message"])
    finally:
        fleet.kube.delete(pod, grace=0)
        until(lambda: not fleet.kube.exists(pod), "the asking pod gone")
