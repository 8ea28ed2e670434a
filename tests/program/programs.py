"""Runs the program of a stack without an engine, known and unknown, beside its plan."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.program import main
from infra import stack as stacks
from infra.plan.build import decide
from infra.plan.model import FleetPlan
from infra.problem import has_errors
from infra.recorder import Recording, record

ROOT = Path(__file__).parents[2]
EXAMPLES = tuple(stacks.stacks(ROOT / "examples"))
PROJECT = "example-project"

UBUNTU: dict[str, Any] = {
    "gke": {"location": "us-central1-c", "namespace": "models", "labels": {"team": "ml"}},
    "pools": {
        "l4": {
            "gpu": "l4",
            "machineType": "g2-standard-24",
            "gpusPerNode": 2,
            "replicas": "2..4",
            "scaling": "utilization",
            "spot": True,
        },
        "a100": {
            "gpu": "a100-80gb",
            "driver": "570.124.06",
            "replicas": "0..3",
            "drainLimit": "5m",
            "pullDeadline": "2h",
            "schedule": [{"from": "0 8 * * 1-5", "to": "0 18 * * 1-5", "timezone": "Europe/Berlin", "replicas": 2}],
        },
        "cpu": {"gpu": "none", "storage": "volume", "registry": "http://registry.lan:5000/mirror", "verifyGpu": False},
    },
    "proxy": {
        "https": "http://proxy.lan:3128",
        "no": ["registry.lan"],
        "ca": "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n",
    },
    "models": {
        "llama3.1:8b": ["l4", "a100"],
        "llama3.2:1b": {"pools": ["cpu"], "digest": "ab" * 32},
        "helper": {"pools": ["l4"], "modelfile": "FROM llama3.1:8b\nPARAMETER temperature 0.1\n"},
    },
    "aliases": {"default": "llama3.1:8b"},
}
"""What no example has: utilization, a schedule, two GPUs a node, Ubuntu's driver, another namespace, labels, a
Modelfile in the cluster, a pool without GPU on a volume, a proxy with a CA of its own."""

WATCHED: dict[str, Any] = {
    "gke": {"location": "us-central1-c"},
    "pools": {"t4": {"gpu": "t4"}},
    "models": {"llama3.1:8b": ["t4"], "nomic-embed-text": ["t4"]},
    "router": {"expose": "internal", "sourceRanges": ["10.0.0.0/8"], "keys": {"search": {"models": ["llama3.1:8b"]}}},
    "budget": {"monthlyUsd": 1000},
    "monitoring": {"kind": "managed", "gpus": True},
    "chat": {"tls": "chat"},
    "loadTest": {"users": 20, "minutes": 3},
}
"""All that may stand beside the router."""

RACK: dict[str, Any] = {
    "gke": {"location": "us-central1-c"},
    "pools": {
        "t4": {"gpu": "t4"},
        "k80": {"gpu": "k80", "site": "rack", "replicas": 2},
        "cpu": {"gpu": "none", "site": "rack"},
    },
    "models": {"llama3.2:3b": ["k80", "t4"], "nomic-embed-text": ["cpu"]},
    "sites": {
        "rack": {
            "kubernetes": {"context": "rack", "apply": "pulumi", "distribution": "k3s"},
            "url": "https://rack.example.ts.net",
            "nodes": {"rack-1": {"gpus": {"k80": 2}, "memory": "64Gi", "disk": "400Gi"}},
        }
    },
}
"""A k3s machine of one's own beside GKE, applied by `up`."""

ALONE: dict[str, Any] = {
    **{key: value for key, value in RACK.items() if key != "gke"},
    "pools": {key: value for key, value in RACK["pools"].items() if key != "t4"},
    "models": {"llama3.2:3b": ["k80"], "nomic-embed-text": ["cpu"]},
    "router": {"site": "rack"},
}
"""Nothing but that machine."""

HERE: dict[str, dict[str, Any]] = {"uncommon": UBUNTU, "watched": WATCHED}


@dataclass(frozen=True, kw_only=True)
class Program:
    """One stack: what it was to become, and what it registered."""

    plan: FleetPlan
    known: Recording
    unknown: Recording


def plan_of(fleet: Mapping[str, Any], *, stack: str = "dev", project: str | None = PROJECT) -> FleetPlan:
    """The plan of a fleet object."""
    return decide(fleet, stack=stack, project=project)


def run(fleet: Any, *, stack: str = "dev", known: bool = True, config: Mapping[str, str] | None = None) -> Recording:
    """What the program registers for a fleet object."""
    return record(
        main,
        project="ollama-fleet",
        stack=stack,
        config={"gcp:project": PROJECT, stacks.KEY: json.dumps(fleet), **(config or {})},
        known=known,
    )


def program(fleet: Mapping[str, Any], *, stack: str = "dev") -> Program:
    """Both runs of a fleet object that plans without errors."""
    plan = plan_of(fleet, stack=stack)
    assert not has_errors(plan.problems), plan.problems
    return Program(plan=plan, known=run(fleet, stack=stack), unknown=run(fleet, stack=stack, known=False))


def fleet_of(name: str) -> Any:
    """The fleet object of an example, of the dev stack, or of one written here."""
    if name in HERE:
        return HERE[name]
    return stacks.read(ROOT if name == "dev" else ROOT / "examples", name).fleet
