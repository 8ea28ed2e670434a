"""What a map may say, and what is said about one that may not be served."""

import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.commands.common import plan_of
from infra.names import canonical_model
from infra.stack import read
from router.reading import MapError, parse
from router.routing import Endpoint, Pool, canonical, shown
from tests.router.maps import MAPS, NAMES, PROPERTY, map_lines, text_of

ROOT = Path(__file__).parents[2]
STACKS = [ROOT / "Pulumi.dev.yaml", *sorted((ROOT / "examples").glob("Pulumi.*.yaml"))]
DESIGN = """
# Written by `pulumi up`; don't edit
[routes]
"llama3.1:8b" = ["t4", "a100"]
"llama3.2:3b" = ["k80"]
"gemma3:4b"   = ["m60"]
"gpt-3.5-turbo" = "llama3.1:8b"      # alias: it's a copy of the name on its pools
assistant     = {"llama3.2:3b" = 90, "gemma3:4b" = 10}

[pools]
t4   = "ollama-t4.ollama.svc.cluster.local:11434"
a100 = {urls = ["http://a:1", "http://b"]}
m60  = {url = "http://10.0.0.7:11434"}
k80  = {url = "https://rig.example.ts.net", token = "rig"}
"""


def test_every_form_of_the_contract_is_read() -> None:
    fleet = parse(DESIGN)
    assert fleet.models == {"llama3.1:8b": ("t4", "a100"), "llama3.2:3b": ("k80",), "gemma3:4b": ("m60",)}
    assert fleet.aliases == {"gpt-3.5-turbo": "llama3.1:8b"}
    assert fleet.splits == {"assistant": {"llama3.2:3b": 90, "gemma3:4b": 10}}
    assert fleet.pools == {
        "t4": Pool(endpoints=(Endpoint(host="ollama-t4.ollama.svc.cluster.local", port=11434),)),
        "a100": Pool(endpoints=(Endpoint(host="a", port=1), Endpoint(host="b", port=80))),
        "m60": Pool(endpoints=(Endpoint(host="10.0.0.7", port=11434),)),
        "k80": Pool(endpoints=(Endpoint(host="rig.example.ts.net", port=443),), tls=True, token="rig"),
    }


def test_an_alias_has_the_pools_of_its_model_however_both_are_written() -> None:
    fleet = parse('[routes]\nLlama3 = ["t4"]\nbot = "library/llama3:latest"\n[pools]\nt4 = "a:1"\n')
    assert fleet.orders == {"llama3:latest": ("t4",), "bot:latest": ("t4",)}


@given(MAPS)
@PROPERTY
def test_a_generated_map_is_read_whole(text: str) -> None:
    assert len(parse(text).names) == sum(" = " in line for line in text.partition("[pools]")[0].splitlines())


@given(map_lines(), st.randoms(use_true_random=False))
@PROPERTY
def test_the_order_of_the_lines_decides_nothing(lines: tuple[list[str], list[str]], shuffle: random.Random) -> None:
    routes, pools = (shuffle.sample(section, len(section)) for section in lines)
    assert parse(text_of(routes, pools)) == parse(text_of(*lines))


@pytest.mark.parametrize(
    "file",
    [pytest.param(file, id=file.stem) for file in STACKS],
)
def test_the_map_of_every_example_is_read_whole(file: Path) -> None:
    plan = plan_of(read(file.parent, file.stem.removeprefix("Pulumi.")))
    fleet = parse(plan.router.routes)
    names = [*(model.name for model in plan.models), *(alias.name for alias in plan.aliases)]
    assert sorted(fleet.names) == sorted(names)
    assert sorted(fleet.pools) == sorted(pool.name for pool in plan.pools)


@given(NAMES)
@PROPERTY
def test_names_compare_as_in_the_plan(name: str) -> None:
    assert canonical(name) == canonical_model(name)


@pytest.mark.parametrize(
    ("name", "listed"),
    [
        ("llama3", "llama3:latest"),
        ("registry.ollama.ai/library/Llama3", "Llama3:latest"),
        ("hf.co/Some/Model:Q4_K_M", "hf.co/Some/Model:Q4_K_M"),
        ("localhost:5000/team/model", "localhost:5000/team/model:latest"),
    ],
)
def test_names_are_listed_as_ollama_lists_them(name: str, listed: str) -> None:
    assert shown(name) == listed


POOL = '\n[pools]\nt4 = "a:1"\nk80 = "b:1"\n'


