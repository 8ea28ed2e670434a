"""Pools that sleep: who asks waits and is answered, within bounds; and what is counted meanwhile."""

import http.client
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from signal import SIGCONT, SIGSTOP
from typing import Any

import pytest

from infra.local.ports import free_ports
from infra.plan.router import MEMORY_LIMIT
from router import overload
from tests.router.conftest import OpenDoor
from tests.router.door import ANSWER_SECONDS, KEPT_FOR, Answer, Door, ask, wait_until
from tests.router.fake_ollama import FakeOllama
from tests.router.test_drain import listens

StartOllama = Callable[..., FakeOllama]
DIGEST = "a" * 64
MODELS = {"m:latest": DIGEST, "n:latest": DIGEST}
MEGABYTE = "x" * 1_000_000
STALLS = 4
STALLED, RUNS = 1.2, 0.05
"""Seconds. Envoy gives itself one for a connection."""
LONGER_THAN_A_ROUTE = 16
"""Seconds. A route without a timeout of its own has 15 in Envoy, the longest default that a test can outlast."""


def sleeps(pool: str = "t4", **more: object) -> dict[str, Any]:
    """What the plan tells the router of a pool that may sleep."""
    return {"pools": {pool: {"sleeps": {"wake": "hold", "holdFor": 120, "heldAtMost": 200, "startsWithin": 60} | more}}}


def figure(door: Door, name: str, pool: str = "t4") -> float:
    """What the autoscaler reads."""
    for path in ("/metrics/pools", "/metrics"):
        for line in ask(door.metrics_port, "GET", path).body.decode().splitlines():
            key, _, value = line.rpartition(" ")
            if key == f'{name}{{pool="{pool}"}}':
                return float(value)
    raise AssertionError(f"no {name} of {pool}")


def in_flight(door: Door, pool: str = "t4") -> float:
    return figure(door, "ollama_fleet_pool_requests_in_flight", pool)


def memory(door: Door) -> int:
    """Bytes that Envoy takes."""
    status = Path(f"/proc/{door.envoy.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmRSS"))


class Sleeping:
    """A pool whose server is not there until it is woken."""

    def __init__(self, stack: ExitStack, name: str = "t4") -> None:
        self._stack = stack
        (self.port,) = free_ports(1)
        self.fake = FakeOllama(name, at=self.port, models=MODELS)
        self.address = f"127.0.0.1:{self.port}"

    def wake(self) -> None:
        self._stack.enter_context(self.fake.running())


@pytest.fixture
def sleeping() -> Iterator[Callable[..., Sleeping]]:
    """Pools that sleep: `sleeping()`; those that woke are stopped at the end of the test."""
    with ExitStack() as stack:
        yield lambda name="t4": Sleeping(stack, name)


@contextmanager
def waiting(door: Door, count: int, body: dict[str, Any] | None = None, patience: float = 60) -> Iterator[list[Answer]]:
    """That many requests at a time, each by a client of its own."""
    answers: list[Answer] = []

    def one() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", door.port, timeout=patience)
        try:
            connection.request("POST", "/api/chat", json.dumps({"model": "m", **(body or {})}))
            response = connection.getresponse()
            headers = {name.lower(): value for name, value in response.getheaders()}
            answers.append(Answer(response.status, headers, response.read()))
        finally:
            connection.close()

    threads = [threading.Thread(target=one, daemon=True) for _ in range(count)]
    for thread in threads:
        thread.start()
    yield answers
    for thread in threads:
        thread.join(patience)
    assert len(answers) == count


def alone(pool: Sleeping) -> str:
    return f'[routes]\nm = ["t4"]\n[pools]\nt4 = "{pool.address}"\n'


def two(first: str, second: str) -> str:
    return f'[routes]\nm = ["t4", "a100"]\n[pools]\nt4 = "{first}"\na100 = "{second}"\n'


