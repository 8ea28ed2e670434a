"""Programs at the edges: long names, 1,000 models, doors that this version does not open yet, and random fleets."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from components.fleet import Fleet, FleetArgs
from infra.problem import has_errors
from infra.recorder import record
from tests.program.programs import Program, fleet_of, plan_of, program, run
from tests.program.rules import RULES, View, sentence
from tests.program.rules.objects import the_door_is_as_open_as_the_file_says
from tests.program.rules.view import CLUSTER, CONFIG_MAP, NODE_POOL

LONG_POOL = "a" + "-very" * 6 + "l"
LONG_STACK = "Feature_branch.of-somebody-who-likes-long-names-and-writes-sentences-in-them-99"


def obeys(made: Program) -> None:
    """Every rule, named in the message."""
    view = View(made.plan, made.known)
    broken = {sentence(rule): complaints for rule in RULES if (complaints := list(rule(view)))}
    assert not broken
    assert [one.without_values() for one in made.unknown.resources] == [
        one.without_values() for one in made.known.resources
    ]


def test_the_longest_names_of_pool_namespace_and_stack_are_short_enough() -> None:
    assert len(LONG_POOL) == 32
    fleet = {
        "gke": {"location": "us-central1-c", "namespace": "n" * 40, "labels": {"l" * 63: "v" * 63}},
        "pools": {LONG_POOL: {"gpu": "t4"}, LONG_POOL[:-1] + "m": {"gpu": "l4"}},
        "models": {"llama3.2:3b": [LONG_POOL, LONG_POOL[:-1] + "m"]},
    }
    made = program(fleet, stack=LONG_STACK)
    obeys(made)
    names = [one.inputs["name"] for one in made.known.of_type(NODE_POOL)]
    assert len(set(names)) == 3
    assert made.known.one(CLUSTER).inputs["name"] != program(fleet, stack=LONG_STACK + "-2").plan.cluster.name  # type: ignore[union-attr]


def test_a_thousand_models_leave_every_map_below_a_mebibyte() -> None:
    models: dict[str, Any] = {
        f"example/some-name-of-a-model-{index:04}:q4_K_M": {
            "pools": ["t4", "l4"],
            "vram": "1Gi",
            "disk": "100Mi",
            "digest": f"{index:064x}",
        }
        for index in range(1000)
    }
    aliases = {f"alias-{index:04}": name for index, name in enumerate(models) if index < 300}
    onwards = {"gpu": "t4", "loading": "onDemand"}
    made = program(
        {
            "gke": {"location": "us-central1-c"},
            "pools": {"t4": onwards, "l4": {**onwards, "gpu": "l4"}},
            "models": models,
            "aliases": aliases,
        }
    )
    obeys(made)
    sizes = {
        one.name: sum(len(key) + len(text.encode()) for key, text in one.inputs["data"].items())
        for one in made.known.of_type(CONFIG_MAP)
    }
    assert max(sizes.values()) < 2**20
    assert made.known.one(CONFIG_MAP, "t4-server-models").inputs["data"]["models.tsv"].count("\n") == 1300


@pytest.mark.parametrize("expose", ["cluster", "internal", "public"])
@pytest.mark.parametrize("ranges", [(), ("10.0.0.0/8", "192.0.2.0/24")], ids=["anybody", "some"])
def test_the_router_opens_the_door_as_planned(expose: str, ranges: tuple[str, ...]) -> None:
    plan = plan_of(fleet_of("four-gpus"))
    door = plan.router.settings.model_copy(update={"expose": expose, "source_ranges": ranges})
    plan = replace(plan, router=replace(plan.router, settings=door))
    recording = record(lambda: Fleet("fleet", FleetArgs(plan=plan)) and None, project="ollama-fleet", stack="dev")
    assert list(the_door_is_as_open_as_the_file_says(View(plan, recording))) == []


def test_a_pool_of_two_gpus_a_replica_gets_two() -> None:
    made = program(
        {
            "gke": {"location": "us-central1-c"},
            "pools": {
                "pair": {"gpu": "l4", "gpusPerReplica": 2},
                "many": {"gpu": "t4", "gpusPerNode": 4, "replicas": 4},
            },
            "models": {"llama3.1:8b": ["pair"], "llama3.2:3b": ["many"]},
        }
    )
    obeys(made)


GPUS = {
    "t4": ["us-central1-c", "europe-west4-b"],
    "l4": ["us-central1-c", "europe-west4-b"],
    "a100-40gb": ["us-central1-c", "europe-west4-b"],
    "v100": ["us-central1-c"],
    "none": ["us-central1-c", "europe-west4-b"],
}
MODELS = ["llama3.2:3b", "llama3.1:8b", "nomic-embed-text", "gemma3:4b", "qwen3:8b"]


@st.composite
def fleets(draw: st.DrawFn) -> dict[str, Any]:
    """Small fleets; most of them plan without errors."""
    location = draw(st.sampled_from(["us-central1-c", "europe-west4-b", "us-central1"]))
    sold = [gpu for gpu, zones in GPUS.items() if any(zone.startswith(location) for zone in zones)]
    names = draw(
        st.lists(st.from_regex(r"[a-z]([-a-z0-9]{0,20}[a-z0-9])?", fullmatch=True), min_size=1, max_size=3, unique=True)
    )
    pools = {name: draw(_pools(sold)) for name in names}
    wanted = draw(st.lists(st.sampled_from(MODELS), min_size=1, max_size=4, unique=True))
    models: dict[str, Any] = {
        model: draw(st.lists(st.sampled_from(names), min_size=1, max_size=len(names), unique=True)) for model in wanted
    }
    if draw(st.booleans()):
        models["made"] = {"pools": models[wanted[0]], "modelfile": f"FROM {wanted[0]}\nPARAMETER seed 1\n"}
    gke: dict[str, Any] = {"location": location, "deletionProtection": draw(st.booleans())}
    if draw(st.booleans()):
        gke["namespace"] = draw(st.sampled_from(["models", "a-b", "n" * 40]))
    if draw(st.integers(0, 3)) == 0:
        gke["cluster"] = "shared"
    return {
        "gke": gke,
        "pools": pools,
        "models": models,
        "aliases": {"chat": wanted[-1]} if draw(st.booleans()) else {},
    }


@st.composite
def _pools(draw: st.DrawFn, sold: list[str]) -> dict[str, Any]:
    least = draw(st.integers(0, 2))
    pool: dict[str, Any] = {
        "gpu": draw(st.sampled_from(sold)),
        "replicas": {"min": least, "max": max(1, least + draw(st.integers(0, 2)))},
        "loading": draw(st.sampled_from(["together", "onDemand"])),
    }
    for key, values in (
        ("spot", [True]),
        ("parallel", [2]),
        ("context", [2048, 4096]),
        ("pullDeadline", ["10m", "3h"]),
        ("drainLimit", ["0s", "10m"]),
        ("startupThreshold", [10, 400]),
        ("keepAlive", ["10m"]),
        ("disk", ["200Gi"]),
    ):
        if draw(st.integers(0, 3)) == 0:
            pool[key] = draw(st.sampled_from(values))
    if pool["gpu"] in ("t4", "l4", "a100-40gb") and draw(st.booleans()):
        pool["driver"] = draw(st.sampled_from(["R570", "R580", "gke", "580.126.09", "570.124.06"]))
    return pool


def test_every_random_fleet_that_plans_without_errors_obeys_every_rule() -> None:
    planned = 0

    @settings(max_examples=20, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
    @given(fleet=fleets(), stack=st.from_regex(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,60}", fullmatch=True))
    def each(fleet: dict[str, Any], stack: str) -> None:
        nonlocal planned
        plan = plan_of(fleet, stack=stack)
        if not has_errors(plan.problems):
            planned += 1
            obeys(Program(plan=plan, known=run(fleet, stack=stack), unknown=run(fleet, stack=stack, known=False)))

    each()
    assert planned >= 10
