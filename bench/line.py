"""The line to a site and those who ask for its models, for bench/sites.py: each a process of its own, so that neither
takes its turns with what measures."""

import asyncio
import json
import multiprocessing
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection

from tests.router.relay import Mode, Relay

SPAWN = multiprocessing.get_context("spawn")
PATIENCE = 60.0
"""Seconds: longer than any answer here, so that none is given up."""


@dataclass
class Answers:
    """What clients of a site's models got in the phases of one name."""

    outcomes: dict[str, int] = field(default_factory=dict)
    """By the pool that answered, else by status; `broken` without an answer."""
    slowest: float = 0.0
    """Seconds."""

    def add(self, outcome: str, seconds: float) -> None:
        """One more answer."""
        self.outcomes[outcome] = self.outcomes.get(outcome, 0) + 1
        self.slowest = max(self.slowest, seconds)


@dataclass(frozen=True)
class Asked:
    """Who asks where for what: `rate` requests a second, due whether the ones before are answered or not."""

    port: int
    models: Sequence[str]
    key: str
    rate: float


@contextmanager
def relay(target: int) -> Iterator[tuple[int, Callable[[Mode], None]]]:
    """A line to `target`: its port here, and what makes it fail or be well again."""
    with _process(_relay, target) as pipe:
        yield pipe.recv(), pipe.send


@contextmanager
def clients(asked: Asked) -> Iterator[tuple[Callable[[str], None], Callable[[], dict[str, Answers]]]]:
    """What names the phase that begins now, and what ends it all and gives the answers by the phase of their start."""
    with _process(_clients, asked) as pipe:

        def end() -> dict[str, Answers]:
            pipe.send(None)
            found: dict[str, Answers] = pipe.recv()
            return found

        yield pipe.send, end


@contextmanager
def _process(work: Callable[..., None], *arguments: object) -> Iterator[Connection]:
    near, far = SPAWN.Pipe()
    process = SPAWN.Process(target=work, args=(*arguments, far), daemon=True)
    process.start()
    far.close()
    try:
        yield near
    finally:
        process.terminate()
        process.join()


def _relay(target: int, pipe: Connection) -> None:
    line = Relay(target)
    pipe.send(line.port)
    while True:
        line.become(pipe.recv())


def _clients(asked: Asked, pipe: Connection) -> None:
    pipe.send(asyncio.run(_ask(asked, pipe)))


async def _ask(asked: Asked, pipe: Connection) -> dict[str, Answers]:
    phase, answers, running = "", dict[str, Answers](), set[asyncio.Task[None]]()
    number, due = 0, time.monotonic()
    while phase is not None:
        while pipe.poll():
            phase = pipe.recv()
        if phase is None:
            break
        task = asyncio.create_task(
            _one(asked, asked.models[number % len(asked.models)], answers.setdefault(phase, Answers()))
        )
        running.add(task)
        task.add_done_callback(running.discard)
        number, due = number + 1, due + 1 / asked.rate
        await asyncio.sleep(max(0.0, due - time.monotonic()))
    await asyncio.gather(*running)
    return answers


async def _one(asked: Asked, model: str, answers: Answers) -> None:
    """One chat on a connection of its own."""
    body = json.dumps({"model": model, "stream": False, "messages": [{"role": "user", "content": "hello"}]}).encode()
    head = (
        f"POST /api/chat HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\nconnection: close\r\n"
        f"authorization: Bearer {asked.key}\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    start = time.monotonic()
    try:
        async with asyncio.timeout(PATIENCE):
            reader, writer = await asyncio.open_connection("127.0.0.1", asked.port)
            writer.write(head.encode() + body)
            answer = await reader.read()
            writer.close()
    except (OSError, TimeoutError):
        answer = b""
    answers.add(_outcome(answer), time.monotonic() - start)


def _outcome(answer: bytes) -> str:
    lines = answer.partition(b"\r\n\r\n")[0].decode("latin-1").lower().split("\r\n")
    if not lines[0].startswith("http/"):
        return "broken"
    status = lines[0].split()[1]
    pool = next((line.partition(": ")[2] for line in lines if line.startswith("x-fleet-pool: ")), status)
    return pool if status == "200" else status
