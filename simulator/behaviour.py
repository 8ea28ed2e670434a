"""How a simulated server behaves, and how it fails: set at the start and while it runs."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

FAILURES = ("none", "busy", "missing", "error", "cut", "silent")


class BehaviourError(ValueError):
    """A switch that does not exist, or a value that it does not take."""


@dataclass(frozen=True, kw_only=True)
class Behaviour:
    """The switches. Without any of them every answer comes at once and none fails."""

    load_seconds: float = 0.0
    """Until a model that is not in memory is."""
    tokens_per_second: float = 0.0
    """0: as fast as they are written."""
    tokens: int = 0
    """Length of a text that nothing else bounds; 0: one sentence."""
    parallel: int = 1
    """OLLAMA_NUM_PARALLEL: requests that a loaded model answers at a time. More wait, without limit."""
    max_queue: int = 512
    """OLLAMA_MAX_QUEUE: requests that wait for a model to be loaded. More get 503."""
    max_loaded: int = 3
    """OLLAMA_MAX_LOADED_MODELS."""
    keep_alive: float = 300.0
    """OLLAMA_KEEP_ALIVE in seconds; negative: for ever."""
    failure: str = "none"
    """busy: 503. missing: 404. error: 500, or in the stream once it has begun. cut: the connection breaks. silent:
    nothing is ever answered, health checks included."""
    after: int = 0
    """Tokens that an `error` or a `cut` lets through."""
    only: tuple[str, ...] = ()
    """Models that fail; empty: all."""

    def __post_init__(self) -> None:
        for field in fields(self):
            _check(field.name, getattr(self, field.name), type(field.default))
        if self.failure not in FAILURES:
            raise BehaviourError(f"failure: {self.failure!r} is not one of {', '.join(FAILURES)}")
        for name, least in (("parallel", 1), ("max_loaded", 1), ("max_queue", 0), ("after", 0), ("tokens", 0)):
            if getattr(self, name) < least:
                raise BehaviourError(f"{name}: it is at least {least}")
        if self.load_seconds < 0 or self.tokens_per_second < 0:
            raise BehaviourError("load_seconds, tokens_per_second: they are not negative")

    def changed(self, changes: Any) -> "Behaviour":
        """This behaviour with other switches set, named in a mapping. Raises BehaviourError."""
        if not isinstance(changes, Mapping):
            raise BehaviourError("switches are one JSON object")
        known = {field.name: type(field.default) for field in fields(self)}
        if unknown := sorted(set(changes) - set(known)):
            raise BehaviourError(f"{', '.join(unknown)}: not one of {', '.join(known)}")
        typed = {name: _plain(value, known[name]) for name, value in changes.items()}
        return replace(self, **typed)


def _plain(value: Any, kind: type) -> Any:
    """JSON has lists where a switch has tuples."""
    return tuple(value) if kind is tuple and isinstance(value, list) else value


def _check(name: str, value: Any, kind: type) -> None:
    fits = isinstance(value, (int, float) if kind is float else kind) and not (
        kind is not bool and isinstance(value, bool)
    )
    if not fits or (kind is tuple and not all(isinstance(item, str) for item in value)):
        words = {float: "a number", int: "a whole number", str: "a word", tuple: "a list of names"}
        raise BehaviourError(f"{name}: it is {words[kind]}")
