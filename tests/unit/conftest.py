"""What the unit tests start from: a small good file, and shorthands for its plan and problems."""

import copy
from collections.abc import Callable
from typing import Any

import pytest

from infra.catalogue import Catalogue, load
from infra.plan import build
from infra.plan.model import FleetPlan
from infra.problem import Problem

GOOD: dict[str, Any] = {
    "gke": {"location": "us-central1-c"},
    "pools": {
        "t4": {"gpu": "t4", "replicas": "0..2"},
        "a100": {"gpu": "a100-40gb", "replicas": "0..1", "spot": True},
        "m60": {"gpu": "m60", "site": "rig"},
        "k80": {"gpu": "k80", "site": "rig"},
    },
    "models": {
        "llama3.1:8b": ["t4", "a100"],
        "nomic-embed-text": ["t4"],
        "gemma3:4b": ["m60", "t4"],
        "llama3.2:3b": ["k80"],
        "qwen3:32b": {"pools": ["a100"], "context": 16384, "digest": "0" * 64},
        "support-bot": {
            "pools": ["k80"],
            "modelfile": "FROM llama3.2:3b\nPARAMETER temperature {inputs.temperature}\n",
            "inputs": {"temperature": 0.2},
        },
    },
    "aliases": {"gpt-3.5-turbo": "llama3.1:8b", "assistant": {"llama3.2:3b": 90, "gemma3:4b": 10}},
    "sites": {
        "rig": {
            "docker": {},
            "url": "https://rig.example.ts.net",
            "nodes": {
                "rig-1": {"gpus": {"k80": 2}, "memory": "64Gi", "disk": "400Gi"},
                "rig-2": {"gpus": {"m60": 2}, "memory": "32Gi", "disk": "400Gi"},
            },
        }
    },
    "router": {
        "expose": "cluster",
        "keys": {"everyone": {}, "search": {"models": ["nomic-embed-text"], "requestsPerMinute": 600}},
    },
    "budget": {"monthlyUsd": 3000},
}
"""Much like Pulumi.dev.yaml, as plain values; one model is pinned, and the router has keys."""

Plan = Callable[..., FleetPlan]
Problems = Callable[..., tuple[Problem, ...]]


def decide(fleet: Any, *, project: str | None = "example-project", catalogue: Catalogue | None = None) -> FleetPlan:
    """The plan of a fleet object, as the `fleet` tool makes it."""
    return build.decide(fleet, stack="dev", project=project, catalogue=catalogue)


@pytest.fixture
def good() -> dict[str, Any]:
    """A copy to change."""
    return copy.deepcopy(GOOD)


@pytest.fixture(scope="session")
def catalogue() -> Catalogue:
    return load()


@pytest.fixture(scope="session")
def plan_of() -> Plan:
    return decide


@pytest.fixture(scope="session")
def problems_of() -> Problems:
    return lambda fleet, **options: decide(fleet, **options).problems
