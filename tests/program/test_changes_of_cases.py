"""The comment of every change case of the engine tier, as golden Markdown; the engine tier proves what they say.

Renew after an intended change: UPDATE_GOLDEN=1 pytest tests/program/test_changes_of_cases.py, and read the difference.
"""

import os
import re
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from infra import stack as stacks
from infra.change.model import Action, FleetChange, Level
from infra.report import comment
from tests.engine.fleets import Edit, merged
from tests.engine.test_fleet import CASES
from tests.program.changes import change_of
from tests.program.programs import ROOT

GOLDEN = Path(__file__).parent / "golden" / "changes"
MORE: dict[str, Edit] = {
    "a key is added": {"router": {"keys": {"everyone": {}, "search": {"models": ["nomic-embed-text"]}}}},
    "the last pool of a model goes": {"pools": {"a100": None}},
    "nothing": {},
}
EDITS: dict[str, Edit] = {**{title: case.edit for title, case in CASES.items()}, **MORE}


@pytest.fixture(scope="module")
def dev() -> Any:
    return stacks.read(ROOT, "dev").fleet


def undated(change: FleetChange) -> FleetChange:
    """The day on which a price was last looked up is no change of the report."""
    sides = {
        name: replace(plan, cost=replace(plan.cost, date=date(2026, 1, 1)))
        for name, plan in (("before", change.before), ("after", change.after))
        if plan is not None and plan.cost is not None
    }
    return replace(change, **sides)


def golden(title: str) -> Path:
    return GOLDEN / f"{re.sub(r'[^a-z0-9]+', '-', title.lower()).strip('-')}.md"


@pytest.mark.parametrize("title", EDITS)
def test_the_comment_of(title: str, dev: Any) -> None:
    change = undated(change_of(dev, merged(dev, EDITS[title])))
    rendered = comment.render(change)
    if os.environ.get("UPDATE_GOLDEN"):
        golden(title).parent.mkdir(parents=True, exist_ok=True)
        golden(title).write_text(rendered, encoding="utf-8")
    assert rendered == golden(title).read_text(encoding="utf-8")
    assert rendered.endswith("no credentials used\n")
    assert rendered.index("###") == 0


def test_no_golden_text_is_left_of_a_case_that_is_gone() -> None:
    assert {path.name for path in GOLDEN.iterdir()} == {golden(title).name for title in EDITS}
    assert len(EDITS) >= 25


def test_the_level_is_that_of_the_heaviest_part(dev: Any) -> None:
    def level(edit: Edit) -> Level:
        return change_of(dev, merged(dev, edit)).level

    assert level({}) is Level.NOTHING
    assert level({"models": {"qwen3:0.6b": ["t4"]}}) is Level.IN_PLACE
    assert level({"budget": {"monthlyUsd": 4000}}) is Level.IN_PLACE
    assert level({"models": {"nomic-embed-text": None}, "pools": {"t4": {"parallel": 1}}}) is Level.IN_PLACE
    assert level({"pools": {"a100": None}, "models": {"llama3.1:8b": ["t4"], "qwen3:32b": None}}) is Level.REPLACE
    assert level({"pools": {"t4": {"spot": True}}}) is Level.RISK


def test_a_pool_that_is_replaced_says_who_stands_in_for_it(dev: Any) -> None:
    change = change_of(dev, merged(dev, {"pools": {"t4": {"spot": True}}}))
    (pool,) = change.pools
    assert pool.nodes is Action.REPLACE
    assert pool.down
    # gemma3:4b stands on m60 first, so nothing happens to it
    assert pool.fallbacks == {"llama3.1:8b": "a100", "nomic-embed-text": None}


def test_another_namespace_replaces_all_that_stands_in_it(dev: Any) -> None:
    change = change_of(dev, merged(dev, {"gke": {"namespace": "models"}}))
    replaced = {one.name for one in change.resources or () if one.action is Action.REPLACE}
    assert {"fleet-namespace", "t4-server-deployment", "fleet-router-service"} <= replaced
    assert "t4-pool-nodes" not in replaced


def test_another_location_replaces_the_cluster_and_all_that_hangs_on_it(dev: Any) -> None:
    change = change_of(dev, merged(dev, {"gke": {"location": "us-central1-a"}}))
    by_name = {one.name: one for one in change.resources or () if not one.component}
    assert by_name["fleet-cluster"].action is Action.REPLACE
    assert by_name["fleet-cluster"].protected
    assert by_name["t4-pool-nodes"].action is Action.REPLACE
    # another cluster is another identity: nothing in the old one can be changed into something in the new one
    assert by_name["fleet-kubernetes"].action is Action.REPLACE
    assert by_name["t4-server-models"].reasons == ("its provider fleet-kubernetes is replaced",)
    assert any("protected" in risk.message for risk in change.risks)
