"""A stack on a real API server: its objects applied in the order of `fleet manifests`, its nodes played by KWOK."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from components import labels
from infra import stack as stacks
from infra.commands import common, manifests, recorded
from infra.plan.model import FleetPlan, PoolPlan
from infra.recorder import Recording
from tests.cluster import machines, readiness
from tests.cluster.control_plane import FAKE
from tests.cluster.ignored import with_ignored
from tests.cluster.kube import MANAGER, Kube, Manifest, until
from tests.cluster.readiness import complaint
from tests.engine.fleets import Edit, merged

ROOT = Path(__file__).parents[2]
OWN = Path(__file__).parent / "stacks"
BYSTANDER = "bystander"
"""A namespace of somebody else's."""


def on_gke() -> dict[str, Path]:
    """Name -> folder of every stack in this repository that makes Kubernetes objects."""
    folders = (ROOT, ROOT / "examples", OWN)
    return {name: folder for folder in folders for name in stacks.stacks(folder) if _has_gke(folder, name)}


def _has_gke(folder: Path, name: str) -> bool:
    fleet = stacks.read(folder, name).fleet
    return isinstance(fleet, dict) and "gke" in fleet


@dataclass(frozen=True)
class Fleet:
    """A stack that was applied. What the server warned of is kept."""

    kube: Kube
    stack: stacks.Stack
    plan: FleetPlan
    recording: Recording
    objects: Sequence[Manifest]
    warnings: Sequence[str]

    @property
    def pools(self) -> list[PoolPlan]:
        """The pools whose nodes are in this cluster."""
        return [pool for pool in self.plan.pools if pool.nodes is not None]

    @property
    def namespaces(self) -> list[str]:
        """The stack's own."""
        return [one["metadata"]["name"] for one in self.objects if one["kind"] == "Namespace"]

    def deployment(self, pool: PoolPlan) -> Manifest:
        """The Deployment of a pool, as the program makes it."""
        return self._one("Deployment", pool.names.workload)

    def router(self) -> Manifest:
        """The Deployment of the door."""
        return self._one("Deployment", "ollama-router")

    def workloads(self) -> list[Manifest]:
        """Deployments and DaemonSets as they are now."""
        return [self.kube.get(one) for one in self.objects if one["kind"] in ("Deployment", "DaemonSet")]

    def pods(self, workload: Manifest) -> list[Manifest]:
        """The pods that a workload's selector finds, without those that are leaving."""
        return readiness.pods(self.kube, workload)

    def nodes(self, pool: PoolPlan | None = None) -> set[str]:
        """The names of a pool's nodes; without a pool, of those that belong to none."""
        found = self.kube.list("v1", "Node")
        return {
            node["metadata"]["name"]
            for node in found
            if node["metadata"]["labels"].get(labels.POOL) == (pool.name if pool else None)
            and node["metadata"].get("annotations", {}).items() >= FAKE.items()
        }

    def edited(self, edit: Edit) -> "Fleet":
        """What the program makes of the file with this edit; nothing is applied yet."""
        stack = replace(self.stack, fleet=merged(self.stack.fleet, edit))
        return Fleet(self.kube, stack, *_made_of(stack), warnings=self.warnings)

    def apply(self) -> list[str]:
        """Applies every object once more, as Pulumi's provider does. Returns those that it changed."""
        changed = []
        for manifest in self.objects:
            before = self.kube.get(manifest)
            force = (manifest["metadata"].get("annotations") or {}).get("pulumi.com/patchForce") == "true"
            after, _ = self.kube.apply(with_ignored(manifest, before, self._ignored(manifest), MANAGER), force=force)
            if _declared(after) != _declared(before):
                changed.append(f"{manifest['kind']} {manifest['metadata']['name']}")
        return changed

    def settle(self) -> None:
        """Waits until every workload has the pods that it wants, all ready."""
        until(lambda: not any(complaint(self.kube, one) for one in self.workloads()), self.complaints)

    def complaints(self) -> str:
        """Why pods are missing or wait: for people who read a failed test."""
        events = [
            f"{event['involvedObject']['kind']} {event['involvedObject']['name']}: {event['message']}"
            for namespace in self.namespaces
            for event in self.kube.list("v1", "Event", namespace)
            if event["type"] == "Warning"
        ]
        return "every workload ready\n" + "\n".join(sorted(set(events)))

    def _one(self, kind: str, name: str) -> Manifest:
        return next(one for one in self.objects if one["kind"] == kind and one["metadata"]["name"] == name)

    def _ignored(self, manifest: Manifest) -> tuple[str, ...]:
        """The option `ignore_changes` of an object's resource."""
        for resource in self.recording.resources:
            same = resource.inputs.get("kind") == manifest["kind"] and _place(resource.inputs) == _place(manifest)
            if same and resource.type.startswith("kubernetes:"):
                return resource.ignore_changes
        raise LookupError(manifest["metadata"]["name"])


