"""What the door says of the whole fleet, and where a model leads that only some replicas have."""

import json
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.deciding import decide, differing
from router.facts import Facts
from router.poll import Replica
from router.reading import parse
from tests.router.conftest import OpenDoor
from tests.router.door import Door, wait_until
from tests.router.fake_ollama import MOMENT, FakeOllama
from tests.router.maps import MAPS, PROPERTY

StartOllama = Callable[..., FakeOllama]
DIGEST, OTHER = "a" * 64, "b" * 64
NOBODY = "127.0.0.1:9"


def names(door: Door, path: str = "/api/tags") -> list[str]:
    return [entry["name"] for entry in door.ask("GET", path).json["models"]]


def tag(door: Door, name: str) -> dict[str, object]:
    found: dict[str, object] = {one["name"]: one for one in door.ask("GET", "/api/tags").json["models"]}[name]
    return found


def test_a_name_is_listed_as_a_replica_shows_it_and_else_as_the_plan_has_it(
    open_door: OpenDoor, ollama: StartOllama
) -> None:
    awake = ollama("t4")
    awake.models, awake.loaded, awake.version = {"M:latest": DIGEST, "foreign:1b": OTHER}, ["M:latest"], "0.32.15"
    facts = {
        "version": "0.30.0",
        "models": {"Asleep:8b": {"size": 4_900_000_000, "digest": OTHER, "details": {"family": "llama"}}},
    }
    routes = '[routes]\nm = ["t4"]\n"asleep:8b" = ["a100"]\nbot = "asleep:8b"\n'
    door = open_door(f'{routes}[pools]\nt4 = "{awake.address}"\na100 = "{NOBODY}"\n', facts=facts)
    wait_until(lambda: tag(door, "m:latest")["digest"] == DIGEST)
    assert names(door) == ["asleep:8b", "bot:latest", "m:latest"]
    assert tag(door, "m:latest")["modified_at"] == MOMENT
    for name in ("asleep:8b", "bot:latest"):
        planned = tag(door, name)
        assert (planned["size"], planned["digest"], planned["details"]) == (4_900_000_000, OTHER, {"family": "llama"})
    assert names(door, "/api/ps") == ["m:latest"]
    assert door.ask("GET", "/api/version").json == {"version": "0.32.15"}
    models = door.ask("GET", "/v1/models").json
    assert models["object"] == "list"
    assert [(one["id"], one["created"], one["owned_by"]) for one in models["data"]] == [
        ("asleep:8b", 0, "library"),
        ("bot:latest", 0, "library"),
        ("m:latest", 1_787_307_072, "library"),
    ]
    assert door.ask("HEAD", "/api/tags").status == 200
    assert awake.asked == []


def test_without_a_replica_the_version_is_the_plans(open_door: OpenDoor) -> None:
    door = open_door(f'[routes]\nm = ["t4"]\n[pools]\nt4 = "{NOBODY}"\n', facts={"version": "0.30.0"})
    assert door.ask("GET", "/api/version").json == {"version": "0.30.0"}


def test_the_version_is_the_lowest_of_the_fleet(open_door: OpenDoor, ollama: StartOllama) -> None:
    one, two = ollama("t4"), ollama("a100")
    one.models, one.version, two.models, two.version = {}, "0.9.1", {}, "0.32.15"
    urls = json.dumps([f"http://{replica.address}" for replica in (one, two)])
    door = open_door(f'[routes]\nm = ["t4"]\n[pools]\nt4 = {{urls = {urls}}}\n')
    wait_until(lambda: door.ask("GET", "/api/version").json == {"version": "0.9.1"})


def test_a_list_never_waits_for_a_replica_that_does_not_answer(open_door: OpenDoor, ollama: StartOllama) -> None:
    hanging = ollama("t4")
    hanging.hangs = True
    door = open_door(f'[routes]\nm = ["t4"]\n[pools]\nt4 = "{hanging.address}"\n')
    assert names(door) == ["m:latest"]


def test_a_moved_model_is_served_by_its_old_pool_until_the_new_one_has_it(
    open_door: OpenDoor, ollama: StartOllama
) -> None:
    old, new = ollama("t4"), ollama("a100")
    old.models, new.models = {"m:latest": DIGEST}, {}
    pools = f'[pools]\nt4 = "{old.address}"\na100 = "{new.address}"\n'
    door = open_door(f'[routes]\nm = ["t4"]\nn = ["t4"]\n{pools}')
    changes = door.metric("ollama_fleet_map_changes_total")
    door.publish(f'[routes]\nm = ["a100"]\nn = ["a100"]\n{pools}')
    wait_until(lambda: door.metric("ollama_fleet_map_changes_total") > changes)
    assert {door.chat("m").pool for _ in range(20)} == {"t4"}
    new.models = {"m:latest": DIGEST}
    wait_until(lambda: door.chat("m").pool == "a100")


def test_different_content_under_one_name_is_reported(open_door: OpenDoor, ollama: StartOllama) -> None:
    one, two = ollama("t4"), ollama("a100")
    one.models, two.models = {"m:latest": DIGEST}, {"m:latest": OTHER}
    door = open_door(f'[routes]\nm = ["t4", "a100"]\n[pools]\nt4 = "{one.address}"\na100 = "{two.address}"\n')
    wait_until(lambda: door.metric("ollama_fleet_digests_differ") == 1)
    assert OTHER in door.log()
    two.models = {"m:latest": DIGEST}
    wait_until(lambda: door.metric("ollama_fleet_digests_differ") == 0)