@pytest.mark.parametrize(
    ("text", "faults"),
    [
        ("", ["[pools]: it has no entry", "[routes]: it has no entry"]),
        ("[routes]\n[pools]\n", ["[pools]: it has no entry", "[routes]: it has no entry"]),
        ('[routes]\nm = ["t5"]' + POOL, ["line 2, m: there is no pool 't5'"]),
        ('[routes]\nm = ["t4", "t4"]' + POOL, ["line 2, m: the pool t4 stands twice"]),
        ("[routes]\nm = []" + POOL, ["line 2, m: a route is a list of pools, the name of a model, or weights"]),
        ("[routes]\nm = 3" + POOL, ["line 2, m: a route is"]),
        ('[routes]\nm = ["t4", 3]' + POOL, ["line 2, m: a route is"]),
        ('[routes]\nm = ["t4"]\na = {m = 0}' + POOL, ["line 3, a: a route is"]),
        ('[routes]\nm = ["t4"]\na = {m = true}' + POOL, ["line 3, a: a route is"]),
        ('[routes]\nm = ["t4"]\na = {m = 1.5}' + POOL, ["line 3, a: a route is"]),
        ("[routes]\na = {}" + POOL, ["line 2, a: a route is"]),
        ('[routes]\na = "m"' + POOL, ["line 2, a: there is no model 'm'"]),
        ('[routes]\na = "a"' + POOL, ["line 2, a: 'a' is not a model but an alias"]),
        ('[routes]\nm = ["t4"]\na = "m"\nb = "A:latest"' + POOL, ["line 4, b: 'A:latest' is not a model but an alias"]),
        ('[routes]\nm = ["t4"]\na = {m = 1}\nb = {a = 1}' + POOL, ["line 4, b: 'a' is not a model but an alias"]),
        ('[routes]\nm = ["t4"]\na = {m = 1, n = 2}' + POOL, ["line 3, a: there is no model 'n'"]),
        (
            '[routes]\nm = ["t4", "k80"]\nn = ["k80"]\na = {m = 1, n = 2}' + POOL,
            ["line 4, a: m and n share the pool k80"],
        ),
        (
            '[routes]\nm = ["t4"]\n"library/M:latest" = ["t4"]' + POOL,
            ["line 3, library/M:latest: to Ollama it is the same name as m"],
        ),
        ('[routes]\nm = ["t4"]\nm = ["k80"]' + POOL, ["line 3, m: it stands on line 2 already"]),
        ('[routes]\n"a b" = ["t4"]' + POOL, ["line 2, a b: it is not the name of a model"]),
        ('[routes]\n"a/../../b" = ["t4"]' + POOL, ["line 2, a/../../b: it is not the name of a model"]),
        (f"[routes]\nm = {'[' * 5000}{']' * 5000}" + POOL, ["line 2, m: it is not TOML: brackets within brackets"]),
        (f"[routes]\nm = {{n = {'9' * 5000}}}" + POOL, ["line 2, m: it is not TOML"]),
        (f"[routes]\nm = {' ' * 100_000}'" + POOL, ["line 2, m: an entry is one line"]),
        ('[routes]\nllama3.1 = ["t4"]' + POOL, ["line 2, llama3.1: an entry is one line, NAME = VALUE; a name with"]),
        ('[routes]\nm = [\n"t4"]' + POOL, ["line 2, m: it is not TOML", 'line 3, "t4"]: an entry is one line']),
        ("[routes]\nm = ['t4']" + POOL, ["line 2, m: an entry is one line"]),
        ('[routes]\n"\\u006d" = ["t4"]' + POOL, ['line 2, "\\u006d": an entry is one line']),
        ('[routes]\nm = ["t4"]\n[routes.n]\n' + POOL, ["line 3, [routes.n]: there are only the sections"]),
        ('[routes]\nm = ["t4"]\n[routes]\nn = ["t4"]' + POOL, ["line 3, [routes]: the section stands twice"]),
        ('m = ["t4"]\n[routes]\nn = ["t4"]' + POOL, ["line 1, m: it stands before the first section"]),
        ('[routes]\nm = ["T4"]\n[pools]\nT4 = "a:1"', ["line 4, T4: a pool is named by"]),
        ('[routes]\nm = ["p"]\n[pools]\np = "a"', ["line 4, p: an address is a host name or IPv4 address"]),
        ('[routes]\nm = ["p"]\n[pools]\np = "a:70000"', ["line 4, p: an address is"]),
        ('[routes]\nm = ["p"]\n[pools]\np = "a/b:80"', ["line 4, p: an address is"]),
        ('[routes]\nm = ["p"]\n[pools]\np = 1', ['line 4, p: a pool is "host:port"']),
        ('[routes]\nm = ["p"]\n[pools]\np = {urls = []}', ['line 4, p: a pool is "host:port"']),
        ('[routes]\nm = ["p"]\n[pools]\np = {urls = ["http://a", 1]}', ['line 4, p: a pool is "host:port"']),
        ('[routes]\nm = ["p"]\n[pools]\np = {url = "ftp://a"}', ["line 4, p: a URL begins with http:// or https://"]),
        ('[routes]\nm = ["p"]\n[pools]\np = {url = "http://a:x"}', ["line 4, p: a URL begins with"]),
        ('[routes]\nm = ["p"]\n[pools]\np = {url = "http://[a"}', ["line 4, p: a URL begins with"]),
        ('[routes]\nm = ["p"]\n[pools]\np = {url = "http://a/b"}', ["line 4, p: a URL has only scheme, host and port"]),
        ('[routes]\nm = ["p"]\n[pools]\np = {urls = ["http://a", "https://b"]}', ["line 4, p: its URLs begin all"]),
        (
            '[routes]\nm = ["p"]\n[pools]\np = {urls = ["http://a", "http://a:80/"]}',
            ["line 4, p: an address stands twice"],
        ),
        ('[routes]\nm = ["p"]\n[pools]\np = {url = "http://a", tls = true}', ["line 4, p: tls is not known"]),
        ('[routes]\nm = ["p"]\n[pools]\np = {url = "http://a", token = 1}', ["line 4, p: token is the name of a site"]),
    ],
)
def test_a_broken_map_is_refused_with_its_cause(text: str, faults: list[str]) -> None:
    with pytest.raises(MapError) as refused:
        parse(text)
    found = [str(fault) for fault in refused.value.faults]
    assert len(found) == len(faults), found
    for fault, expected in zip(found, faults, strict=True):
        assert fault.startswith(expected)


