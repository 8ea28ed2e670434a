"""What a change of the file touches: models touch no pod, an image or a driver touches one pool."""

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest

from infra.recorder import Recording
from tests.program.programs import fleet_of, run
from tests.program.rules.view import CONFIG_MAP, DAEMON_SET, DEPLOYMENT, NODE_POOL

DIGEST = "a" * 64
Change = Callable[[dict[str, Any]], None]


def add(fleet: dict[str, Any]) -> None:
    fleet["models"]["llama3.2:1b"] = ["t4"]


def add_one_with_a_modelfile(fleet: dict[str, Any]) -> None:
    fleet["models"]["terse"] = {"pools": ["t4"], "modelfile": "FROM llama3.1:8b\nSYSTEM Be brief.\n"}


def move(fleet: dict[str, Any]) -> None:
    fleet["models"]["nomic-embed-text"] = ["a100"]


def prefer_another_pool(fleet: dict[str, Any]) -> None:
    fleet["models"]["llama3.1:8b"] = ["a100", "t4"]


def remove(fleet: dict[str, Any]) -> None:
    del fleet["models"]["nomic-embed-text"]


def change_a_modelfile(fleet: dict[str, Any]) -> None:
    fleet["models"]["support-bot"]["inputs"] = {"temperature": 0.9}


def add_an_alias(fleet: dict[str, Any]) -> None:
    fleet["aliases"]["gpt-4"] = "qwen3:32b"


def turn_an_alias(fleet: dict[str, Any]) -> None:
    fleet["aliases"]["gpt-3.5-turbo"] = "qwen3:32b"


def change_a_split(fleet: dict[str, Any]) -> None:
    fleet["aliases"]["assistant"] = {"llama3.2:3b": 50, "gemma3:4b": 50}


def pin_a_digest(fleet: dict[str, Any]) -> None:
    fleet["models"]["qwen3:32b"]["digest"] = DIGEST


def change_a_context(fleet: dict[str, Any]) -> None:
    fleet["models"]["qwen3:32b"]["context"] = 12288


CHANGES: list[Change] = [
    add,
    add_one_with_a_modelfile,
    move,
    prefer_another_pool,
    remove,
    change_a_modelfile,
    add_an_alias,
    turn_an_alias,
    change_a_split,
    pin_a_digest,
    change_a_context,
]


@pytest.fixture(scope="module")
def before() -> Recording:
    return run(fleet_of("dev"))


def changed(change: Change) -> Recording:
    fleet = deepcopy(fleet_of("dev"))
    change(fleet)
    return run(fleet)


def touched(before: Recording, after: Recording) -> set[str]:
    """The names of the resources whose inputs or options differ, or which are in one only."""
    old = {one.urn: one for one in before.resources}
    new = {one.urn: one for one in after.resources}
    return {
        (old.get(urn) or new[urn]).name
        for urn in old.keys() | new.keys()
        if urn not in old
        or urn not in new
        or (old[urn].inputs, old[urn].options) != (new[urn].inputs, new[urn].options)
    }


def differing(before: Recording, after: Recording, name: str) -> set[str]:
    """The keys of a ConfigMap that differ."""
    old, new = (
        next(one.inputs["data"] for one in run.of_type(CONFIG_MAP) if one.name == name) for run in (before, after)
    )
    return {key for key in old.keys() | new.keys() if old.get(key) != new.get(key)}


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_a_change_of_models_leaves_every_pod_and_every_node_untouched(change: Change, before: Recording) -> None:
    after = changed(change)
    names = touched(before, after)
    still = [*before.of_type(DEPLOYMENT), *before.of_type(DAEMON_SET), *before.of_type(NODE_POOL)]
    assert not names & {one.name for one in still}
    assert names <= {one.name for one in before.of_type(CONFIG_MAP)}
    assert "fleet-router-routes" in names or change in (change_a_modelfile, pin_a_digest, change_a_context)


@pytest.mark.parametrize("change", [add, remove, move, turn_an_alias], ids=lambda change: change.__name__)
def test_a_change_of_models_reaches_the_router_and_the_pools_that_it_is_about(
    change: Change, before: Recording
) -> None:
    after = changed(change)
    assert "fleet-router-routes" in touched(before, after)
    # every pool knows how the others' models are made; what it has to have is its own list
    assert "models.tsv" in differing(before, after, "t4-server-models")
    assert ("models.tsv" in differing(before, after, "a100-server-models")) == (change in (move, turn_an_alias))


def image(fleet: dict[str, Any]) -> None:
    fleet["pools"]["t4"]["image"] = "ollama/ollama:0.32.14"


def driver(fleet: dict[str, Any]) -> None:
    fleet["pools"]["t4"]["driver"] = "R570"


def parallel(fleet: dict[str, Any]) -> None:
    fleet["pools"]["t4"]["parallel"] = 2


def replicas(fleet: dict[str, Any]) -> None:
    fleet["pools"]["t4"]["replicas"] = "0..3"


@pytest.mark.parametrize(
    ("change", "what"),
    [
        # the door tells the lowest version of the fleet for as long as no replica shows one
        (image, {"t4-server-deployment", "fleet-router-routes"}),
        (driver, {"t4-driver-daemon-set"}),
        (parallel, {"t4-server-deployment", "t4-scaler-scaled-object"}),
        (replicas, {"t4-pool-nodes", "t4-scaler-scaled-object"}),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_change_of_a_pool_touches_that_pool_alone(change: Change, what: set[str], before: Recording) -> None:
    assert touched(before, changed(change)) == what


def test_a_new_pool_touches_no_other(before: Recording) -> None:
    def another(fleet: dict[str, Any]) -> None:
        fleet["pools"]["l4"] = {"gpu": "l4"}
        fleet["models"]["llama3.2:1b"] = ["l4"]

    after = changed(another)
    others = {name for name in touched(before, after) if not name.startswith("l4-")}
    servers = {name for name in others if name.endswith("-server-models")}
    assert others - servers == {"fleet-router-routes"}
    # they learn how the new pool's model is made, and bring nothing
    assert all(differing(before, after, name) == {"declared.tsv"} for name in servers)
