"""The lists that the door gives for the whole fleet, in Ollama's and OpenAI's shapes, from what is in memory."""

import json
import re
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from datetime import UTC, datetime
from typing import Any

from router.facts import Facts, ModelFacts
from router.poll import Seen
from router.routing import DEFAULT_NAMESPACE, Order, RouteMap, Table, canonical, shown

NEVER = "1970-01-01T00:00:00Z"
NO_DIGEST = "0" * 64
"""Ollama's command line cuts the digest to 12 characters without looking."""

Entry = dict[str, Any]


class Lists:
    """What the fleet has at one moment."""

    def __init__(self, fleet: RouteMap, table: Table, facts: Facts, seen: Seen) -> None:
        self._fleet = fleet
        self._table = table
        self._facts = facts
        self._seen = seen
        self._texts: dict[tuple[str, AbstractSet[str] | None], str] = {}

    def text(self, path: str, only: frozenset[str] | None = None) -> str:
        """The answer to a path of `router.routes.LISTS` as JSON, with the names of `only` where it is given; made once,
        however often it is asked for."""
        if (path, only) not in self._texts:
            make = {
                "/api/tags": self.tags,
                "/api/ps": self.loaded,
                "/api/version": lambda _: self.version(),
                "/v1/models": self.models,
            }
            self._texts[path, only] = json.dumps(make[path](only), separators=(",", ":"))
        return self._texts[path, only]

    def tags(self, only: AbstractSet[str] | None = None) -> Entry:
        """/api/tags: every name that a client may ask for, as a replica shows it, else as the plan has it."""
        return {"models": [self._tag(name) for name in self._names(only)]}

    def models(self, only: AbstractSet[str] | None = None) -> Entry:
        """/v1/models: the same names."""
        return {
            "object": "list",
            "data": [
                {
                    "id": shown(name),
                    "object": "model",
                    "created": _seconds(self._tag(name)["modified_at"]),
                    "owned_by": shown(name).rpartition("/")[0] or DEFAULT_NAMESPACE.strip("/"),
                }
                for name in self._names(only)
            ],
        }

    def loaded(self, only: AbstractSet[str] | None = None) -> Entry:
        """/api/ps: what is loaded where, one entry for each name and pool."""
        names = {canonical(name): shown(name) for name in self._names(only)}
        entries: dict[tuple[str, str], Entry] = {}
        for pool in sorted(self._fleet.pools):
            for replica in self._seen.get(pool, ()):
                for entry in replica.loaded:
                    key = canonical(str(entry.get("model", "")))
                    if key in names:
                        named = {**entry, "name": names[key], "model": names[key]}
                        known = entries.get((key, pool))
                        later = known is None or str(entry.get("expires_at")) > str(known.get("expires_at"))
                        entries[key, pool] = named if later else known or named
        return {"models": [entries[key] for key in sorted(entries)]}

    def version(self) -> Entry:
        """/api/version: the lowest of the replicas, since a client may send whatever that version knows."""
        versions = [replica.version for replicas in self._seen.values() for replica in replicas]
        return {"version": min(versions, key=_comparable) if versions else self._facts.version}

    def _names(self, only: AbstractSet[str] | None) -> list[str]:
        return sorted((name for name in self._fleet.names if only is None or canonical(name) in only), key=shown)

    def _tag(self, name: str) -> Entry:
        own = {"name": shown(name), "model": shown(name)}
        for entry in self._held(canonical(name)):
            return {**entry, **own}
        facts = self._planned(name)
        return {
            **own,
            "modified_at": NEVER,
            "size": facts.size,
            "digest": facts.digest or NO_DIGEST,
            "details": dict(facts.details),
        }

    def _held(self, name: str) -> Iterator[Mapping[str, Any]]:
        """The entries of the replicas, those of the pool that is asked first before the others."""
        for pool in self._order(name):
            for replica in self._seen.get(pool, ()):
                if name in replica.models:
                    yield replica.models[name]

    def _order(self, name: str) -> Order:
        if name in self._table.orders:
            return self._table.orders[name]
        return tuple(pool for order, _ in self._table.splits.get(name, ()) for pool in order)

    def _planned(self, name: str) -> ModelFacts:
        """The plan's facts; an alias or a split has those of (the first of) its models."""
        fleet = self._fleet
        target = fleet.aliases.get(name) or next(iter(sorted(fleet.splits.get(name, {}))), name)
        return self._facts.models.get(canonical(target), ModelFacts())


def _comparable(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])


def _seconds(time: Any) -> int:
    """Seconds since 1970 of Ollama's time, whose fractions may have nine digits."""
    try:
        read = datetime.fromisoformat(re.sub(r"(\.\d{1,6})\d*", r"\1", str(time)))
    except ValueError:
        return 0
    return max(0, int((read if read.tzinfo else read.replace(tzinfo=UTC)).timestamp()))
