"""The project's program on the real engine: what it makes, and what each edit of the file changes."""

import copy
import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from infra.__main__ import main as tool
from tests.engine.doubles.values import UNKNOWN
from tests.engine.fleets import (
    CLUSTER,
    NODE_POOL,
    UNPROTECTED,
    Edit,
    Fleet,
    both,
    dev,
    dev_up,
    example,
    merged,
    reordered,
)
from tests.engine.harness import Engine, Steps
from tests.program.changes import actions, change_of

ROUTER = ["fleet-router-routes"]
"""The map, and what Envoy reads of it."""

MODELS = ["a100-server-models", "t4-server-models"]
"""What the pools of the cluster have to have, and how they would make each other's: any of them may be routed there."""
LISTS_AND_MAP = ["a100-server-models", *ROUTER, "t4-server-models"]

Listed = Callable[[Fleet], dict[str, Any]]

BOT = "FROM gemma3:4b\nPARAMETER temperature {inputs.temperature}\n"


def of_pool(pool: str, *, scales: bool = True) -> list[str]:
    """Everything that a pool with GPUs on GKE consists of, components included."""
    server = ("account", "deployment", "disruption-budget", "models", "network-policy", "service")
    return sorted(
        [
            *(f"{pool}-{part}" for part in ("pool", "pool-nodes", "driver", "driver-daemon-set", "server")),
            *(f"{pool}-server-{part}" for part in server),
            *((f"{pool}-scaler", f"{pool}-scaler-scaled-object") if scales else ()),
        ]
    )


# What it makes


@pytest.fixture
def listed(tmp_path_factory: pytest.TempPathFactory, capsys: pytest.CaptureFixture[str]) -> Listed:
    """What `fleet resources` says of a fleet's file, by urn."""

    def resources(fleet: Fleet) -> dict[str, Any]:
        folder = tmp_path_factory.mktemp("resources")
        # the stack's name is part of every urn
        shutil.copy(fleet.file.path, folder / "Pulumi.test.yaml")
        assert tool(["resources", "--stack", "test", "--cwd", str(folder)]) == 0
        return {one["urn"]: one for one in json.loads(capsys.readouterr().out)["resources"]}

    return resources


def comes_up(fleet: Fleet, listed: Listed) -> None:
    """Preview and up, which must register exactly what `fleet resources` lists."""
    expected = listed(fleet)
    steps = fleet.preview()
    assert sorted(step.urn for step in steps) == sorted(expected)
    assert {step.op for step in steps} <= {"create", "read"}
    assert fleet.operations == 0
    assert sorted(step.urn for step in fleet.up()) == sorted(expected)
    made = {one["urn"]: one for one in fleet.stack.checkpoint()["resources"]}
    for urn, resource in expected.items():
        assert _as_listed(made[urn]) == _listed(resource), urn


def _listed(resource: dict[str, Any]) -> dict[str, Any]:
    """What a resource of `fleet resources` shares with one of the engine's state."""
    options = resource["options"]
    timeouts = options.get("customTimeouts") or {}
    return {
        "parent": resource["parent"],
        "custom": resource["custom"],
        "provider": resource["provider"],
        "dependencies": sorted(options.get("dependsOn", [])),
        "deletedWith": options.get("deletedWith"),
        "protect": options.get("protect", False),
        "ignoreChanges": options.get("ignoreChanges", []),
        "customTimeouts": {key: _seconds(text) for key, text in timeouts.items()},
        # an object that is only read is known by its id: the state shows what the cloud said of it
        "inputs": None if "readId" in options or not resource["custom"] else resource["inputs"],
    }


def _hidden(value: Any) -> Any:
    """An encrypted value as `fleet resources` shows it."""
    if isinstance(value, dict):
        return {"$secret": True} if "ciphertext" in value else {key: _hidden(one) for key, one in value.items()}
    return [_hidden(one) for one in value] if isinstance(value, list) else value


