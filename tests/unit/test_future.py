"""What a plan says of itself: what it checked, which keys nothing acts on yet, what stands still."""

import copy
from dataclasses import replace
from typing import Any

import pytest
from pydantic import BaseModel

from infra.config import FleetConfig, Model, Pool, Site
from infra.config.model import Gke, Router, SiteNode
from infra.plan.model import FleetPlan
from infra.report.hardware import software
from tests.unit.conftest import GOOD, Plan, Problems, decide

LAB = {
    "pools": {"l4": {"gpu": "l4", "site": "lab"}},
    "models": {"llama3.1:8b": ["l4"]},
    "sites": {"lab": {"endpoints": ["https://ollama.example.org"]}, "door": {"docker": {}}},
    "router": {"site": "door"},
}
SAMPLES: dict[tuple[type[BaseModel], str], dict[str, Any]] = {
    (FleetConfig, ""): {
        "gke": None, "pools": {}, "models": {}, "aliases": {}, "sites": {}, "router": {"expose": "internal"},
        "budget": {"monthlyUsd": 1}, "proxy": {"https": "https://proxy.example"}, "keda": "existing", "chat": True,
        "monitoring": True, "loadTest": True,
    },
    (Gke, "gke"): {
        "location": "us-central1-a", "cluster": "shared", "labels": {"team": "ml"}, "namespace": "other",
        "network": {"vpc": "v", "subnet": "s", "pods": "p", "services": "s"}, "releaseChannel": "stable",
        "deletionProtection": False,
    },
    (Pool, "pools/t4"): {
        "gpu": "l4", "replicas": 2, "spot": True, "site": "rig", "allowWithdrawn": True,
        "machineType": "n1-standard-8", "gpusPerNode": 2, "gpusPerReplica": 2, "context": 4096, "parallel": 2,
        "keepAlive": "1h", "kvCache": "q8_0", "flashAttention": False, "image": "ollama/ollama:0.30.0",
        "driver": "R570", "disk": "300Gi", "storage": "volume", "volumeSize": "200Gi", "registry": "registry.example",
        "pullDeadline": "2h",
        "drainLimit": "5m", "verifyGpu": False, "startupThreshold": 200, "loading": "onDemand",
        "scaling": {"by": "inFlight", "target": 3},
        "schedule": [{"from": "0 8 * * *", "to": "0 9 * * *"}], "wake": "fallback", "holdFor": "9m", "holdLimit": 9,
        "whenBusy": "spill", "runtimeClass": "nvidia", "zones": ["us-central1-a"], "env": {"OLLAMA_DEBUG": "1"},
    },
    (Model, "models/qwen3:32b"): {
        "pools": ["t4"], "context": 4096, "digest": "1" * 64, "modelfile": "FROM llama3.2:1b\n",
        "inputs": {"temperature": 1}, "registry": "registry.example", "vram": "1Gi", "disk": "9Gi",
    },
    (Site, "sites/rig"): {
        "docker": None, "kubernetes": {}, "endpoints": ["https://a.example.org"], "url": "https://b.example.org",
        "ca": "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "nodes": {},
    },
    (SiteNode, "sites/rig/nodes/rig-1"): {"gpus": {}, "cpus": 8, "memory": "1Gi", "disk": "1Gi", "os": "ubuntu22.04"},
    (Router, "router"): {
        "expose": "internal", "auth": "none", "keys": {}, "tls": "door", "clientOptions": "pass",
        "sourceRanges": ["10.0.0.0/8"], "origins": ["https://a.example.org"], "maxBody": "1Gi", "site": "rig",
        "host": "llm.example.org",
        "insecurePublicAccess": True,
    },
}  # fmt: skip
"""For each section a value of each key that is not what the good file says."""

ACTED_ON_BY_COMPONENTS = {"router/tls"}
"""Keys that components or the router's files read from `RouterPlan.settings`, and no other decision depends on."""

CASES = [
    (f"{path}/{key}".lstrip("/"), value) for (_, path), samples in SAMPLES.items() for key, value in samples.items()
]


def without_echo(plan: FleetPlan) -> FleetPlan:
    """The plan without what it only hands on of the file."""
    return replace(plan, router=replace(plan.router, settings=Router()))


BEFORE = without_echo(decide(GOOD))


