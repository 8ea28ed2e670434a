"""An edited map takes effect in the running Envoy; one that may not be served does not."""

import http.client
import json
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.router.conftest import OpenDoor
from tests.router.door import ANSWER_SECONDS, Door, ask, wait_until
from tests.router.fake_ollama import FakeOllama
from tests.router.test_failover import load

StartOllama = Callable[..., FakeOllama]


def test_a_moved_model_moves_without_a_restart_and_without_a_loss(open_door: OpenDoor, ollama: StartOllama) -> None:
    first, second = ollama("t4"), ollama("a100")
    pools = f'[pools]\nt4 = "{first.address}"\na100 = "{second.address}"\n'
    door = open_door(f'[routes]\nm = ["t4"]\n{pools}')
    with load(door, clients=4) as outcomes:
        for pool in ("a100", "t4") * 10:
            door.publish(f'[routes]\nm = ["{pool}"]\n{pools}')
            wait_until(lambda pool=pool: door.chat("m").pool == pool)  # type: ignore[misc]
    assert set(outcomes) == {"t4", "a100"}, outcomes
    assert door.envoy.poll() is None


def test_a_new_pool_and_a_model_moved_to_it_in_one_edit_lose_nothing(open_door: OpenDoor, ollama: StartOllama) -> None:
    pools = {f"pool-{number}": ollama(f"pool-{number}") for number in range(12)}
    names = list(pools)
    door = open_door(f'[routes]\nm = ["pool-0"]\n[pools]\npool-0 = "{pools["pool-0"].address}"\n')
    with load(door, clients=4) as outcomes:
        for name in names[1:]:
            door.publish(f'[routes]\nm = ["{name}"]\n[pools]\n{name} = "{pools[name].address}"\n')
            wait_until(lambda name=name: door.chat("m").pool == name)  # type: ignore[misc]
    assert set(outcomes) == set(names), outcomes


def test_a_new_model_on_a_new_pool_is_served_without_a_restart(open_door: OpenDoor, ollama: StartOllama) -> None:
    first, second = ollama("t4"), ollama("a100")
    door = open_door(f'[routes]\nm = ["t4"]\n[pools]\nt4 = "{first.address}"\n')
    assert door.chat("n").status == 404
    door.publish(
        f'[routes]\nm = ["t4"]\nn = ["a100", "t4"]\n[pools]\nt4 = "{first.address}"\na100 = "{second.address}"\n'
    )
    wait_until(lambda: door.chat("n").pool == "a100")
    assert "n:latest" in door.ask("GET", "/api/tags").body.decode()


def test_a_pool_that_no_route_needs_is_forgotten_when_its_last_request_has_ended(
    open_door: OpenDoor, ollama: StartOllama
) -> None:
    first, second = ollama("t4"), ollama("a100")
    first.gate = threading.Semaphore(0)
    door = open_door(f'[routes]\nm = ["t4"]\n[pools]\nt4 = "{first.address}"\na100 = "{second.address}"\n')
    connection = http.client.HTTPConnection("127.0.0.1", door.port, timeout=ANSWER_SECONDS)
    try:
        connection.request("POST", "/api/chat", json.dumps({"model": "m", "stream": True, "chunks": 3}))
        first.gate.release()
        response = connection.getresponse()
        assert json.loads(response.readline())["number"] == 0
        door.publish(f'[routes]\nn = ["a100"]\n[pools]\na100 = "{second.address}"\n')
        wait_until(lambda: door.chat("m").status == 404)
        for _ in range(2):  # however often the map changes meanwhile
            door.publish(f'[routes]\no = ["a100"]\n[pools]\na100 = "{second.address}"\n')
            wait_until(lambda: door.chat("o").status == 200)
            door.publish(f'[routes]\nn = ["a100"]\n[pools]\na100 = "{second.address}"\n')
            wait_until(lambda: door.chat("o").status == 404)
        assert door.clusters() >= {"t4", "a100"}
        first.gate.release(2)
        assert [json.loads(line)["number"] for line in response.read().splitlines()] == [1, 2]
    finally:
        connection.close()
    wait_until(lambda: "t4" not in door.clusters())
    assert door.chat("n").pool == "a100"


MAP = '[routes]\nm = ["t4"]\nn = ["a100"]\n[pools]\nt4 = "{t4}"\na100 = "{a100}"\n'


@pytest.fixture
def door(open_door: OpenDoor, ollama: StartOllama) -> Door:
    """m on t4 and n on a100."""
    return open_door(MAP.format(t4=ollama("t4").address, a100=ollama("a100").address))