def _as_listed(resource: dict[str, Any]) -> dict[str, Any]:
    """A resource of the engine's state in the same form."""
    provider = resource.get("provider", "").rpartition("::")[0]
    inputs = {key: _hidden(value) for key, value in resource.get("inputs", {}).items() if not key.startswith("__")}
    if resource["type"] == "pulumi:providers:kubernetes":
        # the SDK's own, which the recorder keeps as an option
        inputs.pop("version", None)
    return {
        "parent": resource["parent"],
        "custom": resource["custom"],
        "provider": None if "::default_" in provider or not provider else provider,
        "dependencies": sorted(resource.get("dependencies", [])),
        "deletedWith": resource.get("deletedWith"),
        "protect": resource.get("protect", False),
        "ignoreChanges": sorted(resource.get("ignoreChanges") or []),
        "customTimeouts": resource.get("customTimeouts") or {},
        "inputs": None if resource.get("external") or not resource["custom"] else inputs,
    }


def _seconds(text: str) -> float:
    return float(text[:-1]) * {"s": 1, "m": 60, "h": 3600}[text[-1]]


def test_an_up_makes_what_fleet_resources_lists_and_a_second_one_changes_nothing(
    engine: Engine, listed: Listed
) -> None:
    fleet = dev(engine)
    comes_up(fleet, listed)
    (cluster,) = fleet.google.ids(CLUSTER)
    pools = [f"{cluster}/nodePools/{name}" for name in ("ollama-a100", "ollama-t4", "system")]
    assert fleet.google.ids(NODE_POOL) == pools
    assert [one for one in fleet.objects if one.startswith(("DaemonSet", "Deployment"))] == [
        "DaemonSet ollama-drivers/nvidia-driver-a100",
        "DaemonSet ollama-drivers/nvidia-driver-t4",
        "Deployment ollama/ollama-a100",
        "Deployment ollama/ollama-router",
        "Deployment ollama/ollama-t4",
    ]
    done = fleet.operations
    assert fleet.up().changes == {}
    # the same file with every mapping turned round
    fleet.configure(reordered(fleet.file.fleet))
    assert fleet.stack.up().changes == {}
    assert fleet.operations == done
    assert set(fleet.up(refresh=True).changes) <= {"refresh"}


def test_the_outputs_are_endpoint_kubeconfig_plan_and_three_commands(base: Fleet) -> None:
    outputs = base.stack.outputs()
    assert set(outputs) == {"endpoint", "kubeconfig", "apiKeys", "plan", "commands"}
    assert outputs["endpoint"] == "http://ollama-router.ollama.svc.cluster.local"
    server = json.loads(outputs["kubeconfig"])["clusters"][0]["cluster"]["server"]
    assert server.endswith(".gke.goog")
    assert "ciphertext" in _stack_outputs(base)["kubeconfig"]
    assert server not in json.dumps(_stack_outputs(base))
    assert outputs["plan"]["routes"]["llama3.1:8b"] == ["t4", "a100"]
    assert outputs["plan"]["pools"]["t4"] == "T4, 0..2"
    assert 0 < outputs["plan"]["monthlyUsd"]["minimum"] < outputs["plan"]["monthlyUsd"]["maximum"]
    assert [command.split()[0] for command in outputs["commands"]] == ["gcloud", "kubectl", "kubectl"]


def _stack_outputs(fleet: Fleet) -> dict[str, Any]:
    """The stack's outputs as the state keeps them."""
    for one in fleet.stack.checkpoint()["resources"]:
        if one["type"] == "pulumi:pulumi:Stack":
            outputs: dict[str, Any] = one["outputs"]
            return outputs
    raise LookupError("no stack in the state")


# What an edit changes


