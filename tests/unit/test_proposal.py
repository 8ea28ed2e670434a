"""The remedies that a file's reader pastes: pasted, they mend the file."""

import re
from typing import Any

import pytest
from ruamel.yaml import YAML

from infra.problem import Severity
from tests.unit.conftest import decide


def the_error(fleet: dict, place: str) -> Any:
    found = [one for one in decide(fleet).problems if one.severity is Severity.ERROR]
    assert [one.place for one in found] == [place], found
    return found[0]


def pasted(fleet: dict, name: str, remedy: str) -> dict:
    """`fleet` with the remedy applied as its words say."""
    yaml = YAML(typ="safe", pure=True)
    if pool := re.search(r"add to pools: (.*?\}), and", remedy):
        fleet["pools"] |= yaml.load(pool[1])
    if line := re.search(r"paste: (.*)$", remedy):
        assert "\n" not in line[1]
        fleet["models"] |= yaml.load(line[1])
    elif keys := re.search(r"add to it: (.*)$", remedy):
        fleet["models"][name] = {
            key: value for key, value in (fleet["models"][name] or {}).items() if key != "pools"
        } | yaml.load(keys[1])
    return fleet


@pytest.mark.parametrize(
    ("name", "entry", "place"),
    [
        ("tinyllama", None, "fleet.models.tinyllama"),
        ("mistral:7b", None, 'fleet.models["mistral:7b"]'),
        ("bge-m3", {}, "fleet.models.bge-m3"),
        ("llama3.1", {}, 'fleet.models["llama3.1"]'),
        ("qwen3:14b", {"context": 4096}, 'fleet.models["qwen3:14b"]'),
        ("other-bot", {"modelfile": "FROM llama3.2:3b\nSYSTEM hello\n"}, "fleet.models.other-bot"),
        ("phi_4/x", {"vram": "2Gi", "disk": "2Gi"}, 'fleet.models["phi_4/x"]'),
        ("llama3.3:70b", None, 'fleet.models["llama3.3:70b"]'),
        ("qwen2.5:32b", {"context": 16384}, 'fleet.models["qwen2.5:32b"]'),
    ],
)
def test_the_line_to_paste_mends_the_file(good: dict, name: str, entry: Any, place: str) -> None:
    del good["budget"]
    good["models"][name] = entry
    remedy = the_error(good, place).remedy
    mended = pasted(good, name, remedy)
    assert not [one for one in decide(mended).problems if one.severity is Severity.ERROR], remedy
    if isinstance(entry, dict) and entry:
        assert entry.items() <= mended["models"][name].items()


def test_the_cheapest_fitting_pool_comes_first(good: dict) -> None:
    good["models"] = {"llama3.1:8b": ["t4"], "gemma3:1b": None}
    good["aliases"], good["router"]["keys"] = {}, {}
    del good["sites"], good["pools"]["m60"], good["pools"]["k80"]
    assert the_error(good, 'fleet.models["gemma3:1b"]').remedy == "paste: gemma3:1b: [t4, a100]"


def test_a_pool_that_would_be_tight_is_not_proposed(good: dict) -> None:
    good["models"]["qwen2.5:7b"] = None
    remedy = the_error(good, 'fleet.models["qwen2.5:7b"]').remedy
    assert "t4" not in remedy


def test_a_new_pool_takes_no_name_that_is_taken(good: dict) -> None:
    good["pools"] = {"l4": {"gpu": "t4"}}
    good["models"] = {"llama3.1:8b": ["l4"], "qwen3:14b": None}
    good["aliases"], good["router"]["keys"] = {}, {}
    del good["sites"]
    remedy = the_error(good, 'fleet.models["qwen3:14b"]').remedy
    assert remedy == "add to pools: l4-2: {gpu: l4}, and paste: qwen3:14b: [l4-2]"


def test_a_new_pool_is_of_a_card_that_is_sold_there(good: dict) -> None:
    good["gke"]["location"] = "us-west3-b"
    good["pools"], good["models"] = {}, {"llama3.1:8b": None}
    good["aliases"], good["router"]["keys"] = {}, {}
    del good["sites"]
    assert "a100-40gb" in the_error(good, 'fleet.models["llama3.1:8b"]').remedy


@pytest.mark.parametrize("pool", ["m60", "t4"])
def test_the_context_of_the_remedy_fits(good: dict, pool: str) -> None:
    good["aliases"], good["pools"][pool]["context"] = {}, 131072
    good["models"] |= {"gemma3:4b": ["m60"], "llama3.1:8b": ["t4"]}
    (problem,) = [one for one in decide(good).problems if one.place == f"fleet.pools.{pool}" and "fit" in one.message]
    context = re.search(r"(\S+) fits with context: (\d+)", problem.remedy)
    assert context is not None
    good["models"][context[1]] = {"pools": good["models"][context[1]], "context": int(context[2])}
    assert not [one for one in decide(good).problems if one.place == f"fleet.pools.{pool}" and "fit" in one.message]


def test_the_disk_of_the_remedy_is_enough(good: dict) -> None:
    good["pools"]["a100"]["disk"] = "20Gi"
    remedy = the_error(good, "fleet.pools.a100.disk").remedy
    size = re.search(r"disk: (\d+Gi)", remedy)
    assert size is not None
    good["pools"]["a100"]["disk"] = size[1]
    assert not [one for one in decide(good).problems if one.severity is Severity.ERROR]


def test_every_machine_of_the_remedy_works(good: dict) -> None:
    good["pools"]["t4"]["machineType"] = "n1-standard-2"
    remedy = the_error(good, "fleet.pools.t4.machineType").remedy
    machines = remedy.removeprefix("use one of ").split(", ")
    assert len(machines) > 3
    for machine in machines:
        good["pools"]["t4"]["machineType"] = machine
        assert not [one for one in decide(good).problems if one.severity is Severity.ERROR]