def further(first: str, second: str) -> str:
    """Of two models on a pool, one has a further pool behind it. A split sends half of its requests to the other."""
    routes = 'm = ["t4"]\nn = ["t4", "a100"]\no = ["a100"]\nsplit = {m = 1, o = 1}\n'
    return f'[routes]\n{routes}[pools]\nt4 = "{first}"\na100 = "{second}"\n'


def test_requests_wait_for_a_pool_that_sleeps_and_stream_from_it_when_it_is_up(
    open_door: OpenDoor, sleeping: Callable[..., Sleeping]
) -> None:
    pool = sleeping()
    door = open_door(alone(pool), facts=sleeps())
    with waiting(door, 5, {"stream": True, "chunks": 3}) as answers:
        wait_until(lambda: in_flight(door) == 5)
        assert answers == []
        pool.wake()
        wait_until(lambda: len(answers) == 5)
    assert Counter((answer.status, answer.pool, answer.body.count(b"\n")) for answer in answers) == {(200, "t4", 3): 5}
    wait_until(lambda: in_flight(door) == 0)
    assert door.chat("m").pool == "t4"


def test_two_hundred_large_requests_wait_through_a_wake_and_are_all_answered(
    open_door: OpenDoor, sleeping: Callable[..., Sleeping]
) -> None:
    pool = sleeping()
    door = open_door(alone(pool), facts=sleeps())
    before = memory(door)
    with waiting(door, 200, {"prompt": MEGABYTE, "stream": True, "chunks": 3}, patience=120) as answers:
        wait_until(lambda: in_flight(door) == 200, 60)
        time.sleep(LONGER_THAN_A_ROUTE)
        assert in_flight(door) == 200
        held = memory(door)
        # or the router would give up requests
        assert door.statistic("overload.envoy.resource_monitors.fixed_heap.pressure") < 100 * overload.FROM
        one_more = door.chat("m")
        assert (one_more.status, one_more.headers["retry-after"]) == (503, "30")
        assert "too many requests wait" in one_more.json["error"]
        # the process beside Envoy is not in their path
        door.restart_control()
        assert answers == []
        pool.wake()
        wait_until(lambda: len(answers) == 200, 60)
    assert Counter((answer.status, answer.pool, answer.body.count(b"\n")) for answer in answers) == {
        (200, "t4", 3): 200
    }
    assert {len(one.body) > 1_000_000 for one in pool.fake.asked} == {True}
    wait_until(lambda: in_flight(door) == 0)
    print(f"memory of Envoy: {before / 2**20:.0f} MiB before, {held / 2**20:.0f} MiB with 200 MB waiting")  # noqa: T201
    assert held < overload.FROM * MEMORY_LIMIT


def test_who_waits_waits_on_while_the_machine_stalls(open_door: OpenDoor, sleeping: Callable[..., Sleeping]) -> None:
    """Each try connects anew where the one before sent more than was read. One that took too long was a 502."""
    pool = sleeping()
    door = open_door(alone(pool), facts=sleeps())
    with waiting(door, 200, {"prompt": MEGABYTE}) as answers:
        wait_until(lambda: in_flight(door) == 200, 60)
        for _ in range(STALLS):
            door.envoy.send_signal(SIGSTOP)
            time.sleep(STALLED)
            door.envoy.send_signal(SIGCONT)
            time.sleep(RUNS)
        assert answers == []
        pool.wake()
    assert Counter(answer.status for answer in answers) == {200: 200}


def test_the_bound_on_those_who_wait_is_one_for_all_models_of_a_pool(
    open_door: OpenDoor, sleeping: Callable[..., Sleeping], ollama: StartOllama
) -> None:
    pool, other = sleeping(), ollama("a100")
    door = open_door(further(pool.address, other.address), facts=sleeps(heldAtMost=3))
    with waiting(door, 2) as alone_here, waiting(door, 1, {"model": "n"}) as with_another:
        wait_until(lambda: in_flight(door) == 3)
        assert [door.chat(model).status for model in ("m", "n")] == [503, 503]
        assert in_flight(door) == 3
        pool.wake()
    assert Counter((one.status, one.pool) for one in (*alone_here, *with_another)) == {(200, "t4"): 3}
    assert other.asked == []


