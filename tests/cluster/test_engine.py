"""The dev stack on the real Pulumi engine and a real API server: up, edits, failure half-way, resume, destroy.

Its pools join a cluster that exists, so that a destroy has to delete each object by itself.
"""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import tools
from components import labels
from infra import stack as stacks
from tests.cluster import keda, machines
from tests.cluster.conftest import GIVEN, SCALED_OBJECT
from tests.cluster.control_plane import control_plane, fake_nodes
from tests.cluster.doubles import ApplyingDouble, NodesDouble
from tests.cluster.kube import Kube, Manifest, until
from tests.cluster.readiness import complaint, pods
from tests.engine.fleets import ROOT, Edit, Fleet, both, exists, merged
from tests.engine.harness import Engine, UpdateError

SHARED: Edit = {"gke": {"cluster": "shared", "namespace": "ollama"}}
IMPATIENT = 12
"""Seconds: enough for Kubernetes to do what it can on a busy machine."""
NOWHERE = "does-not-exist.example.com/ollama/ollama:0.32.15"
MIRROR = "mirror.example.com/ollama/ollama:0.32.15"
KINDS = {
    "v1": ("Namespace", "Node", "ConfigMap", "Secret", "Service", "ServiceAccount", "ResourceQuota", "Pod"),
    "apps/v1": ("Deployment", "DaemonSet", "ReplicaSet"),
    "policy/v1": ("PodDisruptionBudget",),
    "networking.k8s.io/v1": ("NetworkPolicy",),
    "scheduling.k8s.io/v1": ("PriorityClass",),
    "keda.sh/v1alpha1": ("ScaledObject",),
}
"""Everything that the program makes, and what becomes of it."""


def reference(kind: str, name: str, api: str = "v1") -> Manifest:
    return {"apiVersion": api, "kind": kind, "metadata": {"namespace": "ollama", "name": name}}


T4, L4 = (reference("Deployment", f"ollama-{pool}", "apps/v1") for pool in ("t4", "l4"))
ROUTER = reference("Deployment", "ollama-router", "apps/v1")
ROUTES = reference("ConfigMap", "ollama-routes")


@pytest.fixture(scope="module")
def kube(programs: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kube]:
    """An API server that no other stack is on, with the nodes and pods of a cluster that others made."""
    if os.environ.get(GIVEN):
        pytest.skip("a cluster is given: this needs one without the tier's other stacks")
    folder = tmp_path_factory.mktemp("engine")
    definition = tools.find_file(SCALED_OBJECT)
    assert definition, "programs has looked for it"
    with (
        control_plane(folder, programs) as (api, _),
        fake_nodes(folder, programs, api),
        keda.defined(api, definition),
    ):
        googles = machines.googles()
        for manifest in [*machines.of_pool(machines.MADE_BY_OTHERS), *googles]:
            api.create(manifest)
        until(lambda: not any(complaint(api, one) for one in googles), "Google's own pods")
        yield api


@pytest.fixture
def fleet(kube: Kube, pulumi_cli: Path, tmp_path: Path) -> Iterator[Fleet]:
    """The dev stack with nothing up yet."""
    with ExitStack() as stack:
        engine = Engine(pulumi_cli, tmp_path, stack, partial(NodesDouble, kube), partial(ApplyingDouble, kube))
        file = stacks.read(ROOT, "dev")
        made = Fleet(engine, replace(file, fleet=merged(file.fleet, SHARED)))
        exists(made, "shared", file.fleet["gke"]["location"])
        yield made
        # after a test that failed half-way, for those that follow
        made.destroy()
        for name in ("ollama", "ollama-drivers"):
            kube.delete({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})


def everything(kube: Kube) -> dict[str, Manifest]:
    """What there is, apart from Google's own pods, which come and go with the nodes."""
    found = [one for api, kinds in KINDS.items() for kind in kinds for one in kube.list(api, kind)]
    return {
        f"{one['kind']} {one['metadata'].get('namespace', '')}/{one['metadata']['name']}": one
        for one in found
        if one["metadata"].get("namespace") != machines.KUBE_SYSTEM
    }


