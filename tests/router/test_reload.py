"""An edited map takes effect in the running Envoy."""

import http.client
import json
import threading
from collections.abc import Callable

from tests.router.conftest import OpenDoor
from tests.router.door import ANSWER_SECONDS, wait_until
from tests.router.fake_ollama import FakeOllama
from tests.router.test_failover import load

StartOllama = Callable[..., FakeOllama]


def test_a_moved_model_moves_without_a_restart_and_without_a_loss(open_door: OpenDoor, ollama: StartOllama) -> None:
    first, second = ollama("t4"), ollama("a100")
    pools = f'[pools]\nt4 = "{first.address}"\na100 = "{second.address}"\n'
    door = open_door(f'[routes]\nm = ["t4"]\n{pools}')
    with load(door, clients=4) as outcomes:
        for pool in ("a100", "t4", "a100", "t4", "a100"):
            door.publish(f'[routes]\nm = ["{pool}"]\n{pools}')
            assert wait_until(lambda pool=pool: door.chat("m").pool == pool) < 2  # type: ignore[misc]
    assert set(outcomes) == {"t4", "a100"}, outcomes
    assert door.process.poll() is None


def test_a_new_model_on_a_new_pool_is_served_without_a_restart(open_door: OpenDoor, ollama: StartOllama) -> None:
    first, second = ollama("t4"), ollama("a100")
    door = open_door(f'[routes]\nm = ["t4"]\n[pools]\nt4 = "{first.address}"\n')
    assert door.chat("n").status == 404
    door.publish(
        f'[routes]\nm = ["t4"]\nn = ["a100", "t4"]\n[pools]\nt4 = "{first.address}"\na100 = "{second.address}"\n'
    )
    wait_until(lambda: door.chat("n").pool == "a100")
    assert "n:latest" in door.ask("GET", "/api/tags").body.decode()


def test_a_pool_that_is_not_there_yet_is_no_unknown_model(open_door: OpenDoor, ollama: StartOllama) -> None:
    pool = ollama("t4")
    text = f'[routes]\nm = ["t4"]\n[pools]\nt4 = "{pool.address}"\n'
    door = open_door(text)
    after = door.files(text.replace("t4", "a100"))
    door.publish_files({**door.files(text), "routes.json": after["routes.json"]})
    wait_until(lambda: door.chat("m").status != 200)
    answer = door.chat("m")
    assert (answer.status, answer.json) == (503, {"error": "this model is being moved, please try again"})
    door.publish_files(after)
    wait_until(lambda: door.chat("m").pool == "a100")


def test_a_stream_outlives_the_edit_that_takes_its_model_away(open_door: OpenDoor, ollama: StartOllama) -> None:
    first, second = ollama("t4"), ollama("a100")
    first.gate = threading.Semaphore(0)
    pools = f'[pools]\nt4 = "{first.address}"\na100 = "{second.address}"\n'
    door = open_door(f'[routes]\nm = ["t4"]\n{pools}')
    connection = http.client.HTTPConnection("127.0.0.1", door.port, timeout=ANSWER_SECONDS)
    try:
        connection.request("POST", "/api/chat", json.dumps({"model": "m", "stream": True, "chunks": 3}))
        first.gate.release()
        response = connection.getresponse()
        assert json.loads(response.readline())["number"] == 0
        door.publish(f'[routes]\nn = ["a100"]\n[pools]\na100 = "{second.address}"\n')
        wait_until(lambda: door.chat("m").status == 404)
        first.gate.release(2)
        assert [json.loads(line)["number"] for line in response.read().splitlines()] == [1, 2]
    finally:
        connection.close()


def test_files_that_envoy_refuses_leave_the_map_before_in_force(open_door: OpenDoor, ollama: StartOllama) -> None:
    pool = ollama("t4")
    door = open_door(f'[routes]\nm = ["t4"]\n[pools]\nt4 = "{pool.address}"\n')
    door.publish_files(dict.fromkeys(("clusters.json", "routes.json"), '{"resources": [{"@type": "nothing"}]}'))
    rejected = r"http\.door\.rds\.door\.update_(rejected|failure)"
    wait_until(lambda: door.statistic(rejected) > 0, what="Envoy refuses the files")
    assert door.chat("m").pool == "t4"