def test_who_waited_for_a_pool_that_is_then_busy_waits_on_only_where_no_other_pool_is_left(
    open_door: OpenDoor, sleeping: Callable[..., Sleeping], ollama: StartOllama
) -> None:
    pool, other = sleeping(), ollama("a100")
    door = open_door(further(pool.address, other.address), facts=sleeps())
    with (
        waiting(door, 2) as alone_here,
        waiting(door, 8, {"model": "split"}) as of_a_split,
        waiting(door, 2, {"model": "n"}) as with_another,
    ):
        wait_until(lambda: in_flight(door) + len(of_a_split) == 12)
        pool.fake.status = 503
        pool.wake()
        wait_until(lambda: len(with_another) == 2)
        assert alone_here == []
        pool.fake.status = 200
    assert Counter((one.status, one.pool) for one in with_another) == {(200, "a100"): 2}
    assert Counter((one.status, one.pool) for one in alone_here) == {(200, "t4"): 2}
    assert Counter(one.status for one in of_a_split) == {200: 8}


def test_no_client_says_for_itself_that_it_waits_on(
    open_door: OpenDoor, sleeping: Callable[..., Sleeping], ollama: StartOllama
) -> None:
    pool, other = sleeping(), ollama("a100")
    door = open_door(further(pool.address, other.address), facts=sleeps())
    answers: list[Answer] = []
    asked = {"model": "n"}, {"x-fleet-to-the-end": "yes"}
    client = threading.Thread(target=lambda: answers.append(door.ask("POST", "/api/chat", *asked)), daemon=True)
    client.start()
    wait_until(lambda: in_flight(door) == 1)
    pool.fake.status = 503
    pool.wake()
    client.join(ANSWER_SECONDS)
    assert [(one.status, one.pool) for one in answers] == [(200, "a100")]


def test_a_client_that_leaves_frees_its_place(open_door: OpenDoor, sleeping: Callable[..., Sleeping]) -> None:
    pool = sleeping()
    door = open_door(alone(pool), facts=sleeps(heldAtMost=2))
    leaver = http.client.HTTPConnection("127.0.0.1", door.port, timeout=ANSWER_SECONDS)
    leaver.request("POST", "/api/chat", json.dumps({"model": "m"}))
    with waiting(door, 1) as answers:
        wait_until(lambda: in_flight(door) == 2)
        assert door.chat("m").status == 503
        leaver.close()
        wait_until(lambda: in_flight(door) == 1, 1)
        with waiting(door, 1) as others:
            wait_until(lambda: in_flight(door) == 2)
            pool.wake()
    assert [answer.status for answer in (*answers, *others)] == [200, 200]


def test_a_pool_that_is_busy_as_soon_as_it_is_up_loses_nobody(
    open_door: OpenDoor, sleeping: Callable[..., Sleeping]
) -> None:
    pool = sleeping()
    door = open_door(alone(pool), facts=sleeps())
    with waiting(door, 20) as answers:
        wait_until(lambda: in_flight(door) == 20)
        pool.fake.status = 503
        pool.wake()
        wait_until(lambda: len(pool.fake.asked) >= 20)
        assert answers == []
        pool.fake.status = 200
    assert Counter(answer.status for answer in answers) == {200: 20}


def test_a_request_that_kills_servers_is_not_tried_for_ever(
    open_door: OpenDoor, sleeping: Callable[..., Sleeping]
) -> None:
    pool = sleeping()
    door = open_door(alone(pool), facts=sleeps())
    with waiting(door, 1) as answers:
        wait_until(lambda: in_flight(door) == 1)
        pool.fake.status = 500
        pool.wake()
    assert [answer.status for answer in answers] == [500]
    assert len(pool.fake.asked) == 1


