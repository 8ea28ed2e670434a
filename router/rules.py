"""What the door asks of a request before any pool sees it: `door.json` beside the map, and the mounted keys."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from router.reading import Fault, MapError
from router.routing import RouteMap, canonical

FILE = "door.json"
LARGEST_BODY = 32 * 2**20
NAME = re.compile(r"[a-z0-9]([-a-z0-9_.]{0,61}[a-z0-9])?")
DIGEST = re.compile(r"[0-9a-f]{64}")
NO_CONTEXT = 0
"""Of a name whose models have different contexts, or none that anybody planned."""


@dataclass(frozen=True, kw_only=True)
class Key:
    """A key, of which only the SHA-256 is known here, and what its bearer may do."""

    digest: str
    models: tuple[str, ...] = ()
    """Names that it may ask for; none: every name."""
    requests_per_minute: int | None = None


@dataclass(frozen=True, kw_only=True)
class Rules:
    """Everything that is asked. As it comes, nobody is let in."""

    keys: Mapping[str, Key] | None = field(default_factory=dict)
    """By name; None: no key is asked for."""
    refuses_options: bool = True
    """Whether options that undo the plan's memory figures are refused."""
    contexts: Mapping[str, int] = field(default_factory=dict)
    """The planned context by canonical name."""
    max_body: int = LARGEST_BODY
    """Bytes of one request."""
    origins: tuple[str, ...] = ()
    """Web pages that may call the door from a browser."""

    def on(self, fleet: RouteMap) -> "Rules":
        """These rules with every name of `fleet` in them: an alias has the context of its model, and whoever may ask
        for a model may ask for it by its aliases. A split is a name of its own."""
        targets = {canonical(alias): canonical(model) for alias, model in fleet.aliases.items()}
        contexts = {canonical(name): NO_CONTEXT for name in fleet.names}
        for name in contexts:
            contexts[name] = self.contexts.get(targets.get(name, name), NO_CONTEXT)
        for name, weights in fleet.splits.items():
            parts = {self.contexts.get(canonical(model), NO_CONTEXT) for model in weights}
            contexts[canonical(name)] = parts.pop() if len(parts) == 1 else NO_CONTEXT
        return replace(
            self,
            contexts=contexts,
            keys=None
            if self.keys is None
            else {name: replace(key, models=_with_aliases(key.models, targets)) for name, key in self.keys.items()},
        )


OPEN = Rules(keys=None, refuses_options=False)
"""Nothing is asked."""


def _with_aliases(models: tuple[str, ...], targets: Mapping[str, str]) -> tuple[str, ...]:
    names = {canonical(model) for model in models}
    return tuple(sorted(names | {alias for alias, model in targets.items() if model in names}))


def parse(text: str, digests: Mapping[str, str]) -> Rules:
    """The rules of door.json with the digests of the keys by name, or `MapError`. No message holds a digest."""
    try:
        read = json.loads(text)
        asked = {"keys": True, "none": False}[read["auth"]]
        rules = Rules(
            keys={name: _key(name, entry, digests) for name, entry in read["keys"].items()} if asked else None,
            refuses_options={"refuse": True, "pass": False}[read["clientOptions"]],
            contexts={canonical(name): int(context) for name, context in read["contexts"].items()},
            max_body=int(read["maxBody"]),
            origins=tuple(map(str, read["origins"])),
        )
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        raise MapError(
            [Fault(file=FILE, entry="it", cause=f"cannot be read: {type(error).__name__} {error}")]
        ) from None
    if rules.keys is not None and not rules.keys:
        raise MapError([Fault(file=FILE, entry="keys", cause="names no key, so nobody could be let in")])
    return rules


def _key(name: str, entry: Mapping[str, Any], digests: Mapping[str, str]) -> Key:
    if not NAME.fullmatch(name):
        raise MapError([Fault(file=FILE, entry="keys", cause="one has a name that is none")])
    digest = digests.get(name, "").strip()
    if not DIGEST.fullmatch(digest):
        cause = "is not the SHA-256 of a key in 64 hex digits" if name in digests else "is not there"
        raise MapError([Fault(file="keys", entry=name, cause=cause)])
    limit = entry.get("requestsPerMinute")
    if limit is not None and not 1 <= int(limit) < 2**31:
        raise MapError([Fault(file=FILE, entry=f"keys.{name}", cause="has a limit that is none")])
    models = entry.get("models")
    if models is not None and not (isinstance(models, list) and models):
        # taken for no list, it would let the key in everywhere
        raise MapError([Fault(file=FILE, entry=f"keys.{name}", cause="has a list of models that is none or empty")])
    return Key(
        digest=digest,
        models=tuple(map(str, models or ())),
        requests_per_minute=None if limit is None else int(limit),
    )


class RuleFiles:
    """The mounted rules and keys, and the last good state of both."""

    def __init__(self, folder: Path, keys: Path | None) -> None:
        self._file = folder / FILE
        self._keys = keys
        self._seen: object = None
        self.rules: Rules | None = None
        """None until there was a good state."""
        self.faults: tuple[str, ...] = ()
        """Why the files as they stand are not the rules in force."""

    def look(self) -> bool:
        """Whether anything is different from the last look."""
        found: tuple[str, dict[str, str]] | str
        try:
            found = self._file.read_text(), self._digests()
        except FileNotFoundError:
            found = f"{FILE} is not there"
        except (OSError, UnicodeDecodeError) as error:
            found = f"{FILE} or a key cannot be read: {type(error).__name__}"
        if found == self._seen:
            return False
        self._seen = found
        if isinstance(found, str):
            self.faults = (found,)
            return True
        try:
            self.rules, self.faults = parse(*found), ()
        except MapError as refused:
            self.faults = tuple(map(str, refused.faults))
        return True

    def _digests(self) -> dict[str, str]:
        """Small files, read at each look: a Secret's are links that lead through one directory that is swapped."""
        if self._keys is None or not self._keys.is_dir():
            return {}
        return {file.name: file.read_text() for file in sorted(self._keys.iterdir()) if NAME.fullmatch(file.name)}