@pytest.mark.parametrize(
    ("broken", "cause"),
    [
        ("", "[routes]: it has no entry"),
        ("not a map at all", "not a map at all: it stands before the first section"),
        ('[routes]\nm = ["t4"', "m: it is not TOML"),
        (f"[routes]\nm = {'[' * 5000}", "m: it is not TOML"),
        ('[routes]\nm = ["k80"]\n[pools]\nt4 = "a:1"\n', "m: there is no pool 'k80'"),
    ],
)
def test_a_map_that_may_not_be_served_leaves_the_one_before_in_force_and_says_so(
    door: Door, broken: str, cause: str
) -> None:
    assert door.metric("ollama_fleet_map_faults") == 0
    good = (door.map.folder / "routes.toml").read_text()
    door.publish(broken)
    wait_until(lambda: door.metric("ollama_fleet_map_faults") > 0)
    assert cause in door.log()
    assert "the last good map serves on" in door.log()
    assert (door.chat("m").pool, door.chat("n").pool) == ("t4", "a100")
    assert ask(door.metrics_port, "GET", "/readyz").status == 200
    door.publish(good.replace('n = ["a100"]', 'n = ["t4"]'))
    wait_until(lambda: door.chat("n").pool == "t4")
    assert door.metric("ollama_fleet_map_faults") == 0


def test_a_map_that_vanishes_leaves_the_one_before_in_force(door: Door) -> None:
    (door.map.folder / "..data").unlink()
    wait_until(lambda: door.metric("ollama_fleet_map_faults") == 1)
    assert "routes.toml is not there" in door.log()
    assert door.chat("m").pool == "t4"


def test_a_hand_edit_stands_in_the_place_of_the_programs_entry_until_it_is_taken_back(door: Door) -> None:
    door.edit('[routes]\nm = ["a100"]\n')
    wait_until(lambda: door.chat("m").pool == "a100")
    assert door.metric("ollama_fleet_map_overridden") == 1
    assert '"overridden": ["m"]' in door.log()
    assert door.chat("n").pool == "a100"
    door.edit("")
    wait_until(lambda: door.chat("m").pool == "t4")
    assert door.metric("ollama_fleet_map_overridden") == 0


@pytest.mark.parametrize(
    ("edit", "cause"),
    [
        ('[routes]\nnew = ["t4"]\n', "ollama-routes-override line 2, new: the program declares no such model"),
        ('[routes]\nm = ["k80"]\n', "ollama-routes-override line 2, m: there is no pool 'k80'"),
        ('[pools]\nk80 = "a:1"\n', "ollama-routes-override line 2, k80: the program declares no such pool"),
        ("m = 3", "ollama-routes-override line 1, m: it stands before the first section"),
    ],
)
def test_a_hand_edit_of_what_the_program_does_not_declare_is_refused(door: Door, edit: str, cause: str) -> None:
    door.edit('[routes]\nm = ["a100"]\n')
    wait_until(lambda: door.chat("m").pool == "a100")
    door.edit(edit)
    wait_until(lambda: door.metric("ollama_fleet_map_faults") > 0)
    assert cause in door.log()
    assert door.chat("m").pool == "a100"


def test_a_broken_hand_edit_does_not_keep_a_router_from_starting(open_door: OpenDoor, ollama: StartOllama) -> None:
    text = MAP.format(t4=ollama("t4").address, a100=ollama("a100").address)
    door = open_door(text, override='[routes]\nm = ["k80"]\n')
    assert door.chat("m").pool == "t4"
    assert door.metric("ollama_fleet_map_faults") == 1


def test_a_router_does_not_start_without_a_good_map(open_door: OpenDoor) -> None:
    with pytest.raises(AssertionError, match="there is no pool 't5'"):
        open_door('[routes]\nm = ["t5"]\n[pools]\nt4 = "a:1"\n')


def test_the_map_is_followed_by_the_next_process_when_the_one_beside_envoy_dies(
    door: Door, ollama: StartOllama
) -> None:
    with load(door, clients=2) as outcomes:
        door.restart_control()
    assert set(outcomes) == {"t4"}, outcomes
    door.publish(MAP.format(t4=ollama("a100").address, a100=ollama("t4").address))
    wait_until(lambda: door.chat("m").json == {"from": "a100"})


def test_a_map_that_envoy_refuses_leaves_the_one_before_in_force_and_says_so(
    open_door: OpenDoor, ollama: StartOllama, tmp_path: Path
) -> None:
    first, second = ollama("t4"), ollama("a100")
    good = MAP.format(t4=first.address, a100=second.address)
    door = open_door(good, certificates=tmp_path / "no-such-file")
    files = door.files()
    door.publish(
        good.replace(f'"{second.address}"', '{url = "https://a.example"}').replace('n = ["a100"]', 'n = ["t4"]')
    )
    wait_until(lambda: door.metric("ollama_fleet_envoy_follows") == 0)
    assert "Envoy refuses clusters.json" in door.log()
    assert (door.chat("m").pool, door.chat("n").pool) == ("t4", "a100")
    wait_until(lambda: door.files() == files)
    door.publish(good + "# as before")
    wait_until(lambda: door.metric("ollama_fleet_envoy_follows") == 1)
    door.publish(good.replace('n = ["a100"]', 'n = ["t4"]'))
    wait_until(lambda: door.chat("n").pool == "t4")