@contextmanager
def installed(kube: Kube, name: str, folder: Path) -> Iterator[Fleet]:
    """Nodes and objects of a stack; all are gone afterwards."""
    stack = stacks.read(folder, name)
    plan, recording, objects = _made_of(stack)
    warnings: list[str] = []
    fleet = Fleet(kube, stack, plan, recording, objects, warnings)
    around = [*machines.nodes(recording), *machines.googles(), _namespace(BYSTANDER)]
    _refuse_to_meet_others(kube, [*objects, *around])
    try:
        for manifest in around:
            kube.create(manifest)
        for manifest in objects:
            warnings += kube.apply(manifest)[1]
        claims = (kube.get(one) for one in objects if one["kind"] == "PersistentVolumeClaim")
        around.extend(kube.create(_volume(claim)) for claim in claims)
        fleet.settle()
        until(lambda: len(fleet.pods(fleet.router())) == fleet.plan.router.replicas, "the autoscaler's second router")
        fleet.settle()
        yield fleet
    finally:
        _remove(kube, [*objects, *around])


def _made_of(stack: stacks.Stack) -> tuple[FleetPlan, Recording, Sequence[Manifest]]:
    """Plan, resources and Kubernetes objects of a stack."""
    recording = recorded.of_stack(stack)
    return common.plan_of(stack), recording, manifests.objects(recording)


def _refuse_to_meet_others(kube: Kube, ours: Sequence[Manifest]) -> None:
    """A given cluster may be in use: nothing of it is touched."""
    met = [one["metadata"]["name"] for one in ours if one["kind"] in ("Namespace", "Node") and kube.exists(one)]
    if met:
        raise RuntimeError(f"the given cluster has {', '.join(met)} already: give one without, or delete them")
    open_to_all = [
        node["metadata"]["name"]
        for node in kube.list("v1", "Node")
        if not node["spec"].get("unschedulable") and not node["spec"].get("taints")
    ]
    if open_to_all:
        raise RuntimeError(f"pods would run on the given cluster's own nodes: kubectl cordon {' '.join(open_to_all)}")


def _remove(kube: Kube, objects: Sequence[Manifest]) -> None:
    """Pods go before their namespace, which else would wait half of their grace period."""
    workloads = [one for one in objects if one["kind"] in ("Deployment", "DaemonSet")]
    spaces = [one for one in objects if one["kind"] == "Namespace"]
    for one in workloads:
        kube.delete(one)
    for name in [one["metadata"]["name"] for one in spaces]:
        for pod in kube.list("v1", "Pod", name):
            if not pod["metadata"].get("ownerReferences"):
                kube.delete(pod)
        until(lambda name=name: not kube.list("v1", "Pod", name), f"no pods in {name}")
    for one in reversed(objects):
        if "namespace" not in one["metadata"] or one["metadata"]["namespace"] == machines.KUBE_SYSTEM:
            kube.delete(one)
    until(lambda: not any(map(kube.exists, spaces)), "the namespaces gone")


def _volume(claim: Manifest) -> Manifest:
    """What the cluster's provisioner would make for a claim."""
    spec, (namespace, name) = claim["spec"], _place(claim)
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": f"{namespace}-{name}"},
        "spec": {
            "capacity": spec["resources"]["requests"],
            "accessModes": spec["accessModes"],
            "storageClassName": spec.get("storageClassName", ""),
            "claimRef": {"namespace": namespace, "name": name},
            # of those that nobody has to attach to a node
            "nfs": {"server": "nowhere.example.com", "path": "/"},
        },
    }


def _namespace(name: str) -> Manifest:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


def _place(manifest: Any) -> tuple[str, str]:
    return manifest["metadata"].get("namespace", ""), manifest["metadata"]["name"]


def _declared(manifest: Manifest) -> Manifest:
    """An object without its status, its version and who manages which field of it."""
    metadata = {
        key: value for key, value in manifest["metadata"].items() if key not in ("managedFields", "resourceVersion")
    }
    return {**{key: value for key, value in manifest.items() if key != "status"}, "metadata": metadata}
