"""Which keys of the file differ, each by its path, defaults filled in."""

from collections.abc import Iterator, Mapping
from typing import Any

from infra.change.model import KeyChange, Missing
from infra.config import FleetConfig

ENTRIES = ("pools", "models", "aliases", "sites")
"""Sections whose entries come and go as a whole."""
VALUES = ({"min", "max"},)
"""Mappings that are one value to their reader."""
ABSENT = (None, Missing.MISSING)
"""A key without a value is as good as none."""


def differing(before: FleetConfig | None, after: FleetConfig | None) -> tuple[KeyChange, ...]:
    """Every key that differs. An entry, or a section, that came or went is one key."""
    return tuple(_differing(_dump(before), _dump(after), ()))


def _dump(config: FleetConfig | None) -> dict[str, Any]:
    return {} if config is None else config.model_dump(mode="json", by_alias=True)


def _differing(old: Any, new: Any, path: tuple[str, ...]) -> Iterator[KeyChange]:
    if old == new or (old in ABSENT and new in ABSENT):
        return
    both = isinstance(old, Mapping) and isinstance(new, Mapping)
    if not both or set(old) in VALUES or set(new) in VALUES:
        yield KeyChange(path=path, before=old, after=new)
        return
    for key in sorted({*old, *new}):
        before, after = old.get(key, Missing.MISSING), new.get(key, Missing.MISSING)
        # a side that is not there at all still has its entries one by one
        if path == () and key in ENTRIES:
            before, after = ({} if side is Missing.MISSING else side for side in (before, after))
        yield from _differing(before, after, (*path, key))
