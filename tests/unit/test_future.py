"""No key is read in silence: each changes the plan, or the plan says that nothing acts on it."""

import copy
from dataclasses import replace
from typing import Any

import pytest
from pydantic import BaseModel

from infra.config import FleetConfig, Model, Pool, Site
from infra.config.model import Gke, Router, SiteNode
from infra.plan.model import FleetPlan
from tests.unit.conftest import GOOD, decide

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
        "driver": "R570", "disk": "300Gi", "storage": "volume", "registry": "registry.example", "pullDeadline": "2h",
        "drainLimit": "5m", "verifyGpu": False, "startupThreshold": 200, "loading": "onDemand", "scaling": "inFlight",
        "schedule": [{"from": "0 8 * * *", "to": "0 9 * * *"}], "wake": "fallback", "holdFor": "9m", "holdLimit": 9,
        "whenBusy": "spill", "runtimeClass": "nvidia", "zones": ["us-central1-a"], "env": {"OLLAMA_DEBUG": "1"},
    },
    (Model, "models/qwen3:32b"): {
        "pools": ["t4"], "context": 4096, "digest": "1" * 64, "modelfile": "FROM llama3.2:1b\n",
        "inputs": {"temperature": 1}, "registry": "registry.example", "vram": "1Gi", "disk": "9Gi",
    },
    (Site, "sites/rig"): {
        "docker": None, "kubernetes": {}, "endpoints": ["https://a.example.org"], "url": "https://b.example.org",
        "ca": "rig.pem", "nodes": {},
    },
    (SiteNode, "sites/rig/nodes/rig-1"): {"gpus": {}, "cpus": 8, "memory": "1Gi", "disk": "1Gi"},
    (Router, "router"): {
        "expose": "internal", "auth": "none", "keys": {}, "tls": "door", "clientOptions": "pass",
        "sourceRanges": ["10.0.0.0/8"], "origins": ["https://a.example.org"], "maxBody": "1Gi", "site": "rig",
        "insecurePublicAccess": True,
    },
}  # fmt: skip
"""For each section a value of each key that is not what the good file says."""

ACTED_ON_BY_COMPONENTS = {"router/auth"}
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