def test_the_parts_of_a_split_are_compared_each_by_itself() -> None:
    def holding(digest: str, address: str = "10.0.0.1:11434") -> Replica:
        models = {"s:latest": {"digest": digest}}
        return Replica(address=address, models=models, loaded=(), version="0", asked_at=0.0)

    fleet = parse(f'[routes]\nm = ["t4", "k80"]\nn = ["a100"]\ns = {{m = 9, n = 1}}\n{POOLS}')
    assert not differing(fleet, {"t4": (holding(DIGEST),), "a100": (holding(OTHER),)})
    replicas = holding(DIGEST), holding(OTHER, "10.0.0.2:11434")
    found = {"s:latest": {DIGEST: ["t4/10.0.0.1:11434"], OTHER: ["t4/10.0.0.2:11434"]}}
    assert differing(fleet, {"t4": replicas, "a100": (holding(OTHER),)}) == found
    assert differing(fleet, {"t4": replicas[:1], "k80": replicas[1:]}).keys() == {"s:latest"}


def test_facts_that_cannot_be_read_leave_the_map_before_in_force(open_door: OpenDoor) -> None:
    door = open_door(f'[routes]\nm = ["t4"]\n[pools]\nt4 = "{NOBODY}"\n')
    door.publish(f'[routes]\nn = ["t4"]\n[pools]\nt4 = "{NOBODY}"\n', facts=["no", "mapping"])
    wait_until(lambda: door.metric("ollama_fleet_map_faults") == 1)
    assert names(door) == ["m:latest"]


def replica(*models: str) -> Replica:
    held = {name: {"digest": DIGEST} for name in models}
    return Replica(address="10.0.0.1:11434", models=held, loaded=(), version="0", asked_at=0.0)


POOLS = '[pools]\nt4 = "a:1"\na100 = "b:1"\nk80 = "c:1"\n'
HAS, LACKS = (replica("m:latest", "s:latest"),), (replica("other:latest"),)


@pytest.mark.parametrize(
    ("seen", "order"),
    [
        ({}, ("t4", "a100")),
        ({"t4": HAS}, ("t4", "a100")),
        ({"t4": LACKS, "a100": HAS}, ("a100",)),
        ({"t4": LACKS}, ("a100",)),
        ({"t4": LACKS, "a100": LACKS}, ("t4", "a100")),
        ({"t4": LACKS, "a100": LACKS, "k80": HAS}, ("k80",)),
        ({"k80": HAS}, ("t4", "a100", "k80")),
        ({"t4": HAS, "k80": HAS}, ("t4", "a100")),
        ({"t4": (*LACKS, *HAS), "a100": LACKS}, ("t4",)),
    ],
)
def test_a_name_leads_to_the_pools_that_have_it(seen: dict[str, tuple[Replica, ...]], order: tuple[str, ...]) -> None:
    fleet = parse(f'[routes]\nm = ["t4", "a100"]\n{POOLS}')
    assert decide(fleet, Facts(), seen).orders["m:latest"] == order


def test_an_alias_leads_only_to_pools_that_have_the_copy() -> None:
    fleet = parse(f'[routes]\nm = ["t4", "a100"]\ns = "m"\n{POOLS}')
    table = decide(fleet, Facts(), {"t4": (replica("m:latest"),), "a100": HAS})
    assert (table.orders["m:latest"], table.orders["s:latest"]) == (("t4", "a100"), ("a100",))


@pytest.mark.parametrize(
    ("seen", "shares"),
    [
        ({}, ((("t4",), 9), (("a100",), 1))),
        ({"t4": LACKS}, ((("a100",), 1),)),
        ({"t4": LACKS, "a100": LACKS}, ((("t4",), 9), (("a100",), 1))),
        ({"t4": LACKS, "a100": LACKS, "k80": HAS}, ((("k80",), 1),)),
    ],
)
def test_a_share_whose_pools_lack_the_name_goes_to_the_others(
    seen: dict[str, tuple[Replica, ...]], shares: object
) -> None:
    fleet = parse(f'[routes]\nm = ["t4"]\nn = ["a100"]\ns = {{m = 9, n = 1}}\n{POOLS}')
    assert decide(fleet, Facts(), seen).splits["s:latest"] == shares


@given(MAPS, st.data())
@PROPERTY
def test_whatever_replicas_hold_every_name_leads_somewhere_that_exists(text: str, data: st.DataObject) -> None:
    fleet = parse(text)
    every = sorted(fleet.table.orders.keys() | fleet.table.splits.keys())
    seen = {
        pool: (replica(*data.draw(st.lists(st.sampled_from(every), unique=True))),)
        for pool in data.draw(st.lists(st.sampled_from(sorted(fleet.pools)), unique=True))
    }
    table = decide(fleet, Facts(), seen)
    assert sorted(table.orders.keys() | table.splits.keys()) == every
    assert all(order and set(order) <= set(fleet.pools) for order in table.all_orders)
    assert not differing(fleet, seen)
    for name, order in table.orders.items():
        holding = {pool for pool, (one,) in seen.items() if name in one.models}
        if holding:
            assert holding.intersection(order)
            assert all(pool in holding or pool not in seen for pool in order)
