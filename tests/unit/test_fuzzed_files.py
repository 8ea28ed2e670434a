"""Whatever stands in a file: a plan or problems come back, never a traceback; and the order of keys decides nothing."""

import copy
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from infra import stack as stacks
from infra.commands.common import plan_of
from infra.names import canonical_model
from infra.plan.model import FleetPlan
from infra.problem import Severity
from tests.unit.conftest import GOOD, decide

FEW = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
HUGE = 10**400
ODD = (
    "", " ", "\x00", "\x1b[31m",
    "\ud800", "😀" * 5, "ﬁle", "null", "~", "../../etc/passwd", "a" * 5000, "-" * 99,
    "0..2", "R580", "1e400", "NaN", "🦙:latest", "t4\n", "{inputs.x}", "%s%n", "${jndi:x}",
    None, True, False, 0, -1, HUGE, -HUGE, 1e308, float("inf"), float("nan"),
    0.1, [], {}, [[]], {"": {}}, {"secure": 1},
)  # fmt: skip

scalars = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20), st.sampled_from(ODD))
words = st.one_of(
    st.sampled_from(
        ("gke", *GOOD, "proxy", "chat", "monitoring", "loadTest", "location", "t4", "gpu", "replicas", "site")
    ),
    st.sampled_from(
        ("docker", "url", "nodes", "gpus", "memory", "disk", "context", "image", "driver", "modelfile", "vram")
    ),
    st.text(max_size=12),
)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(words, inner, max_size=5)),
    max_leaves=20,
)


def planned(fleet: Any) -> FleetPlan:
    """The plan, with what must hold of every plan."""
    plan = decide(fleet)
    for problem in plan.problems:
        assert problem.place
        assert problem.message
        assert problem.remedy or problem.severity is Severity.WARNING, problem
    assert list(plan.problems) == sorted(set(plan.problems))
    return plan


