"""What the plan knows of models and pools and `routes.toml` has no place for: `facts.json` beside it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from router.reading import UNREADABLE, Fault, MapError
from router.routing import Sleeper, canonical

FILE = "facts.json"


@dataclass(frozen=True, kw_only=True)
class ModelFacts:
    """A model as its plan has it, for as long as no replica shows it."""

    size: int = 0
    digest: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class PoolFacts:
    """What a pool's server can, and how much of it."""

    missing: tuple[str, ...] = ()
    """Routes that its image does not have."""
    spills_at: int | None = None
    """Requests at a time on one replica beyond which the next pool is asked; None: they wait."""
    sleeper: Sleeper | None = None
    """How it is waited for; None: it has a server at any time."""


@dataclass(frozen=True, kw_only=True)
class Facts:
    """All of it. Models by canonical name."""

    version: str = "0.0.0"
    """Of Ollama, the lowest that the plan has."""
    models: Mapping[str, ModelFacts] = field(default_factory=dict)
    pools: Mapping[str, PoolFacts] = field(default_factory=dict)

    def pool(self, name: str) -> PoolFacts:
        """Of a pool, known or not."""
        return self.pools.get(name, PoolFacts())


def parse(text: str) -> Facts:
    """The facts that `text` holds, or `MapError`. Keys that are not known are left for a later version."""
    try:
        read = json.loads(text)
        return Facts(
            version=str(read.get("version", Facts.version)),
            models={canonical(name): _model(entry) for name, entry in read.get("models", {}).items()},
            pools={name: _pool(entry) for name, entry in read.get("pools", {}).items()},
        )
    except UNREADABLE as error:
        raise MapError([Fault(file=FILE, entry="it", cause=f"cannot be read: {error}")]) from None


def _model(entry: Mapping[str, Any]) -> ModelFacts:
    return ModelFacts(
        size=int(entry.get("size", 0)), digest=str(entry.get("digest", "")), details=dict(entry.get("details", {}))
    )


def _pool(entry: Mapping[str, Any]) -> PoolFacts:
    spills_at = entry.get("spillsAt")
    sleeps = entry.get("sleeps")
    return PoolFacts(
        missing=tuple(map(str, entry.get("missing", ()))),
        spills_at=None if spills_at is None else int(spills_at),
        sleeper=None if sleeps is None else _sleeper(sleeps),
    )


def _sleeper(entry: Mapping[str, Any]) -> Sleeper:
    return Sleeper(
        hold_for=int(entry["holdFor"]),
        held_at_most=int(entry["heldAtMost"]),
        starts_within=int(entry["startsWithin"]),
        fallback=entry.get("wake") == "fallback",
    )
