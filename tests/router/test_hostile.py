"""Two hundred requests that mean harm, each with its right answer, and as many more as one asks for."""

import json
import os
import re
import socket
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.router.conftest import Fleet
from tests.router.door import Door, wait_until
from tests.router.fake_ollama import FakeOllama
from tests.router.hostile import GOOD, KEY, Attack, mutated, table

ATTACKS = table()
MANAGEMENT = re.compile(
    r"/api/(pull|push|create|copy|delete|blobs|me|signout|user|experimental)|/v1/audio", re.IGNORECASE
)
MUTATIONS = int(os.environ.get("OLLAMA_FLEET_FUZZ", "300"))
AT_ONCE = 20
"""Many a mutation is an unfinished request: the door waits for its rest, and `send` for the door."""


@pytest.fixture(scope="module")
def fleet(envoy: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """A closed door before two pools."""
    with ExitStack() as stack:
        pools = {name: stack.enter_context(FakeOllama(name).running()) for name in ("t4", "k80")}
        addresses = "\n".join(f'{name} = "{pool.address}"' for name, pool in pools.items())
        text = f'[routes]\nm = ["t4"]\nn = ["k80"]\n[pools]\n{addresses}\n'
        rules = {"keys": {"everyone": {}}, "clientOptions": "refuse", "contexts": {"m": 8192, "n": 8192}}
        folder = tmp_path_factory.mktemp("hostile") / "door"
        door = Door(envoy, folder, text, rules=rules, keys={"everyone": KEY}, python=sys.executable)
        stack.callback(door.close)
        yield Fleet(door, pools)


def send(port: int, request: bytes) -> bytes:
    """Everything that comes back until the other side is done, or has been silent for a moment."""
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        answer = b""
        try:
            connection.sendall(request)
            connection.settimeout(1.0)
            while b"\r\n\r\n" not in answer:
                piece = connection.recv(65536)
                if not piece:
                    break
                answer += piece
        except OSError:
            pass
        return answer


def status_of(answer: bytes) -> int | None:
    found = re.match(rb"HTTP/1\.[01] (\d{3})", answer)
    return int(found[1]) if found else None


def test_there_are_two_hundred_attacks_and_no_two_are_the_same() -> None:
    assert len({attack.request for attack in ATTACKS}) == len(ATTACKS) >= 200


@pytest.mark.parametrize("attack", ATTACKS, ids=[re.sub(r"[^ -~]", "?", attack.title)[:60] for attack in ATTACKS])
def test_an_attack_gets_its_status_and_reaches_no_closed_route(fleet: Fleet, attack: Attack) -> None:
    before = fleet.asked_in_all
    answer = send(fleet.door.port, attack.request)
    assert status_of(answer) in attack.statuses, answer[:300]
    assert b"x-injected" not in answer.partition(b"\r\n\r\n")[0].lower()
    assert KEY.encode() not in answer
    _no_harm(fleet)
    if not attack.passes:
        assert fleet.asked_in_all == before
    elif status_of(answer) == 200:
        arrived = fleet.pools["t4"].asked[-1]
        assert (arrived.path, arrived.body, "x-b" in arrived.headers) == ("/api/chat", GOOD, False)
        assert not set(arrived.headers) & {"x-api-key", "authorization", "x-ollama-model"}


def test_a_body_of_33_megabytes_passes_and_one_beyond_the_limit_does_not(fleet: Fleet) -> None:
    headers = {"x-api-key": KEY}
    for size, status in ((33_000_000, 200), (34_000_000, 413)):
        answer = fleet.door.ask("POST", "/api/chat", json.dumps({"model": "m", "x": "x" * size}).encode(), headers)
        assert answer.status == status
    _no_harm(fleet)


def test_mutations_of_the_attacks_do_no_harm(fleet: Fleet) -> None:
    """`make fuzz` sends more of them; a failure names the seed, or one that was sent at about the same time."""
    with ThreadPoolExecutor(AT_ONCE) as clients:
        answers = clients.map(lambda seed: send(fleet.door.port, mutated(seed)), range(MUTATIONS))
        for seed, answer in enumerate(answers):
            assert KEY.encode() not in answer.partition(b"\r\n\r\n")[0], seed
            _no_harm(fleet, str(seed))
    wait_until(lambda: fleet.door.ask("POST", "/api/chat", {"model": "m"}, {"x-api-key": KEY}).status == 200)


def _no_harm(fleet: Fleet, what: str = "") -> None:
    assert fleet.door.envoy.poll() is None, what
    for pool in fleet.pools.values():
        assert not [one.path for one in pool.asked if MANAGEMENT.match(one.path.partition("?")[0])], what