def test_a_line_ends_where_the_servers_see_its_end() -> None:
    assert parse('[routes]\r\nm = ["t4"]\n# a comment\x0b"n" = ["k80"]\x85and more' + POOL).names == ("m",)


def test_all_faults_of_a_map_are_named_at_once() -> None:
    text = (
        '[routes]\na = "nothing"\nb = ["t9"]\nc = 1\nd = [\n[pools]\nt4 = "here"\nx = {url = "http://a", color = 1}\n'
    )
    with pytest.raises(MapError) as refused:
        parse(text)
    assert [(fault.line, fault.entry) for fault in refused.value.faults] == [
        (2, "a"),
        (3, "b"),
        (4, "c"),
        (5, "d"),
        (7, "t4"),
        (8, "x"),
    ]
    assert all(str(fault) in str(refused.value) for fault in refused.value.faults)


@pytest.mark.parametrize(
    "pool",
    ['"user:sk-secret@host:1"', '{url = "https://me:sk-secret@host"}', '{url = "http://a", token = "sk-secret!"}'],
)
def test_a_refusal_repeats_no_secret(pool: str) -> None:
    with pytest.raises(MapError) as refused:
        parse(f'[routes]\nm = ["p"]\n[pools]\np = {pool}\n')
    assert "secret" not in str(refused.value)


@given(st.text() | st.lists(st.sampled_from([*DESIGN.splitlines(), "[", '"', "= 1", "{"])).map("\n".join))
@PROPERTY
def test_any_text_is_a_map_or_is_refused(text: str) -> None:
    try:
        parse(text)
    except MapError as refused:
        assert refused.faults


BASE = '[routes]\nm = ["t4"]\nn = ["k80"]\nbot = "m"\n' + POOL


@pytest.mark.parametrize(
    ("override", "models", "aliases"),
    [
        ("", {"m": ("t4",), "n": ("k80",)}, {"bot": "m"}),
        ("# nothing yet\n", {"m": ("t4",), "n": ("k80",)}, {"bot": "m"}),
        ('[routes]\nm = ["k80", "t4"]\n', {"m": ("k80", "t4"), "n": ("k80",)}, {"bot": "m"}),
        ('[routes]\n"library/M:latest" = ["k80"]\n', {"library/M:latest": ("k80",), "n": ("k80",)}, {"bot": "m"}),
        ('[routes]\nbot = "n"\n', {"m": ("t4",), "n": ("k80",)}, {"bot": "n"}),
        ('[pools]\nk80 = "c:3"\n', {"m": ("t4",), "n": ("k80",)}, {"bot": "m"}),
    ],
)
def test_a_hand_edit_stands_in_the_place_of_one_entry(
    override: str, models: dict[str, tuple[str, ...]], aliases: dict[str, str]
) -> None:
    fleet = parse(BASE, override)
    assert (fleet.models, fleet.aliases) == (models, aliases)
    assert fleet.pools["k80"].endpoints[0].host == ("c" if "c:3" in override else "b")


@given(MAPS)
@PROPERTY
def test_a_map_laid_over_itself_is_itself(text: str) -> None:
    assert parse(text, text) == parse(text)


@pytest.mark.parametrize(
    ("override", "fault"),
    [
        ('[routes]\no = ["t4"]\n', "ollama-routes-override line 2, o: the program declares no such model"),
        ('[routes]\nm = ["t5"]\n', "ollama-routes-override line 2, m: there is no pool 't5'"),
        ('[pools]\nt5 = "c:3"\n', "ollama-routes-override line 2, t5: the program declares no such pool"),
        ('[routes]\nm = "n"\n', "line 4, bot: 'm' is not a model but an alias, which is not followed"),
        ('[routes]\nm = ["t4"]\n"M:latest" = ["t4"]\n', "to Ollama it is the same name as m"),
    ],
)
def test_a_hand_edit_that_may_not_be_served_is_refused_with_its_place(override: str, fault: str) -> None:
    with pytest.raises(MapError) as refused:
        parse(BASE, override)
    assert fault in str(refused.value)
