"""routes.toml says what the plan decided, one line an entry."""

import tomllib

from hypothesis import given, settings
from hypothesis import strategies as st

from infra.config import parse
from tests.unit.conftest import GOOD, Plan, decide

model_names = st.from_regex(r"[A-Za-z0-9][\w.-]{0,12}(/[a-z0-9]{1,5})?(:[a-z0-9]{1,6})?", fullmatch=True).filter(
    str.isascii
)


def test_the_map_is_what_the_plan_decided(plan_of: Plan, good: dict) -> None:
    plan = plan_of(good)
    read = tomllib.loads(plan.router.routes)
    expected = {model.name: list(model.route) for model in plan.models}
    expected |= {"gpt-3.5-turbo": "llama3.1:8b", "assistant": {"gemma3:4b": 10, "llama3.2:3b": 90}}
    assert read["routes"] == expected
    assert read["pools"]["t4"] == "ollama-t4.ollama.svc.cluster.local:11434"
    assert read["pools"]["k80"] == {"url": "https://rig.example.ts.net", "token": "rig"}
    assert set(read["pools"]) == set(good["pools"])


def test_every_entry_is_one_line(plan_of: Plan, good: dict) -> None:
    good["sites"]["rig"] = {"endpoints": ["https://a.example.com", "https://b.example.com"]}
    text = plan_of(good).router.routes
    entries = [line for line in text.splitlines() if " = " in line and not line.startswith("#")]
    read = tomllib.loads(text)
    assert len(entries) == len(read["routes"]) + len(read["pools"])
    assert read["pools"]["k80"]["urls"] == ["https://a.example.com", "https://b.example.com"]
    for line in entries:
        assert tomllib.loads(line)


@given(st.lists(model_names, unique_by=str.lower, max_size=6), st.lists(model_names, unique_by=str.lower, max_size=4))
@settings(max_examples=30, deadline=None)
def test_whatever_the_names_the_map_parses(models: list[str], aliases: list[str]) -> None:
    fleet = dict(GOOD)
    fleet["models"] = GOOD["models"] | {name: {"pools": ["t4"], "vram": "1Mi", "disk": "1Mi"} for name in models}
    fleet["aliases"] = GOOD["aliases"] | dict.fromkeys(aliases, "llama3.1:8b")
    plan = decide(fleet)
    if not [one for one in plan.problems if one.severity == "error"]:
        read = tomllib.loads(plan.router.routes)["routes"]
        assert set(read) == {model.name for model in plan.models} | {alias.name for alias in plan.aliases}
        assert all(read[model.name] == list(model.route) for model in plan.models)


def test_a_broken_target_leaves_no_empty_alias(plan_of: Plan, good: dict) -> None:
    good["models"]["llama3.1:8b"] = {"pools": ["t4"], "contxt": 1}
    assert parse(good).config is not None
    assert "gpt-3.5-turbo" not in tomllib.loads(plan_of(good).router.routes)["routes"]
