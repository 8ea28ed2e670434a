"""The door before pods that come and go: program, map, facts and rules as the API server has them, a real Envoy."""

import json
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from infra.local.ports import free_ports
from infra.plan.model import OLLAMA_PORT
from tests.cluster.fleet import Fleet
from tests.cluster.kube import Kube, Manifest, until
from tests.cluster.names import Names
from tests.cluster.played import Played, program, resolver
from tests.router.conftest import envoy  # noqa: F401 - a fixture
from tests.router.door import Door
from tests.router.test_failover import load

MODEL, FIRST, NEXT = "llama3.1:8b", "t4", "a100"
KEY = "everyone-ABCDEFGHIJKLMNOPQRSTUVWXYZ"
CHAT = json.dumps({"model": MODEL}).encode()


class Scene:
    """The door of the dev stack, and its pods."""

    def __init__(self, fleet: Fleet, door: Door, played: Played) -> None:
        self.fleet, self.door, self.played = fleet, door, played

    def scale(self, pool: str, replicas: int) -> None:
        """As an autoscaler does, and until the pods are there."""
        (plan,) = [one for one in self.fleet.pools if one.name == pool]
        self.fleet.kube.scale(self.fleet.deployment(plan), replicas)
        until(lambda: len(self.pods(pool)) == replicas, f"{replicas} pods of {pool}")

    def pods(self, pool: str) -> list[Manifest]:
        (plan,) = [one for one in self.fleet.pools if one.name == pool]
        return self.fleet.pods(self.fleet.deployment(plan))

    def names(self, pool: str) -> set[str]:
        return {pod["metadata"]["name"] for pod in self.pods(pool)}

    def replicas(self, pool: str) -> list[object]:
        """Those that the process beside Envoy has asked."""
        found = self.door.ask("GET", "/fleet/status.json", headers={"x-api-key": KEY}).json["pools"]
        return next(list(one["replicas"]) for one in found if one["name"] == pool)

    def who(self, pods: set[str]) -> None:
        """Waits until all of these pods are asked."""
        for pod in pods:
            before = self.played.asked(pod)
            until(lambda pod=pod, before=before: self.played.asked(pod) > before + 5, f"{pod} asked")

    def silent(self, pod: str) -> None:
        """Waits until a pod is asked nothing any more."""
        counts: list[int] = []

        def still() -> bool:
            counts.append(self.played.asked(pod))
            return len(counts) > 8 and counts[-1] == counts[-8]

        until(still, f"{pod} left alone")


@pytest.fixture
def scene(fleet: Fleet, envoy: Path, tmp_path: Path) -> Iterator[Scene]:  # noqa: F811
    kube, namespace = fleet.kube, fleet.plan.namespace

    def config_map(name: str) -> dict[str, str]:
        found: dict[str, str] = kube.get(
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": namespace}}
        )["data"]
        return found

    (port,) = free_ports(1)
    names = Names(tmp_path)
    mounted = config_map("ollama-routes")
    played = Played(
        # a session of its own: it is asked from another thread
        kube=Kube(kube.kubeconfig, tmp_path),
        namespace=namespace,
        services=[f"ollama-{pool.name}" for pool in fleet.pools],
        models=[model.name for model in fleet.plan.models],
        names=names,
        port=port,
    )
    with ExitStack() as stack:
        asked = stack.enter_context(names.served())
        stack.enter_context(played.running())
        scene = Scene(fleet, None, played)  # type: ignore[arg-type]
        stack.callback(lambda: [scene.scale(pool.name, pool.replicas.min) for pool in fleet.pools])
        scene.scale(FIRST, 1)
        scene.scale(NEXT, 1)
        until(lambda: sum(map(len, names.table.values())) == 2, "both in the DNS")
        scene.door = Door(
            envoy,
            tmp_path / "door",
            # all pods share the loopback addresses of this machine with whatever else listens there
            mounted["routes.toml"].replace(f":{OLLAMA_PORT}", f":{port}"),
            facts=json.loads(mounted["facts.json"]),
            rules=json.loads(mounted["door.json"]),
            keys={"everyone": KEY},
            program=program(tmp_path, config_map("ollama-router")),
            environment=names.environment,
            envoy_options=("--config-yaml", resolver(asked)),
            python=sys.executable,
        )
        stack.callback(scene.door.close)
        yield scene


@pytest.mark.parametrize("fleet", ["dev"], indirect=True)
def test_pods_that_come_and_go_cost_no_request(scene: Scene) -> None:
    with load(scene.door, clients=4, chat=CHAT, headers={"x-api-key": KEY}) as outcomes:
        scene.who(scene.names(FIRST))
        # scale-out
        scene.scale(FIRST, 2)
        scene.who(scene.names(FIRST))
        until(lambda: len(scene.replicas(FIRST)) == 2, "the process beside Envoy finds both")
        # a pod that is not ready any more, and is again
        sick, well = scene.pods(FIRST)
        _ready(scene, sick, ready=False)
        scene.silent(sick["metadata"]["name"])
        scene.who({well["metadata"]["name"]})
        _ready(scene, sick, ready=True)
        scene.who(scene.names(FIRST))
        # scale-in: the pod leaves the DNS, and its server when its requests have ended
        before = scene.names(FIRST)
        scene.scale(FIRST, 1)
        scene.who(scene.names(FIRST))
        (left,) = before - scene.names(FIRST)
        scene.silent(left)
        # a drain: evicted through the disruption budget, replaced by another pod
        (pod,) = scene.pods(FIRST)
        assert scene.fleet.kube.evict(pod)
        until(lambda: len(scene.names(FIRST) - {pod["metadata"]["name"]}) == 1, "another pod")
        scene.who(scene.names(FIRST))
        # to sleep: requests wait for it in the router
        scene.scale(FIRST, 0)
        until(lambda: not scene.names(FIRST), "nobody is left")
        # and awake
        scene.scale(FIRST, 1)
        scene.who(scene.names(FIRST))
    lost = {outcome: count for outcome, count in outcomes.items() if not outcome.startswith("ollama-")}
    assert not lost, lost
    assert outcomes.total() > 200


def _ready(scene: Scene, pod: Manifest, *, ready: bool) -> None:
    """What a kubelet says when the readiness probe fails, or passes again."""
    conditions = [
        {**one, "status": str(ready)} if one["type"] in ("Ready", "ContainersReady") else one
        for one in pod["status"]["conditions"]
    ]
    scene.fleet.kube.merge(pod, {"status": {"conditions": conditions}}, part="status", manager="kubelet")
