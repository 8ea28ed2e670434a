"""Which models are in memory, and who waits for one: Ollama's scheduler without the work."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from simulator.behaviour import Behaviour
from simulator.clock import FOREVER, timestamp
from simulator.library import Model, details
from simulator.refusal import BUSY, Refused


@dataclass
class Loaded:
    """A model in memory."""

    model: Model
    context: int
    slots: asyncio.Semaphore
    keep_alive: float
    users: int = 0
    used_at: float = field(default_factory=time.time)

    @property
    def expires_at(self) -> float:
        """When it goes, unless somebody asks for it again."""
        return self.used_at + self.keep_alive


class Memory:
    """One model is loaded at a time, and requests that need a load queue for it; a loaded model answers `parallel`
    requests at once and lets any number wait."""

    def __init__(self, behaviour: Callable[[], Behaviour]) -> None:
        self._behaviour = behaviour
        self._loaded: dict[str, Loaded] = {}
        self._load = asyncio.Lock()
        self._released = asyncio.Condition()
        self.waiting = 0

    @property
    def active(self) -> int:
        """Requests that a model is answering or is about to."""
        return sum(loaded.users for loaded in self._loaded.values())

    @asynccontextmanager
    async def using(self, model: Model, context: int, keep_alive: float | None) -> AsyncIterator[None]:
        """The model in memory with that context, and one of its slots. Raises Refused when the queue is full."""
        self._expire()
        loaded = self._fitting(model, context)
        if loaded is None:
            if self._load.locked() and self.waiting >= self._behaviour().max_queue:
                raise Refused(503, BUSY)
            self.waiting += 1
            try:
                await self._load.acquire()
            finally:
                self.waiting -= 1
            try:
                loaded = self._fitting(model, context) or await self._bring(model, context)
            finally:
                self._load.release()
        loaded.users += 1
        if keep_alive is not None:
            loaded.keep_alive = keep_alive
        try:
            async with loaded.slots:
                yield
        finally:
            loaded.users -= 1
            loaded.used_at = time.time()
            self._expire()
            async with self._released:
                self._released.notify_all()

    def unload(self, model: Model) -> None:
        """Out of memory as soon as nobody uses it."""
        if loaded := self._loaded.get(model.runner):
            loaded.keep_alive = 0
            self._expire()

    def described(self) -> list[dict[str, Any]]:
        """The models of /api/ps, the last to expire first."""
        self._expire()
        return [_running(one) for one in sorted(self._loaded.values(), key=lambda one: -one.expires_at)]

    def _fitting(self, model: Model, context: int) -> Loaded | None:
        loaded = self._loaded.get(model.runner)
        return loaded if loaded is not None and loaded.context == context else None

    async def _bring(self, model: Model, context: int) -> Loaded:
        """Make room, then load. Another context is another load of the same weights."""
        while (victim := self._in_the_way(model)) is not None:
            if victim.users == 0:
                del self._loaded[victim.model.runner]
                continue
            async with self._released:
                if victim.users:
                    await self._released.wait()
        behaviour = self._behaviour()
        await asyncio.sleep(behaviour.load_seconds)
        keep_alive = FOREVER if behaviour.keep_alive < 0 else behaviour.keep_alive
        loaded = Loaded(model, context, asyncio.Semaphore(behaviour.parallel), keep_alive)
        self._loaded[model.runner] = loaded
        return loaded

    def _in_the_way(self, model: Model) -> Loaded | None:
        if model.runner in self._loaded:
            return self._loaded[model.runner]
        if len(self._loaded) < self._behaviour().max_loaded:
            return None
        return min(self._loaded.values(), key=lambda one: (one.users > 0, one.used_at))

    def _expire(self) -> None:
        now = time.time()
        for runner, one in list(self._loaded.items()):
            if one.users == 0 and one.expires_at <= now:
                del self._loaded[runner]


def _running(loaded: Loaded) -> dict[str, Any]:
    model = loaded.model
    return {
        "name": model.name,
        "model": model.name,
        "size": model.memory,
        "digest": model.digest,
        "details": details(model),
        "expires_at": timestamp(loaded.expires_at),
        "size_vram": model.memory if model.gpu_memory is None else model.gpu_memory,
        "context_length": loaded.context,
    }