@pytest.fixture(scope="module")
def base(pulumi_cli: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """The dev stack, applied; only previewed from then on."""
    with ExitStack() as stack:
        yield dev_up(Engine(pulumi_cli, tmp_path_factory.mktemp("base"), stack))


@dataclass(frozen=True)
class Case:
    """An edit of the dev stack, and the whole of what it does."""

    edit: Edit
    changes: dict[str, list[str]]
    replaced_by: tuple[str, ...] = ()
    """Why, for the one resource that is replaced."""


CASES = {
    # models
    "a model that is added changes ConfigMaps only": Case(
        {"models": {"qwen3:0.6b": ["t4"]}}, {"update": LISTS_AND_MAP}
    ),
    "a model that fits the GPU and not the disk enlarges the disk": Case(
        {"models": {"registry.example.com/wide:1b": {"pools": ["t4"], "vram": "1Gi", "disk": "500Gi"}}},
        {"update": ["a100-server-models", *ROUTER, "t4-pool-nodes", "t4-server-models"]},
    ),
    "a model at a site is added in the maps": Case({"models": {"gemma3:1b": ["k80"]}}, {"update": LISTS_AND_MAP}),
    "a model that moves changes the ConfigMaps of its pools": Case(
        {"models": {"nomic-embed-text": ["a100"]}}, {"update": LISTS_AND_MAP}
    ),
    "a fallback at a site changes the map and no pool": Case(
        {"models": {"nomic-embed-text": ["t4", "m60"]}}, {"update": ROUTER}
    ),
    "another order of preference changes the map and no pool": Case(
        {"models": {"llama3.1:8b": ["a100", "t4"]}}, {"update": ROUTER}
    ),
    "a model that is removed changes ConfigMaps only": Case(
        {"models": {"nomic-embed-text": None}}, {"update": LISTS_AND_MAP}
    ),
    "a model's context is a matter of its ConfigMaps": Case(
        {"models": {"llama3.1:8b": {"pools": ["t4", "a100"], "context": 4096}}},
        {"update": LISTS_AND_MAP},
    ),
    "a digest that is pinned changes ConfigMaps only": Case(
        {"models": {"nomic-embed-text": {"pools": ["t4"], "digest": "0" * 64}}},
        {"update": sorted([*MODELS, *ROUTER])},
    ),
    "an alias changes ConfigMaps only": Case(
        {"aliases": {"embedder": "nomic-embed-text"}}, {"update": [*ROUTER, "t4-server-models"]}
    ),
    # a pool's size and hardware
    "a pool that may grow further is scaled in place": Case(
        {"pools": {"t4": {"replicas": "0..3"}}}, {"update": ["t4-pool-nodes", "t4-scaler-scaled-object"]}
    ),
    "a pool that sleeps no more gets its number from the autoscaler": Case(
        {"pools": {"t4": {"replicas": "1..2"}}}, {"update": [*ROUTER, "t4-pool-nodes", "t4-scaler-scaled-object"]}
    ),
    "a fixed number of replicas is set in place": Case(
        {"pools": {"t4": {"replicas": 2}}},
        {
            "delete": ["t4-scaler", "t4-scaler-scaled-object"],
            "update": [*ROUTER, "t4-pool-nodes", "t4-server-deployment"],
        },
    ),
    "another machine type is set in place, and the pods ask for what it leaves": Case(
        {"pools": {"t4": {"machineType": "n1-standard-8"}}}, {"update": ["t4-pool-nodes", "t4-server-deployment"]}
    ),
    "a larger disk is set in place": Case({"pools": {"t4": {"disk": "300Gi"}}}, {"update": ["t4-pool-nodes"]}),
    "further zones are set in place": Case(
        {"pools": {"t4": {"zones": ["us-central1-b", "us-central1-c"]}}}, {"update": ["t4-pool-nodes"]}
    ),
    "a pool that becomes spot is replaced, its objects are not": Case(
        {"pools": {"t4": {"spot": True}}}, {"replace": ["t4-pool-nodes"]}, ("nodeConfig.spot",)
    ),
    "a pool that is spot no more is replaced": Case(
        {"pools": {"a100": {"spot": False}}}, {"replace": ["a100-pool-nodes"]}, ("nodeConfig.spot",)
    ),
    "more GPUs for a replica replace the node pool": Case(
        {"pools": {"t4": {"gpusPerReplica": 2}}},
        {"replace": ["t4-pool-nodes"], "update": ["t4-server-deployment"]},
        ("nodeConfig.guestAccelerators[0].count",),
    ),
    # driver
    "another driver branch changes the pool's DaemonSet only": Case(
        {"pools": {"t4": {"driver": "R570"}}}, {"update": ["t4-driver-daemon-set"]}
    ),
    "an exact driver also holds the cluster's node upgrades": Case(
        {"pools": {"t4": {"driver": "570.211.01"}}}, {"update": ["fleet-cluster", "t4-driver-daemon-set"]}
    ),
    "a driver that Google installs replaces the node pool": Case(
        {"pools": {"t4": {"driver": "gke"}}},
        {"replace": ["t4-pool-nodes"], "update": ["t4-driver-daemon-set"]},
        ("nodeConfig.guestAccelerators[0].gpuDriverInstallationConfig.gpuDriverVersion",),
    ),
    # server
    "another image changes the pool's Deployment, and what the router knows of it": Case(
        {"pools": {"t4": {"image": "ollama/ollama:0.30.0"}}}, {"update": [*ROUTER, "t4-server-deployment"]}
    ),
    "a pool's context rolls its pods, and what it shares is defined anew": Case(
        {"pools": {"t4": {"context": 4096}}},
        {"update": ["a100-server-models", *ROUTER, "t4-server-deployment", "t4-server-models"]},
    ),
    "a pool's context that no other pool shares rolls its pods only": Case(
        {"pools": {"a100": {"context": 16384}}}, {"update": ["a100-server-deployment", "a100-server-models"]}
    ),
    "more parallel requests roll the pool's pods": Case(
        {"pools": {"t4": {"parallel": 2}}}, {"update": ["t4-scaler-scaled-object", "t4-server-deployment"]}
    ),
    "a drain that is longer than the router's rolls both": Case(
        {"pools": {"t4": {"drainLimit": "5m"}}}, {"update": ["fleet-router-deployment", "t4-server-deployment"]}
    ),
    "a variable rolls the pool's pods": Case(
        {"pools": {"t4": {"env": {"OLLAMA_DEBUG": "1"}}}}, {"update": ["t4-server-deployment"]}
    ),
    # pools
    "a pool that is added is all that is made": Case(
        {"pools": {"l4": {"gpu": "l4"}}, "models": {"gemma3:4b": ["m60", "t4", "l4"]}},
        {"create": of_pool("l4", scales=False), "update": ROUTER},
    ),
    "a pool that is removed goes with its objects, and nothing else does": Case(
        {"pools": {"a100": None}, "models": {"llama3.1:8b": ["t4"], "qwen3:32b": None}},
        {"delete": of_pool("a100"), "update": [*ROUTER, "t4-server-models"]},
    ),
    "a pool with another name is made anew beside the others": Case(
        {
            "pools": {"a100": None, "large": {"gpu": "a100-40gb", "replicas": "0..1", "spot": True}},
            "models": {"llama3.1:8b": ["t4", "large"], "qwen3:32b": {"pools": ["large"]}},
        },
        {"create": of_pool("large"), "delete": of_pool("a100"), "update": ROUTER},
    ),
    "a pool that moves to a machine at home leaves nothing on GKE": Case(
        {"pools": {"t4": {"gpu": "m60", "site": "rig", "replicas": 1}}},
        {"delete": of_pool("t4"), "update": ROUTER},
    ),
    # the cluster
    "labels are set in place on the cluster and all its nodes": Case(
        {"gke": {"labels": {"team": "ml"}}},
        {"update": ["a100-pool-nodes", "fleet-cluster", "fleet-system", "t4-pool-nodes"]},
    ),
    "the release channel is set in place": Case({"gke": {"releaseChannel": "stable"}}, {"update": ["fleet-cluster"]}),
    "deletion protection is set in place": Case(UNPROTECTED, {"update": ["fleet-cluster"]}),
    # what is no resource
    "a budget changes nothing": Case({"budget": {"monthlyUsd": 4000}}, {}),
}

FOR_EVER = {
    "fleet-cluster",
    "fleet-network",
    "fleet-subnetwork",
    "fleet-kubernetes",
    "fleet-namespace",
    "fleet-drivers-namespace",
    "fleet-nodes",
    "fleet-nat-router",
    "fleet-nat",
    "fleet-system",
}
"""What no edit of a pool, model, key or label may take away."""


@pytest.mark.parametrize("title", CASES)
def test_edit(base: Fleet, title: str) -> None:
    case = CASES[title]
    done = base.operations
    steps = base.preview(case.edit)
    assert steps.changes == case.changes
    assert [step.replaced_by for step in steps if step.op == "replace"] == (
        [case.replaced_by] if case.replaced_by else []
    )
    assert_nothing_else_suffers(steps, set(case.edit.get("pools", {})))
    assert base.operations == done
    said = change_of(base.file.fleet, merged(base.file.fleet, case.edit))
    assert actions(said) == steps.changes
    assert {one.name: sorted(one.reasons) for one in said.resources or () if one.reasons} == {
        step.name: sorted(step.replaced_by) for step in steps if step.op == "replace"
    }
    assert {one.name: sorted(item.path for item in one.properties) for one in said.resources or ()} == {
        step.name: sorted(step.changed if step.op in ("update", "replace") else ())
        for step in steps
        if step.op != "same"
    }


def assert_nothing_else_suffers(steps: Steps, edited: set[str]) -> None:
    """Whatever the edit: the base stays, and nothing of a pool that it does not name is taken away or restarted."""
    gone = {step.name for step in steps if step.op in ("replace", "delete")}
    assert not gone & FOR_EVER
    others = [step for step in steps if step.op != "same" and step.name.split("-")[0] not in {*edited, "fleet"}]
    assert not [step.name for step in others if step.op in ("replace", "delete", "create")]
    assert not [step.name for step in others if step.token in ("Deployment", "DaemonSet")]


def test_the_rules_of_a_key_touch_no_pool_and_no_cluster(base: Fleet) -> None:
    steps = base.preview({"router": {"keys": {"everyone": {}, "search": {"models": ["nomic-embed-text"]}}}})
    assert set(steps.changes) <= {"create", "update"}
    assert all(step.op == "same" or step.name.startswith(("fleet-router", "fleet-api-keys")) for step in steps)


def test_a_cluster_whose_endpoint_is_not_known_during_its_update_keeps_all_that_stands_on_it(engine: Engine) -> None:
    fleet = dev_up(engine)
    # what a preview of the real provider may say of an output that Google computes
    fleet.google.inject({"controlPlaneEndpointsConfig": UNKNOWN}, name="fleet-cluster")
    # the engine cannot ask an unknown cluster, so it announces updates; replacements it would announce as such
    assert set(fleet.preview({"gke": {"releaseChannel": "stable"}}).changes) == {"update"}


# A life: each up starts where the last one ended


def test_models_come_change_move_and_go_while_no_pod_and_no_node_is_touched(engine: Engine) -> None:
    fleet = dev_up(engine)
    pods = fleet.kubernetes.ids("*:Deployment")
    life: dict[str, Any] = {}
    edits: list[Edit] = [
        {"models": {"bot": {"pools": ["t4"], "modelfile": BOT, "inputs": {"temperature": 0.2}}}},
        {"models": {"bot": {"inputs": {"temperature": 0.7}}}},
        {"models": {"qwen3:0.6b": ["t4"]}},
        {"models": {"qwen3:0.6b": ["a100"]}},
        {"models": {"bot": None, "qwen3:0.6b": None}},
    ]
    for edit in edits:
        life = both(life, edit)
        before = len(fleet.google.log), len(fleet.kubernetes.log)
        steps = fleet.up(life)
        assert set(steps.changes) == {"update"}
        assert {step.token for step in steps if step.op == "update"} == {"ConfigMap"}
        assert {name.split("-")[0] for name in steps.ops("update")} - {"fleet"} == {"t4", "a100"}
        assert len(fleet.google.log) == before[0]
        assert {one.type for one in fleet.kubernetes.log[before[1] :]} == {"kubernetes:core/v1:ConfigMap"}
        routes = fleet.object("ConfigMap", "ollama/ollama-routes")["data"]["routes.toml"]
        for name, model in life["models"].items():
            pools = model["pools"] if isinstance(model, dict) else model or []
            assert (f"{name} = {json.dumps(pools)}" in routes.replace('"qwen3:0.6b"', "qwen3:0.6b")) == bool(pools)
            for pool in ("t4", "a100"):
                there = json.dumps(fleet.object("ConfigMap", f"ollama/ollama-{pool}-models")["data"]["models.tsv"])
                assert (name in there) == (pool in pools)
    assert fleet.up().changes == {}
    assert fleet.kubernetes.ids("*:Deployment") == pods


def test_pools_are_resized_replaced_added_renamed_and_removed_one_at_a_time(engine: Engine) -> None:
    fleet = dev_up(engine)
    first = copy.deepcopy(fleet.objects), fleet.google.ids()
    life: dict[str, Any] = {}
    large = {"gpu": "a100-40gb", "replicas": "0..1", "spot": True}
    edits: list[tuple[Edit, dict[str, list[str]]]] = [
        (
            {"pools": {"t4": {"replicas": 2}}},
            {
                "delete": ["t4-scaler", "t4-scaler-scaled-object"],
                "update": [*ROUTER, "t4-pool-nodes", "t4-server-deployment"],
            },
        ),
        # the number stays as it is, for the autoscaler to change
        (
            {"pools": {"t4": {"replicas": "0..2"}}},
            {
                "create": ["t4-scaler", "t4-scaler-scaled-object"],
                "update": [*ROUTER, "t4-pool-nodes", "t4-server-deployment"],
            },
        ),
        ({"pools": {"t4": {"spot": True}}}, {"replace": ["t4-pool-nodes"]}),
        (
            {"pools": {"l4": {"gpu": "l4"}}, "models": {"gemma3:4b": ["m60", "t4", "l4"]}},
            {"create": of_pool("l4", scales=False), "update": ROUTER},
        ),
        (
            {
                "pools": {"a100": None, "large": large},
                "models": {"llama3.1:8b": ["t4", "large"], "qwen3:32b": {"pools": ["large"]}},
            },
            {"create": of_pool("large"), "delete": of_pool("a100"), "update": ROUTER},
        ),
    ]
    for edit, changes in edits:
        life = both(life, edit)
        assert fleet.up(life).changes == changes
    assert fleet.up(life).changes == {}
    assert len(fleet.google.operations("create", CLUSTER)) == 1
    fleet.up()
    assert (fleet.objects, fleet.google.ids()) == first
    assert fleet.preview().changes == {}


# Every example


def test_four_gpus_become_four_tainted_node_pools_four_drivers_and_four_servers(engine: Engine, listed: Listed) -> None:
    fleet = example(engine, "four-gpus")
    comes_up(fleet, listed)
    pools = {
        one.rsplit("/", 1)[-1]: fleet.google.find(one).inputs["nodeConfig"]
        for one in fleet.google.ids(NODE_POOL)
        if not one.endswith("/system")
    }
    assert set(pools) == {"ollama-a100", "ollama-k80", "ollama-m60", "ollama-t4"}
    for name, node in pools.items():
        pool = name.removeprefix("ollama-")
        assert [(taint["key"], taint["value"]) for taint in node["taints"]] == [
            ("ollama-fleet/pool", pool),
            ("nvidia.com/gpu", "present"),
        ]
        assert node["guestAccelerators"][0]["count"] == 1
        driver = fleet.object("DaemonSet", f"ollama-drivers/nvidia-driver-{pool}")
        assert pool in json.dumps(driver["spec"]["template"]["spec"]["affinity"])
        server = fleet.object("Deployment", f"ollama/ollama-{pool}")["spec"]["template"]["spec"]
        assert server["nodeSelector"] == {"ollama-fleet/pool": pool}
        assert server["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert len(fleet.kubernetes.ids("*:DaemonSet")) == 4
    assert len(fleet.kubernetes.ids("*:Deployment")) == 5
    assert_lives_and_dies(fleet)


def test_pools_join_an_existing_cluster_which_is_only_read_and_stays(engine: Engine, listed: Listed) -> None:
    fleet = example(engine, "existing-cluster")
    before = fleet.google.ids()
    comes_up(fleet, listed)
    assert not fleet.google.operations("create", CLUSTER)
    assert not fleet.google.ids("gcp:compute/*")
    (nodes,) = fleet.google.ids(NODE_POOL)
    assert nodes == f"{before[0]}/nodePools/ollama-l4"
    assert {one.scope for one in fleet.kubernetes.existing.values()} == {"example-project/europe-west4/shared-prod"}
    assert fleet.up().changes == {"read": ["fleet-cluster"]}
    assert fleet.preview({"models": {"gemma3:1b": ["l4"]}}).changes == {
        "read": ["fleet-cluster"],
        "update": [*ROUTER, "l4-server-models"],
    }
    fleet.destroy()
    assert fleet.google.ids() == before
    assert fleet.objects == fleet.kubernetes.ids() == []
    assert fleet.stack.state() == []


def test_a_shared_network_is_used_and_spot_pools_have_their_fallback(engine: Engine, listed: Listed) -> None:
    fleet = example(engine, "spot-with-fallback")
    comes_up(fleet, listed)
    assert not fleet.google.ids("gcp:compute/*")
    (cluster,) = fleet.google.ids(CLUSTER)
    assert fleet.google.find(cluster).inputs["network"] == "projects/host-project/global/networks/shared"
    spot = {
        one.rsplit("/", 1)[-1]: fleet.google.find(one).inputs["nodeConfig"].get("spot", False)
        for one in fleet.google.ids(NODE_POOL)
    }
    assert spot == {"ollama-cpu": False, "ollama-spot": True, "ollama-steady": False, "system": False}
    assert_lives_and_dies(fleet)


def test_the_mixed_example_previews_what_fleet_resources_lists(engine: Engine, listed: Listed) -> None:
    fleet = example(engine, "mixed")
    assert sorted(step.urn for step in fleet.preview()) == sorted(listed(fleet))


@pytest.mark.parametrize("name", ["home", "endpoints"])
def test_a_fleet_without_a_cloud_asks_no_provider_for_anything(engine: Engine, listed: Listed, name: str) -> None:
    fleet = example(engine, name)
    comes_up(fleet, listed)
    assert fleet.up().changes == {}
    assert set(fleet.stack.outputs()) == {"plan", "commands"}
    assert fleet.operations == 0
    assert not [one for one in fleet.stack.checkpoint()["resources"] if one["type"].startswith("pulumi:providers:")]
    fleet.destroy()
    assert fleet.stack.state() == []


def assert_lives_and_dies(fleet: Fleet) -> None:
    """From the first up on: no change, then down to nothing once the cluster is not protected any more."""
    done = fleet.operations
    assert fleet.up().changes == {}
    assert fleet.operations == done
    if fleet.file.fleet["gke"].get("deletionProtection", True):
        assert fleet.up(UNPROTECTED).changes == {"update": ["fleet-cluster"]}
    fleet.destroy()
    assert fleet.stack.state() == []
    assert fleet.google.ids() == fleet.objects == []