def untouched(before: dict[str, Manifest], after: dict[str, Manifest]) -> set[str]:
    """What is the same object with the same spec and data: nobody deleted, made anew or changed it."""

    def essence(one: Manifest) -> tuple[Any, ...]:
        return one["metadata"]["uid"], one.get("spec"), one.get("data"), one["metadata"].get("labels")

    return {name for name in before if name in after and essence(before[name]) == essence(after[name])}


def scaled(kube: Kube, deployment: Manifest, replicas: int) -> set[str]:
    """What an autoscaler does; the pods then."""
    kube.scale(deployment, replicas)
    until(lambda: complaint(kube, deployment) is None, f"{replicas} pods ready")
    return identities(kube, deployment)


def identities(kube: Kube, deployment: Manifest) -> set[str]:
    return {pod["metadata"]["uid"] for pod in pods(kube, kube.get(deployment))}


def comes(fleet: Fleet, kube: Kube) -> None:
    """Up for the first time, and until its autoscaler has made the door's second pod: nobody asks for that one."""
    fleet.up()
    until(lambda: len(pods(kube, kube.get(ROUTER))) == 2 and complaint(kube, ROUTER) is None, "both pods of the door")


def goes(fleet: Fleet, kube: Kube, before: dict[str, Manifest]) -> None:
    """Down to what was there before, and nothing of that was touched."""
    fleet.destroy()
    assert fleet.stack.state() == []
    assert everything(kube).keys() == before.keys() == untouched(before, everything(kube))


def test_the_dev_stack_comes_up_is_edited_and_goes(fleet: Fleet, kube: Kube) -> None:
    nothing = everything(kube)
    fleet.preview()
    assert everything(kube).keys() == nothing.keys()
    comes(fleet, kube)
    first = everything(kube)
    assert {one.rpartition("/")[2] for one in first if one.startswith("Node ")} == {
        *("gke-default-pool-0", "gke-default-pool-1", "gke-ollama-a100-0", "gke-ollama-t4-0", "gke-ollama-t4-1")
    }
    assert fleet.up().changes == {"read": ["fleet-cluster"]}
    assert everything(kube).keys() == first.keys() == untouched(first, everything(kube))

    servers = scaled(kube, T4, 2)
    life: dict[str, Any] = {"models": {"qwen3:0.6b": ["t4"]}}
    fleet.up(life)
    assert "qwen3:0.6b" in kube.get(ROUTES)["data"]["routes.toml"]
    assert identities(kube, T4) == servers

    life = both(life, {"pools": {"t4": {"image": MIRROR}}})
    fleet.up(life)
    assert {pod["spec"]["containers"][0]["image"] for pod in pods(kube, kube.get(T4))} == {MIRROR}
    assert len(identities(kube, T4) - servers) == 2

    life = both(life, {"pools": {"t4": {"spot": True}}})
    fleet.up(life)
    until(lambda: complaint(kube, T4) is None, "two pods on new nodes")
    nodes = {pod["spec"]["nodeName"] for pod in pods(kube, kube.get(T4))}
    assert {one["metadata"]["labels"].get("cloud.google.com/gke-spot") for one in machines_of(kube, nodes)} == {"true"}
    assert len(nodes) == 2

    # a fixed number, which then becomes a range: no replica is taken for that
    servers = identities(kube, T4)
    fleet.up(both(life, {"pools": {"t4": {"replicas": 2}}}))
    life = both(life, {"pools": {"t4": {"replicas": "1..2"}}})
    fleet.up(life)
    assert identities(kube, T4) == servers

    before = everything(kube)
    added: Edit = {"pools": {"l4": {"gpu": "l4"}}, "models": {"gemma3:4b": ["m60", "t4", "l4"]}}
    fleet.up(both(life, added))
    with_l4 = everything(kube)
    assert len(identities(kube, L4)) == 1
    assert before.keys() - untouched(before, with_l4) == {
        "ConfigMap ollama/ollama-routes",
    }
    fleet.up(life)
    assert everything(kube).keys() == before.keys()
    assert with_l4.keys() - before.keys() >= {"Node /gke-ollama-l4-0", "Deployment ollama/ollama-l4"}
    assert identities(kube, T4) == {one["metadata"]["uid"] for one in before.values() if is_server(one, "t4")}

    goes(fleet, kube, nothing)