@pytest.mark.parametrize("section", SAMPLES, ids=lambda section: section[0].__name__)
def test_every_key_of_a_section_has_a_sample(section: tuple[type[BaseModel], str]) -> None:
    assert set(SAMPLES[section]) == {field.alias for field in section[0].model_fields.values()}


@pytest.mark.parametrize(("path", "value"), CASES, ids=[path for path, _ in CASES])
def test_a_key_changes_the_plan_or_is_said_to_change_nothing(path: str, value: Any) -> None:
    fleet: Any = copy.deepcopy(GOOD)
    *parents, last = path.split("/")
    inner = fleet
    for part in parents:
        inner = inner[part]
    inner[last] = value
    changed = without_echo(decide(fleet)) != BEFORE
    assert changed or path in ACTED_ON_BY_COMPONENTS, f"nothing acts on {path}, and infra.plan.future does not say so"


def test_what_is_left_at_its_default_is_not_spoken_of(problems_of: Problems, good: dict) -> None:
    assert not [one for one in problems_of(good) if "not acted on" in one.message]


def test_a_plan_claims_no_check_of_what_its_fleet_does_not_have(plan_of: Plan, good: dict) -> None:
    plan = plan_of(LAB)
    assert not {"machine", "disk", "zone list", "price list", "room at sites"} & set(plan.checked)
    assert not {"quota", "stock"} & set(plan.not_checked)
    assert {"what runs at endpoints", "drivers of the hosts at sites"} <= set(plan.not_checked)
    assert {"machine", "disk", "zone list", "price list", "room at sites"} <= set(plan_of(good).checked)
    good["pools"]["m60"]["driver"] = good["pools"]["k80"]["driver"] = "R470"
    assert "drivers of the hosts at sites" not in plan_of(good).not_checked


def test_of_servers_that_others_run_no_pin_is_asked_and_the_driver_is_an_assumption(plan_of: Plan) -> None:
    assert not [one for one in plan_of(LAB).problems if "not pinned" in one.message]
    assert [(one.driver, one.pools) for one in software(plan_of(LAB))] == [("R580 on the host (assumed)", ("l4",))]


def test_an_image_at_endpoints_is_an_assumption_unless_the_file_names_it(plan_of: Plan) -> None:
    assert plan_of(LAB).pool("l4").runtime.assumed
    named = LAB | {"pools": {"l4": LAB["pools"]["l4"] | {"image": "ollama/ollama:0.32.15"}}}
    assert not plan_of(named).pool("l4").runtime.assumed


def test_what_is_made_from_a_model_is_pinned_only_where_that_model_is(plan_of: Plan, good: dict) -> None:
    good["models"]["llama3.2:3b"] = {"pools": ["k80"], "digest": "0" * 64}
    pinned = {model.name: model.pinned for model in plan_of(good).models}
    assert pinned["support-bot"]
    good["models"]["support-bot"]["pools"] = ["k80", "t4"]
    pinned = {model.name: model.pinned for model in plan_of(good).models}
    assert not pinned["support-bot"], "on t4 its FROM is pulled by its tag"


def test_of_several_devices_the_fullest_is_named(problems_of: Problems, good: dict) -> None:
    good["pools"]["l4"] = {"gpu": "l4", "gpusPerReplica": 2}
    good["models"] |= {"llama3.1:8b": ["l4", "a100"], "qwen3:32b": ["l4"]}
    (tight,) = [one for one in problems_of(good) if one.place == "fleet.pools.l4" and "tightly" in one.message]
    assert "of 2 x 22.0 GiB, 21.4 on the fullest" in tight.message


def test_a_card_that_ends_is_followed_by_one_that_holds_its_models(problems_of: Problems, good: dict) -> None:
    def remedy() -> str:
        (one,) = [one for one in problems_of(good) if "ends its support" in one.message]
        return one.remedy

    assert remedy() == "plan a newer card: l4 holds its models"
    good["pools"]["t4"] |= {"gpusPerNode": 4, "gpusPerReplica": 4}
    good["models"]["llama3.3:70b"] = ["t4"]
    assert remedy() == "plan a newer card: l4 holds its models"
    good["pools"]["t4"] = {"gpu": "t4"}
    assert remedy() == "plan a newer card: a100-80gb holds its models"
    del good["models"]["llama3.3:70b"]
    good["gke"]["location"] = "europe-west9-a"
    assert remedy() == "plan a newer card"