REASONS = {
    "/api/chat": ("error",),
    "/v1/chat/completions": ("error", "message"),
    "/v1/messages": ("error", "message"),
}
"""Where an answer of each API has its reason."""


def test_a_pool_that_never_wakes_ends_in_504_with_the_reason(
    open_door: OpenDoor, sleeping: Callable[..., Sleeping]
) -> None:
    door = open_door(alone(sleeping()), facts=sleeps(holdFor=3))
    start = time.monotonic()
    with ThreadPoolExecutor(len(REASONS)) as clients:
        answers = dict(
            zip(REASONS, clients.map(lambda path: door.ask("POST", path, {"model": "m"}), REASONS), strict=True)
        )
    assert 2 <= time.monotonic() - start < 10
    for path, answer in answers.items():
        text: Any = answer.json
        for key in REASONS[path]:
            text = text[key]
        assert (answer.status, text) == (504, "pool t4 did not start within 3 s, please try again")
    assert in_flight(door) == 0


def test_when_the_first_pool_never_wakes_the_next_one_answers(
    open_door: OpenDoor, sleeping: Callable[..., Sleeping], ollama: StartOllama
) -> None:
    other = ollama("a100")
    door = open_door(two(sleeping().address, other.address), facts=sleeps(holdFor=1))
    answer = door.chat("m")
    assert (answer.status, answer.pool) == (200, "a100")
    assert len(other.asked) == 1


def test_with_a_fallback_the_next_pool_answers_at_once_and_the_first_one_is_wanted(
    open_door: OpenDoor, sleeping: Callable[..., Sleeping], ollama: StartOllama
) -> None:
    first, other = sleeping(), ollama("a100")
    door = open_door(two(first.address, other.address), facts=sleeps(wake="fallback"))
    assert (in_flight(door), in_flight(door, "a100")) == (0, 0)
    start = time.monotonic()
    answers = [door.chat("m") for _ in range(5)]
    assert time.monotonic() - start < 2
    assert Counter((answer.status, answer.pool) for answer in answers) == {(200, "a100"): 5}
    wait_until(lambda: in_flight(door) == 1, what="the first pool is wanted")
    assert figure(door, "ollama_fleet_pool_waking_seconds_left") <= 60
    first.wake()
    wait_until(lambda: door.chat("m").pool == "t4")


def test_with_a_fallback_that_sleeps_too_requests_wait_for_the_first_pool(
    open_door: OpenDoor, sleeping: Callable[..., Sleeping]
) -> None:
    first, other = sleeping(), sleeping("a100")
    facts = {"pools": sleeps(wake="fallback")["pools"] | sleeps("a100")["pools"]}
    door = open_door(two(first.address, other.address), facts=facts)
    with waiting(door, 3) as answers:
        wait_until(lambda: in_flight(door) >= 3)
        assert in_flight(door, "a100") == 0
        first.wake()
    assert Counter((answer.status, answer.pool) for answer in answers) == {(200, "t4"): 3}


def test_an_edit_of_the_map_takes_the_place_of_nobody_who_waits(
    open_door: OpenDoor, sleeping: Callable[..., Sleeping], ollama: StartOllama
) -> None:
    pool, other = sleeping(), ollama("a100")
    door = open_door(alone(pool), facts=sleeps())
    with waiting(door, 5) as answers:
        wait_until(lambda: in_flight(door) == 5)
        door.publish(f'[routes]\nm = ["a100"]\n[pools]\na100 = "{other.address}"\n')
        wait_until(lambda: door.metric("ollama_fleet_map_changes_total") == 2)
        assert door.chat("m").pool == "a100"
        # longer than a cluster outlives its last route in these tests
        time.sleep(3 * float(KEPT_FOR))
        assert answers == []
        pool.wake()
    assert Counter((answer.status, answer.pool) for answer in answers) == {(200, "t4"): 5}
    wait_until(lambda: not any(name.startswith("t4") for name in door.clusters()))