def places(value: Any, where: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a file but its root."""
    inner = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list) else ()
    return [place for key, item in inner for place in ((*where, key), *places(item, (*where, key)))]


PLACES = places(GOOD)


@given(values)
@FEW
def test_any_value_gives_problems_and_no_traceback(fleet: Any) -> None:
    planned(fleet)


@given(st.dictionaries(st.sampled_from(sorted(GOOD)), values, max_size=8))
@FEW
def test_any_value_in_any_section_gives_problems_and_no_traceback(fleet: Any) -> None:
    planned(fleet)


@given(st.data())
@FEW
def test_a_good_file_with_changes_anywhere_gives_no_traceback(data: st.DataObject) -> None:
    fleet: Any = copy.deepcopy(GOOD)
    for where in data.draw(st.lists(st.sampled_from(PLACES), min_size=1, max_size=4)):
        *parents, last = where
        inner: Any = fleet
        for part in parents:
            try:
                inner = inner[part]
            except (KeyError, IndexError, TypeError):
                break
        else:
            if not isinstance(inner, (dict, list)):
                continue
            change = data.draw(st.sampled_from(("drop", "rename", "replace", "nest", "copy")))
            try:
                if change == "drop":
                    del inner[last]
                elif change == "rename" and isinstance(inner, dict):
                    inner[data.draw(words)] = inner.pop(last)
                elif change == "nest":
                    inner[last] = {str(last): inner[last]}
                elif change == "copy":
                    inner[last] = copy.deepcopy(data.draw(st.sampled_from(list(GOOD.values()))))
                else:
                    inner[last] = data.draw(scalars)
            except (KeyError, IndexError):
                continue
    planned(fleet)


@pytest.mark.parametrize("where", PLACES, ids=lambda where: ".".join(map(str, where)))
def test_no_odd_value_at_any_place_gives_a_traceback(where: tuple[Any, ...]) -> None:
    for odd in ODD:
        fleet: Any = copy.deepcopy(GOOD)
        inner = fleet
        for part in where[:-1]:
            inner = inner[part]
        inner[where[-1]] = odd
        planned(fleet)


def shuffled(value: Any, data: st.DataObject) -> Any:
    if isinstance(value, dict):
        return {key: shuffled(value[key], data) for key in data.draw(st.permutations(list(value)))}
    return [shuffled(item, data) for item in value] if isinstance(value, list) else value


@given(st.data())
@settings(max_examples=40, deadline=None)
def test_a_shuffled_file_gives_the_same_plan(data: st.DataObject) -> None:
    again = decide(shuffled(GOOD, data))
    assert again == decide(GOOD)
    assert again.router.routes == decide(GOOD).router.routes


@given(st.data())
@settings(max_examples=15, deadline=None)
def test_a_shuffled_file_gives_the_same_report(data: st.DataObject) -> None:
    report = pytest.importorskip("infra.report.json")
    assert report.render(decide(shuffled(GOOD, data))) == report.render(decide(GOOD))


@given(st.data())
@settings(max_examples=25, deadline=None)
def test_a_shuffled_broken_file_gives_the_same_problems(data: st.DataObject) -> None:
    broken = copy.deepcopy(GOOD)
    broken["pools"]["t4"]["gpuu"] = 1
    broken["models"]["gemma3:4b"] = ["t5"]
    broken["models"]["tinyllama"] = []
    broken["aliases"]["x"] = "y"
    assert decide(shuffled(broken, data)).problems == decide(broken).problems


def through_a_file(folder: Path, text: str | bytes) -> FleetPlan | None:
    """What `fleet plan` does with a file; None for one that is refused as unreadable."""
    path = folder / "Pulumi.dev.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass"))
    try:
        stack = stacks.read(folder, "dev")
    except stacks.UnreadableError as refusal:
        refused = refusal.problem
    else:
        refused = None
    if refused is not None:
        assert refused.place
        assert refused.message
        assert refused.remedy
        return None
    return plan_of(stack)


@given(text=st.one_of(st.text(max_size=200), st.binary(max_size=200)))
@FEW
def test_any_text_as_a_file_gives_no_traceback(tmp_path_factory: pytest.TempPathFactory, text: str | bytes) -> None:
    through_a_file(tmp_path_factory.getbasetemp(), text)


@given(data=st.data())
@FEW
def test_a_file_with_letters_changed_gives_no_traceback(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    text = Path("Pulumi.dev.yaml").read_text(encoding="utf-8")
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(text)))
        piece = data.draw(
            st.sampled_from(("", ":", "- ", "\n", "  ", "&a ", "*a", "!!python/object ", "'", "{", "]", "#", "\t", "|"))
        )
        text = text[:at] + piece + text[at + data.draw(st.integers(0, 3)) :]
    through_a_file(tmp_path_factory.getbasetemp(), text)


HEAD = "config:\n  gcp:project: p\n  ollama-fleet:fleet:\n"
LAUGHS = "    a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"    {'bcdefghij'[n]}: &{'bcdefghij'[n]} [{', '.join(['*' + 'abcdefghij'[n]] * 10)}]\n" for n in range(9)
)
HOSTILE = {
    "a billion laughs": HEAD + LAUGHS,
    "a circle of anchors": HEAD + "    pools: &p\n      t4: *p\n",
    "a list that holds itself": HEAD + "    pools: &p [*p]\n",
    "a megabyte of text": HEAD + f"    pools: {'x' * 2**20}\n",
    "a megabyte as a key": HEAD + f"    {'x' * 2**20}: 1\n",
    "a megabyte as a GPU": HEAD + f"    pools: {{t4: {{gpu: {'x' * 2**20}}}}}\n",
    "a megabyte of colons as a URL": HEAD + f"    sites: {{rig: {{docker: {{}}, url: '{'a:' * 2**19}'}}}}\n",
    "a megabyte of digits": HEAD + f"    budget: {{monthlyUsd: {'9' * 2**20}}}\n",
    "a number of five thousand digits": HEAD + f"    pools: {{t4: {{gpu: t4, context: {'9' * 5000}}}}}\n",
    "depths of brackets": HEAD + "    pools: " + "[" * 800 + "]" * 800 + "\n",
    "depths of mappings": HEAD + "    pools: " + "{a: " * 500 + "1" + "}" * 500 + "\n",
    "a Python object": HEAD + "    pools: !!python/object/apply:os.system ['true']\n",
    "binary": HEAD + "    pools: !!binary aGVsbG8=\n",
    "a set": HEAD + "    pools: !!set {t4, a100}\n",
    "a day": HEAD + "    pools: 2026-11-21\n",
    "a list as a key": HEAD + "    ? [a, b]\n    : 1\n",
    "a mapping as a key": HEAD + "    ? {a: b}\n    : 1\n",
    "one key twice": HEAD + "    pools: {}\n    pools: {}\n",
    "an anchor that is not there": HEAD + "    pools: *nowhere\n",
    "two documents": HEAD + "    pools: {}\n---\nx: 1\n",
    "a tab": HEAD + "\tpools: {}\n",
    "an unfinished bracket": HEAD + "    pools: {t4: {gpu: t4}\n",
    "an unfinished quote": HEAD + "    pools: 'sk-proj-4f9a7c1e2b8d6053\n",
    "not a number": HEAD + "    budget: {monthlyUsd: .nan}\n",
    "null as a key": HEAD + "    pools: {null: {gpu: t4}}\n",
    "numbers as keys": HEAD + "    pools: {1: {gpu: t4}, 1.5: {gpu: t4}}\n",
    "no config": "name: x\n",
    "config is a list": "config: []\n",
    "no fleet": "config: {gcp:project: p}\n",
    "a word": "hello",
    "nothing": "",
    "bytes": b"\xff\xfe\x00",
    "UTF-16": "config: {}".encode("utf-16"),
    "NUL": "config: \x00",
    "extends nothing": HEAD + "    extends: ''\n",
    "extends a number": HEAD + "    extends: 5\n",
    "extends a folder": HEAD + "    extends: .\n",
    "extends what is not there": HEAD + "    extends: base.yaml\n",
    "extends with NUL": HEAD + '    extends: "a\\0b"\n',
    "extends a name without end": HEAD + f"    extends: {'x' * 5000}\n",
    "extends itself": HEAD + "    extends: Pulumi.dev.yaml\n",
    "extends a device": HEAD + "    extends: /dev/null\n",
}


@pytest.mark.parametrize("title", HOSTILE)
def test_a_hostile_file_gives_no_traceback_and_shows_no_secret(tmp_path: Path, title: str) -> None:
    plan = through_a_file(tmp_path, HOSTILE[title])
    shown = "" if plan is None else " ".join(f"{one.place}{one.message}{one.remedy}" for one in plan.problems)
    assert "4f9a7c1e2b8d6053" not in shown
    assert len(shown) < 20_000


def test_an_unreadable_file_names_its_line(tmp_path: Path) -> None:
    (tmp_path / "Pulumi.dev.yaml").write_text(HEAD + "    pools: {t4: {gpu: t4}\n    models: 1\n", encoding="utf-8")
    with pytest.raises(stacks.UnreadableError) as refused:
        stacks.read(tmp_path, "dev")
    assert refused.value.problem.place.startswith("Pulumi.dev.yaml:5:")


@given(st.text(max_size=60))
@FEW
def test_the_canonical_name_of_a_canonical_name_is_itself(name: str) -> None:
    once = canonical_model(name)
    if not once.startswith(("library/", "registry.ollama.ai/")):
        assert canonical_model(once) == once


def test_pulumis_json_and_the_yaml_give_the_same_plan() -> None:
    assert decide(json.loads(json.dumps(GOOD))) == decide(GOOD)
