"""What pools differ in: whether they hand on what they have no room for, and which routes their image has."""

import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tests.router.conftest import OpenDoor
from tests.router.door import ANSWER_SECONDS, Answer, Door, ask, wait_until
from tests.router.fake_ollama import FakeOllama

StartOllama = Callable[..., FakeOllama]
SPILLS = {"pools": {"t4": {"spillsAt": 2}}}


@contextmanager
def queued(door: Door, model: str, count: int, *pools: FakeOllama) -> Iterator[list[Answer]]:
    """Requests one after the other, each sent on before the next comes, to servers that take every request, as Ollama
    does for a loaded model, and answer none until the end."""
    answers: list[Answer] = []
    threads = []
    gates = [threading.Semaphore(0) for _ in pools]
    for pool, gate in zip(pools, gates, strict=True):
        pool.gate = gate
    try:
        for number in range(1, count + 1):
            threads.append(
                threading.Thread(target=lambda: answers.append(door.chat(model, stream=True, chunks=1)), daemon=True)
            )
            threads[-1].start()
            wait_until(lambda number=number: in_flight(door) >= number)  # type: ignore[misc]
        yield answers
    finally:
        for pool, gate in zip(pools, gates, strict=True):
            pool.gate = None
            gate.release(1000)
        for thread in threads:
            thread.join(ANSWER_SECONDS)


def open_when_warm(open_door: OpenDoor, text: str, facts: object) -> Door:
    """A new Envoy probes itself before it listens, so in its first second a pool that spills is taken to be down."""
    door = open_door(text, facts=facts)
    wait_until(lambda: door.chat("m").pool == "t4")
    return door


def in_flight(door: Door) -> int:
    text = ask(door.metrics_port, "GET", "/metrics/pools").body.decode()
    return sum(int(line.rpartition(" ")[2]) for line in text.splitlines() if not line.startswith("#"))


def two(first: FakeOllama, second: FakeOllama, routes: str = 'm = ["t4", "a100"]') -> str:
    return f'[routes]\n{routes}\n[pools]\nt4 = "{first.address}"\na100 = "{second.address}"\n'


def test_a_pool_that_spills_hands_on_what_it_has_no_room_for(open_door: OpenDoor, ollama: StartOllama) -> None:
    first, second = ollama("t4"), ollama("a100")
    door = open_when_warm(open_door, two(first, second), SPILLS)
    assert {door.chat("m").pool for _ in range(10)} == {"t4"}
    before = len(first.asked)
    with queued(door, "m", 2, first):
        wait_until(lambda: len(first.asked) == before + 2)
        spilled = [door.chat("m") for _ in range(10)]
        assert Counter(answer.pool for answer in spilled) == {"a100": 10}
        assert {answer.headers["x-fleet-attempts"] for answer in spilled} == {"2"}
        assert len(first.asked) == before + 2
    wait_until(lambda: door.chat("m").pool == "t4")


def test_a_pool_that_waits_keeps_what_comes(open_door: OpenDoor, ollama: StartOllama) -> None:
    first, second = ollama("t4"), ollama("a100")
    door = open_door(two(first, second))
    with queued(door, "m", 6, first) as answers:
        wait_until(lambda: len(first.asked) == 6)
        assert answers == []
    assert second.asked == []


def test_a_model_with_nowhere_else_to_go_waits_and_counts(open_door: OpenDoor, ollama: StartOllama) -> None:
    first, second = ollama("t4"), ollama("a100")
    door = open_when_warm(open_door, two(first, second, 'm = ["t4", "a100"]\nn = ["t4"]'), SPILLS)
    before = len(first.asked)
    with queued(door, "n", 4, first) as answers:
        wait_until(lambda: len(first.asked) == before + 4)
        wait_until(lambda: in_flight(door) == 4)  # a probe that takes long is one more
        assert door.chat("m").pool == "a100"
        assert answers == []


def test_the_last_pool_of_an_order_waits_though_it_spills(open_door: OpenDoor, ollama: StartOllama) -> None:
    first, second = ollama("t4"), ollama("a100")
    facts = {"pools": {"t4": {"spillsAt": 1}, "a100": {"spillsAt": 1}}}
    door = open_when_warm(open_door, two(first, second), facts)
    before = len(first.asked), len(second.asked)
    with queued(door, "m", 5, first, second) as answers:
        wait_until(lambda: len(first.asked) + len(second.asked) == 5 + sum(before))
        assert answers == []
        assert len(first.asked) == 1 + before[0]


def test_room_grows_with_the_replicas(open_door: OpenDoor, ollama: StartOllama) -> None:
    replicas, other = [ollama("t4"), ollama("t4")], ollama("a100")
    urls = json.dumps([f"http://{replica.address}" for replica in replicas])
    routes = '[routes]\nm = ["t4", "a100"]\n'
    door = open_door(f'{routes}[pools]\nt4 = {{urls = {urls}}}\na100 = "{other.address}"\n', facts=SPILLS)
    wait_until(lambda: door.chat("m").pool == "t4")
    for replica in replicas:
        replica.models = {"m:latest": "a" * 64}
    wait_until(lambda: '"max_requests":4,' in door.files()["clusters.json"].replace(" ", ""))
    wait_until(lambda: door.metric("ollama_fleet_map_changes_total") >= 2)
    before = sum(len(replica.asked) for replica in replicas)
    with queued(door, "m", 4, *replicas):
        wait_until(lambda: sum(len(replica.asked) for replica in replicas) == before + 4)
        assert door.chat("m").pool == "a100"


def test_a_spilling_pool_that_is_dead_falls_back_as_any_other(open_door: OpenDoor, ollama: StartOllama) -> None:
    first, second = ollama("t4"), ollama("a100")
    door = open_door(two(first, second), facts=SPILLS)
    assert first.server is not None
    first.server.shutdown()
    first.server.server_close()
    assert Counter(door.chat("m").pool for _ in range(50)) == {"a100": 50}


LACKS = {"pools": {"k80": {"missing": ["/v1/responses", "/api/status"]}}}
K80 = """
[routes]
both = ["k80", "t4"]
"alone:3b" = ["k80"]
elsewhere = ["t4"]
alias = "alone:3b"
split = {{"alone:3b" = 50, elsewhere = 50}}
[pools]
k80 = "{k80}"
t4 = "{t4}"
"""


@pytest.fixture
def lacking(open_door: OpenDoor, ollama: StartOllama) -> Door:
    """A door before a pool whose image lacks a route."""
    return open_door(K80.format(k80=ollama("k80").address, t4=ollama("t4").address), facts=LACKS)


def test_a_pool_whose_image_lacks_a_route_is_skipped_for_it_alone(lacking: Door) -> None:
    def pools(path: str, model: str) -> set[str | None]:
        return {lacking.ask("POST", path, {"model": model}).pool for _ in range(10)}

    for model in ("both", "elsewhere", "split"):
        assert pools("/v1/responses", model) == {"t4"}
    assert pools("/v1/chat/completions", "both") == {"k80"}
    assert pools("/v1/chat/completions", "alone:3b") == {"k80"}
    assert {lacking.chat("split").pool for _ in range(40)} == {"k80", "t4"}


def test_a_route_that_no_pool_of_the_model_has_is_501_with_the_reason(lacking: Door) -> None:
    for model in ("alone:3b", "alias"):
        answer = lacking.ask("POST", "/v1/responses", {"model": model})
        assert answer.status == 501
        error = answer.json["error"]
        assert error["message"] == f"no server of '{model}' has /v1/responses: the image of its pools lacks it"
    assert lacking.ask("POST", "/v1/responses", {"model": "none"}).status == 404
