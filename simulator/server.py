"""One simulated server: its name, its models, what is in memory, how it behaves."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Collection, Iterable
from dataclasses import dataclass
from typing import Any

from simulator.behaviour import Behaviour
from simulator.library import Library, Model
from simulator.memory import Memory

VERSION = "0.32.15"
"""Which Ollama it speaks as, unless told otherwise."""

NEWER = (0, 32)
"""What differs between 0.17.4 and 0.32.15 (both read on 2026-11-21) is taken to begin here."""

Pace = Callable[[], Awaitable[None]]


@dataclass(frozen=True)
class Asked:
    """A request as it arrived."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class Server:
    """What the routes act on. On the paths that it `lacks` it answers 404, as an older Ollama does. `heard` is told of
    every request but those of the control route; `pace` is awaited before every token, in place of
    `tokens_per_second`."""

    def __init__(
        self,
        name: str,
        models: Iterable[Model] = (),
        behaviour: Behaviour | None = None,
        *,
        version: str = VERSION,
        lacks: Collection[str] = (),
        heard: Callable[[Asked], None] | None = None,
        pace: Pace | None = None,
    ) -> None:
        self.name = name
        self.library = Library.of(models)
        self.behaviour = behaviour or Behaviour()
        self.version = version
        self.newer = tuple(int(part) for part in re.findall(r"\d+", version)[:2]) >= NEWER
        self.memory = Memory(lambda: self.behaviour)
        self.lacks = frozenset(lacks)
        self.requests = 0
        self._heard = heard
        self._pace = pace

    def hear(self, asked: Asked) -> None:
        """Count a request and pass it on."""
        self.requests += 1
        if self._heard:
            self._heard(asked)

    def fails(self, model: str) -> str:
        """The failure that requests for this model meet now."""
        behaviour = self.behaviour
        return behaviour.failure if not behaviour.only or model in behaviour.only else "none"

    async def next_token(self) -> None:
        """Wait until the next token is there."""
        if self._pace:
            await self._pace()
        elif rate := self.behaviour.tokens_per_second:
            await asyncio.sleep(1 / rate)

    def state(self) -> dict[str, Any]:
        """What the control route shows."""
        return {
            "name": self.name,
            "version": self.version,
            "behaviour": vars(self.behaviour),
            "models": sorted(model.name for model in self.library.models.values()),
            "loaded": [model["name"] for model in self.memory.described()],
            "active": self.memory.active,
            "waiting": self.memory.waiting,
            "requests": self.requests,
        }
