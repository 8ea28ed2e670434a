"""A request whose answer has not begun is answered elsewhere."""

import http.client
import json
import os
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from infra.local.ports import free_ports
from tests.router.conftest import OpenDoor
from tests.router.door import ANSWER_SECONDS, ROOT, Door, wait_until
from tests.router.fake_ollama import FakeOllama

StartOllama = Callable[..., FakeOllama]
REQUESTS = int(os.environ.get("OLLAMA_FLEET_KILL", "1500"))
LONGEST = 300.0
CHAT = json.dumps({"model": "m", "messages": [{"role": "user", "content": "hello"}], "stream": False}).encode()


def two_pools(first: str, second: str) -> str:
    return f'[routes]\nm = ["t4", "a100"]\n[pools]\nt4 = "{first}"\na100 = "{second}"\n'


def test_a_dead_first_pool_falls_back_to_the_next(open_door: OpenDoor, ollama: StartOllama) -> None:
    second = ollama("a100")
    door = open_door(two_pools(f"127.0.0.1:{free_ports(1)[0]}", second.address))
    answer = door.chat("m")
    assert (answer.status, answer.json, answer.pool) == (200, {"from": "a100"}, "a100")


def test_the_first_pool_takes_all_while_it_is_up(open_door: OpenDoor, ollama: StartOllama) -> None:
    first, second = ollama("t4"), ollama("a100")
    door = open_door(two_pools(first.address, second.address))
    assert {door.chat("m").pool for _ in range(50)} == {"t4"}


@pytest.mark.parametrize("status", [503, 404])
def test_a_refusal_of_the_first_pool_is_tried_at_the_next(
    open_door: OpenDoor, ollama: StartOllama, status: int
) -> None:
    """503: it is full or going. 404: it does not have the model yet."""
    first, second = ollama("t4"), ollama("a100")
    first.status = status
    door = open_door(two_pools(first.address, second.address))
    # Beyond every buffer on the way: a body that is not kept whole could not be sent twice.
    body = {"model": "m", "images": ["x" * 5_000_000]}
    for _ in range(5):
        answer = door.ask("POST", "/api/chat", body)
        assert (answer.status, answer.pool, answer.headers["x-fleet-attempts"]) == (200, "a100", "2")
    assert json.loads(second.asked[-1].body) == body
    assert len(first.asked) == 5


def test_a_refusal_of_one_replica_is_tried_at_the_other(open_door: OpenDoor, ollama: StartOllama) -> None:
    full, idle = ollama("full"), ollama("idle")
    full.status = 503
    urls = json.dumps([f"http://{replica.address}" for replica in (full, idle)])
    door = open_door(f'[routes]\nm = ["t4"]\n[pools]\nt4 = {{urls = {urls}}}\n')
    assert Counter(door.chat("m").status for _ in range(60)) == {200: 60}
    assert full.asked


