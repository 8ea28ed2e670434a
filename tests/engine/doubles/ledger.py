"""What a double remembers and what a test can ask of it or tell it."""

# ruff: noqa: A002 `id` and `type` are the protocol's words

import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Literal

from tests.engine.doubles.values import Properties, plain

Verb = Literal["create", "update", "delete", "read"]
Answer = Mapping[str, object] | Callable[[Properties], Mapping[str, object]]


@dataclass(frozen=True)
class Operation:
    """One real operation that succeeded or failed; previews leave none."""

    verb: Verb
    type: str
    name: str
    urn: str
    id: str = ""
    changed: tuple[str, ...] = ()
    failed: bool = False


@dataclass(frozen=True)
class Existing:
    """A resource that exists: created or declared with `present`, and not deleted since."""

    type: str
    id: str
    urn: str
    inputs: Properties
    outputs: Properties
    scope: str = ""


@dataclass
class Failure:
    """An order to fail; `left` counts down."""

    verb: Verb
    name: str
    type: str
    message: str
    after: bool
    left: int


@dataclass(frozen=True)
class Kept:
    """What exists and what was done, at one moment."""

    existing: Mapping[tuple[str, str, str], Existing]
    log: tuple[Operation, ...]


@dataclass
class Ledger:
    """The kept state of one double: what exists, what was done, and what a test arranged.

    Patterns are shell patterns (`t4*`) on the resource's name and type.
    """

    existing: dict[tuple[str, str, str], Existing] = field(default_factory=dict)
    log: list[Operation] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.lock = threading.RLock()
        self._failures: list[Failure] = []
        self._injected: list[tuple[str, str, Properties]] = []
        self._answers: dict[str, Answer] = {}

    def kept(self) -> Kept:
        """What this double would need to go on later, or another in its place."""
        with self.lock:
            return Kept(dict(self.existing), tuple(self.log))

    def resume(self, kept: Kept) -> None:
        """Go on where that one was."""
        with self.lock:
            self.existing, self.log = dict(kept.existing), list(kept.log)

    def fail(
        self,
        verb: Verb,
        name: str = "*",
        *,
        type: str = "*",
        message: str = "the test arranged this failure",
        times: int = 1,
        after: bool = False,
    ) -> None:
        """Let the next `times` matching operations fail with the message.

        `after=True` does the operation first and then reports that the resource did not become
        ready, as a Deployment whose pods do not start.
        """
        self._failures.append(Failure(verb, name, type, message, after, times))

    def inject(self, outputs: Properties, *, name: str = "*", type: str = "*") -> None:
        """Lay these outputs over what matching resources compute from now on."""
        self._injected.append((name, type, outputs))

    def answer(self, token: str, result: Answer) -> None:
        """Answer invokes of this function with the result, or with what it returns for the args."""
        self._answers[token] = result

    def present(self, type: str, id: str, outputs: Properties, *, scope: str = "") -> None:
        """Declare something that exists although no program of the test created it."""
        self.existing[scope, type, id] = Existing(type, id, "", outputs, outputs, scope)

    def ids(self, type: str = "*") -> list[str]:
        """The ids of what exists, sorted, of matching types."""
        return sorted(one.id for one in self._of(type))

    def find(self, id: str, type: str = "*") -> Existing:
        """The existing resource with that id; secrets in it are unwrapped by `plain`."""
        matches = [one for one in self._of(type) if one.id == id]
        if len(matches) != 1:
            raise LookupError(f"{len(matches)} resources {id!r} of type {type}: {self.ids()}")
        return matches[0]

    def operations(self, verb: str = "*", type: str = "*") -> list[Operation]:
        """The log's matching entries, in order."""
        return [one for one in self.log if fnmatchcase(one.verb, verb) and fnmatchcase(one.type, type)]

    def _of(self, type: str) -> Iterator[Existing]:
        with self.lock:
            return iter([one for one in self.existing.values() if fnmatchcase(one.type, type)])

    def take_failure(self, verb: Verb, name: str, type: str, *, after: bool) -> Failure | None:
        """The order that this operation has to obey, counted down."""
        with self.lock:
            for order in self._failures:
                matches = fnmatchcase(name, order.name) and fnmatchcase(type, order.type)
                if order.left and matches and (order.verb, order.after) == (verb, after):
                    order.left -= 1
                    return order
        return None

    def injected(self, name: str, type: str) -> list[Properties]:
        """The injected outputs for this resource, later ones last."""
        return [
            outputs
            for by_name, by_type, outputs in self._injected
            if fnmatchcase(name, by_name) and fnmatchcase(type, by_type)
        ]

    def answered(self, token: str, args: Properties) -> Mapping[str, object] | None:
        """The arranged answer to an invoke, None where there is none."""
        found = self._answers.get(token)
        return found(plain(args)) if callable(found) else found