def machines_of(kube: Kube, names: set[str]) -> list[Manifest]:
    return [one for one in kube.list("v1", "Node") if one["metadata"]["name"] in names]


def is_server(one: Manifest, pool: str) -> bool:
    wanted = labels.server(pool)
    return one["kind"] == "Pod" and wanted.items() <= one["metadata"]["labels"].items()


FULL: Edit = {"pools": {"t4": {"replicas": 2}}}


@contextmanager
def impatient(fleet: Fleet) -> Iterator[None]:
    """A provider that gives up after seconds, where the program grants it the better part of an hour."""
    double = fleet.kubernetes
    assert isinstance(double, ApplyingDouble)
    usual, double.patience = double.patience, IMPATIENT
    yield
    double.patience = usual


def failure(fleet: Fleet, *edits: Edit) -> str:
    """Why an up fails."""
    with impatient(fleet), pytest.raises(UpdateError) as failed:
        fleet.up(*edits)
    assert "Traceback" not in str(failed.value)
    return str(failed.value)


def test_each_failure_half_way_is_named_and_the_next_up_resumes(fleet: Fleet, kube: Kube) -> None:
    nothing = everything(kube)
    # somebody else's object under the name of ours: not taken over, and named with its owner
    kube.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "ollama"}})
    kube.apply({**ROUTES, "data": {"routes.toml": "[routes]"}}, manager="somebody")
    assert 'conflict with "somebody"' in failure(fleet)
    assert kube.get(ROUTES)["data"] == {"routes.toml": "[routes]"}
    kube.delete(ROUTES)

    missing = failure(fleet, both(FULL, {"pools": {"t4": {"image": NOWHERE}}}))
    assert "0 out of 2 replicas are ready" in missing
    assert f"ollama: ImagePullBackOff: Back-off pulling image {NOWHERE}" in missing

    # Google has no machine left
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "gke-ollama-t4-0"}}
    kube.merge(node, {"spec": {"unschedulable": True}})
    stockout = failure(fleet, FULL)
    assert "out of 2 replicas are ready" in stockout
    assert "1 node(s) were unschedulable" in stockout
    kube.merge(node, {"spec": {"unschedulable": False}})

    # the scaler of the file as it was first had no object yet
    gone = {"delete": ["t4-scaler"]}
    assert fleet.up(FULL).changes == {"read": ["fleet-cluster"], "update": ["t4-server-deployment"], **gone}
    assert fleet.up(FULL).changes == {"read": ["fleet-cluster"]}
    assert len(identities(kube, T4)) == 2

    # what a hand deleted comes back with a refresh
    kube.delete(ROUTES)
    fleet.up(FULL, refresh=True)
    assert "llama3.1:8b" in kube.get(ROUTES)["data"]["routes.toml"]
    goes(fleet, kube, nothing)


def test_a_hand_edit_of_what_the_program_owns_is_reported_before_the_next_change_of_it(
    fleet: Fleet, kube: Kube
) -> None:
    nothing = everything(kube)
    comes(fleet, kube)
    kube.merge(ROUTES, {"data": {"routes.toml": "[routes]"}}, manager="kubectl-edit")
    assert fleet.preview().changes == {"read": ["fleet-cluster"]}
    edited = everything(kube)
    with pytest.raises(UpdateError, match=r'conflict with "kubectl-edit" using v1: \.data\.routes\.toml'):
        fleet.preview({"models": {"qwen3:0.6b": ["t4"]}})
    assert untouched(edited, everything(kube)) == edited.keys()
    goes(fleet, kube, nothing)