def test_a_replica_that_refuses_costs_no_request_while_the_other_is_busy(
    open_door: OpenDoor, ollama: StartOllama
) -> None:
    """The one that refuses has the fewest requests in flight, so that it is the first choice of every retry too."""
    full = ollama("full")
    full.status = 503
    with killable("busy") as (_, busy):
        urls = json.dumps([f"http://{full.address}", f"http://127.0.0.1:{busy}"])
        door = open_door(f'[routes]\nm = ["t4"]\n[pools]\nt4 = {{urls = {urls}}}\n')
        with load(door, clients=8) as outcomes:
            wait_until(lambda: outcomes.total() > REQUESTS // 3, LONGEST, "they are answered")
    assert outcomes.keys() == {"busy"}, outcomes
    assert len(full.asked) > REQUESTS // 10


@pytest.mark.parametrize("status", [400, 500])
def test_an_error_of_the_model_itself_is_passed_on(open_door: OpenDoor, ollama: StartOllama, status: int) -> None:
    first, second = ollama("t4"), ollama("a100")
    first.status = status
    answer = open_door(two_pools(first.address, second.address)).chat("m")
    assert (answer.status, answer.json, answer.pool) == (status, {"error": "refused by t4"}, "t4")
    assert second.asked == []


def test_a_refusal_of_all_pools_is_the_servers_own(open_door: OpenDoor, ollama: StartOllama) -> None:
    first, second = ollama("t4"), ollama("a100")
    first.status = second.status = 503
    answer = open_door(two_pools(first.address, second.address)).chat("m")
    assert answer.status == 503
    assert answer.json["error"].startswith("refused by ")


def test_no_server_at_all_is_said_in_each_apis_shape(open_door: OpenDoor) -> None:
    first, second = (f"127.0.0.1:{port}" for port in free_ports(2))
    door = open_door(two_pools(first, second))
    message = "no server of this model is up, please try again"
    for path, shape in (
        ("/api/chat", {"error": message}),
        ("/v1/completions", {"error": {"message": message, "type": "api_error", "param": None, "code": None}}),
        ("/v1/messages", {"type": "error", "error": {"type": "overloaded_error", "message": message}}),
    ):
        answer = door.ask("POST", path, {"model": "m"})
        assert (answer.status, answer.json) == (503, shape)
        assert int(answer.headers["retry-after"]) > 0


def test_one_of_three_servers_killed_under_load_loses_nothing(open_door: OpenDoor) -> None:
    """And takes its share again when it is back. `make test-kill` sends 20,000 requests."""
    with killable("one") as (dying, first), killable("two") as (_, second), killable("three") as (_, third):
        urls = json.dumps([f"http://127.0.0.1:{port}" for port in (first, second, third)])
        door = open_door(f'[routes]\nm = ["t4"]\n[pools]\nt4 = {{urls = {urls}}}\n')
        wait_until(lambda: door.statistic("cluster.t4.membership_healthy") == 3)
        with load(door, clients=8) as outcomes:
            share = REQUESTS // 3
            wait_until(lambda: outcomes.total() > share, LONGEST, "a third is answered")
            before = Counter(outcomes)
            dying.kill()
            dying.wait()
            wait_until(lambda: outcomes.total() > 2 * share, LONGEST, "two thirds are answered")
            alone = outcomes["one"]
            with killable("one", port=first):
                wait_until(lambda: outcomes.total() > 3 * share, LONGEST, "all are answered")
                wait_until(lambda: outcomes["one"] > alone, what="the one that is back is asked")
    assert all(before[name] > share / 9 for name in ("one", "two", "three")), before
    assert outcomes.keys() == {"one", "two", "three"}, outcomes
    assert outcomes.total() >= 3 * share


@pytest.mark.parametrize("facts", [{}, {"pools": {"t4": {"spillsAt": 16}}}], ids=["waits", "spills"])
def test_a_pool_whose_servers_are_all_killed_under_load_loses_nothing_where_another_follows(
    open_door: OpenDoor, facts: object
) -> None:
    """A pool that spills is reached over a hop in the router: it tries three servers, and all are dead."""
    with ExitStack() as stack:
        dying = [stack.enter_context(killable("first")) for _ in range(4)]
        _, second = stack.enter_context(killable("second"))
        urls = json.dumps([f"http://127.0.0.1:{port}" for _, port in dying])
        routes = f'[routes]\nm = ["t4", "a100"]\n[pools]\nt4 = {{urls = {urls}}}\na100 = "127.0.0.1:{second}"\n'
        door = open_door(routes, facts=facts)
        wait_until(lambda: door.chat("m").pool == "t4")
        with load(door, clients=1) as outcomes:
            wait_until(lambda: outcomes["first"] > 100, LONGEST, "the first pool answers")
            for process, _ in dying:
                process.kill()
            wait_until(lambda: outcomes["second"] > 100, LONGEST, "the second pool answers")
    assert outcomes.keys() == {"first", "second"}, outcomes


@contextmanager
def killable(name: str, port: int = 0) -> Iterator[tuple["subprocess.Popen[str]", int]]:
    """A simulated Ollama with the model m in a process of its own, and its port."""
    behaviour = json.dumps({"parallel": 64})
    command = [sys.executable, "-m", "simulator", name, "--port", str(port), "--model", "m", "--behaviour", behaviour]
    with subprocess.Popen(command, stdout=-1, text=True, cwd=ROOT) as process:
        try:
            assert process.stdout is not None
            yield process, int(process.stdout.readline())
        finally:
            process.kill()


@contextmanager
def load(
    door: Door, clients: int, *, chat: bytes = CHAT, headers: Mapping[str, str] | None = None
) -> Iterator[Counter[str]]:
    """Chats without a pause until the end of the block. Counts who answered, and every failure as what it was."""
    outcomes: Counter[str] = Counter()
    lock = threading.Lock()
    stop = threading.Event()

    def client() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", door.port, timeout=ANSWER_SECONDS)
        while not stop.is_set():
            try:
                connection.request("POST", "/api/chat", chat, dict(headers or {}))
                response = connection.getresponse()
                body = response.read()
                outcome = who(json.loads(body)) if response.status == 200 else f"{response.status} {body!r}"
            except (OSError, http.client.HTTPException, ValueError, KeyError) as error:
                connection.close()
                outcome = repr(error)
            with lock:
                outcomes[outcome] += 1
        connection.close()

    threads = [threading.Thread(target=client, daemon=True) for _ in range(clients)]
    for thread in threads:
        thread.start()
    try:
        yield outcomes
    finally:
        stop.set()
        for thread in threads:
            thread.join(ANSWER_SECONDS)


def who(answer: dict[str, Any]) -> str:
    """The server that answered: a simulated one says it in so many words."""
    if "from" in answer:
        return str(answer["from"])
    return str(answer["message"]["content"]).partition("Server: ")[2].partition(".")[0]