def test_a_router_that_leaves_keeps_those_who_wait(open_door: OpenDoor, sleeping: Callable[..., Sleeping]) -> None:
    pool = sleeping()
    door = open_door(alone(pool), facts=sleeps(), drain_limit=60)
    with waiting(door, 5) as answers:
        wait_until(lambda: in_flight(door) == 5)
        stopping = threading.Thread(target=door.stop_as_the_kubelet_does)
        stopping.start()
        wait_until(lambda: not listens(door.port), what="it takes no connection any more")
        # it looks five times a second whether the last one has gone
        time.sleep(1)
        assert in_flight(door) == 5
        assert door.envoy.poll() is None
        pool.wake()
        wait_until(lambda: len(answers) == 5)
    stopping.join(ANSWER_SECONDS)
    assert Counter(answer.status for answer in answers) == {200: 5}
    assert '"cut_off": 0' in door.log()


def test_a_pool_with_one_server_well_of_two_lets_nobody_wait(
    open_door: OpenDoor, ollama: StartOllama, sleeping: Callable[..., Sleeping]
) -> None:
    well, gone = ollama("t4"), sleeping()
    pools = f't4 = {{urls = ["http://{well.address}", "http://{gone.address}"]}}'
    door = open_door(f'[routes]\nm = ["t4"]\n[pools]\n{pools}\n', facts=sleeps())
    wait_until(lambda: door.chat("m").status == 200)
    start = time.monotonic()
    assert Counter(door.chat("m").status for _ in range(100)) == {200: 100}
    assert time.monotonic() - start < 2 * 20
    assert door.statistic(r"cluster\.t4~held\.upstream_rq_total") <= 1


def test_the_router_tells_how_many_wait_and_for_how_long_still(
    open_door: OpenDoor, sleeping: Callable[..., Sleeping]
) -> None:
    pool = sleeping()
    door = open_door(alone(pool), facts=sleeps(startsWithin=40))
    with waiting(door, 3):
        wait_until(lambda: b"waking_waiting{" in ask(door.metrics_port, "GET", "/metrics").body)
        wait_until(lambda: figure(door, "ollama_fleet_pool_waking_waiting") == 3)
        assert 20 < figure(door, "ollama_fleet_pool_waking_seconds_left") <= 40
        wait_until(lambda: figure(door, "ollama_fleet_pool_waking_seconds_left") < 39)
        pool.wake()
    wait_until(lambda: b"waking_waiting{" not in ask(door.metrics_port, "GET", "/metrics").body, 20)


def test_a_pool_that_is_up_and_busy_hands_on_to_the_next_one(open_door: OpenDoor, ollama: StartOllama) -> None:
    first, other = ollama("t4"), ollama("a100")
    door = open_door(two(first.address, other.address), facts=sleeps())
    first.status = 503
    start = time.monotonic()
    assert Counter((one.status, one.pool) for one in (door.chat("m") for _ in range(5))) == {(200, "a100"): 5}
    assert time.monotonic() - start < 5


def test_a_pool_that_spills_and_sleeps_hands_on_in_both_cases(
    open_door: OpenDoor, ollama: StartOllama, sleeping: Callable[..., Sleeping]
) -> None:
    first, other = sleeping(), ollama("a100")
    facts = sleeps(wake="fallback")
    facts["pools"]["t4"]["spillsAt"] = 1
    door = open_door(two(first.address, other.address), facts=facts)
    assert door.chat("m").pool == "a100"
    first.wake()
    wait_until(lambda: door.chat("m").pool == "t4")
    first.fake.gate = threading.Semaphore(0)
    before = len(first.fake.asked)
    with waiting(door, 1, {"stream": True, "chunks": 1}):
        wait_until(lambda: len(first.fake.asked) == before + 1)
        assert door.chat("m").pool == "a100"
        first.fake.gate.release()
