"""What differs between two sets of inputs, and what rules by path say of it."""

import enum
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Path = tuple[str | int, ...]

UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
"""Pulumi's mark of a value that exists only after the cloud has made the resource it comes from."""

# Properties of the protocol, not of the resource.
_BOOKKEEPING = {"__defaults"}


class Verdict(enum.Enum):
    """What a change of one property means for its resource."""

    NOTHING = "nothing"
    IN_PLACE = "in place"
    REPLACE = "replace"


@dataclass(frozen=True)
class Change:
    """One property that differs; `old` or `new` is None where it is absent."""

    path: Path
    old: Any
    new: Any

    @property
    def pattern(self) -> str:
        """The path with every index as `[*]`, the form in which rules name properties."""
        return pattern(self.path)

    def leaves(self) -> "Iterator[Change]":
        """The change of each scalar inside an object or list that came or went as a whole."""
        whole = self.old if self.new is None else self.new
        came_or_went = self.old is None or self.new is None
        if not came_or_went or not isinstance(whole, (Mapping, list)):
            yield self
            return
        items: Iterable[tuple[str | int, Any]]
        items = whole.items() if isinstance(whole, Mapping) else enumerate(whole)
        for key, item in items:
            added = self.old is None
            part = Change((*self.path, key), None if added else item, item if added else None)
            yield from part.leaves()


def changes(old: Any, new: Any, path: Path = ()) -> Iterator[Change]:
    """Every property that differs. An unknown new value differs from all but an unknown one."""
    if old == new:
        return
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in sorted({*old, *new} - _BOOKKEEPING):
            yield from changes(old.get(key), new.get(key), (*path, key))
    elif isinstance(old, list) and isinstance(new, list):
        for index in range(max(len(old), len(new))):
            before = old[index] if index < len(old) else None
            after = new[index] if index < len(new) else None
            yield from changes(before, after, (*path, index))
    else:
        yield Change(path, old, new)


def pattern(path: Path) -> str:
    """`("a", 0, "b")` as `a[*].b`."""
    text = ""
    for step in path:
        text += "[*]" if isinstance(step, int) else f".{step}" if text else step
    return text


def text(path: Path) -> str:
    """`("a", 0, "b.c/d")` as Pulumi writes it: `a[0]["b.c/d"]`."""
    written = ""
    for step in path:
        if isinstance(step, int):
            written += f"[{step}]"
        elif re.search(r'[."\[\]]', step):
            written += f'["{step}"]'
        else:
            written += f".{step}" if written else step
    return written


def nearest(path: Path, rules: Mapping[str, Verdict]) -> Verdict | None:
    """The rule for this path, else for its nearest ancestor that has one, else None."""
    for length in range(len(path), 0, -1):
        found = rules.get(pattern(path[:length]))
        if found is not None:
            return found
    return None


def under(path: Path, rules: Iterable[str]) -> bool:
    """Whether any rule names a property inside the one at this path."""
    start = pattern(path)
    return any(rule.startswith((f"{start}.", f"{start}[")) for rule in rules)


def verdict_by(change: Change, rules: Mapping[str, Verdict]) -> Verdict:
    """What rules by path say of a change, in place where they say nothing.

    An object that came or went is judged by its own rule, else by the strictest of its parts; one
    that became unknown might differ in any part.
    """
    own = nearest(change.path, rules)
    if own is not None:
        return own
    if UNKNOWN in (change.old, change.new) and under(change.path, rules):
        return Verdict.REPLACE
    parts = {nearest(leaf.path, rules) or Verdict.IN_PLACE for leaf in change.leaves()}
    if Verdict.REPLACE in parts:
        return Verdict.REPLACE
    return Verdict.NOTHING if parts == {Verdict.NOTHING} else Verdict.IN_PLACE
