"""Reads the map `routes.toml` and the hand edits over it, and checks both as a whole."""

import re
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from router.routing import Endpoint, Pool, RouteMap, canonical

# the servers make a path of it
MODEL_NAME = re.compile(r"(?!.*[/:]\.{1,2}([/:]|$))[A-Za-z0-9][A-Za-z0-9_.:/-]{0,349}")
POOL_NAME = re.compile(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?")
HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?\.?")
HEAVIEST = 1_000_000
"""Envoy adds the weights of a split in 32 bits."""

UNREADABLE = (ValueError, TypeError, AttributeError, KeyError, OverflowError, RecursionError)
"""What reading JSON of any shape may raise: a number without end, brackets without end."""

OVERRIDE = "ollama-routes-override"
SECTIONS = ("routes", "pools")
HEADER = re.compile(r"\s*\[(?P<name>[^\[\]]*)\]\s*(#.*)?")
# The servers read the same text with a shell, which knows neither escapes nor single quotes nor an entry of two lines.
# `+` behind a repetition: a line of 20,000 blanks would take a minute otherwise.
ENTRY = re.compile(r"""\s*+([A-Za-z0-9_-]+|"[^"\\#]+")\s*+=\s*+([^"'\\#]|"[^"\\#]*")++(#.*)?""")
LINE_END = re.compile(r"\r?\n")
"""As a shell sees lines: `str.splitlines` would find one more behind a form feed in a comment."""
BLANK = re.compile(r"\s*(#.*)?")


@dataclass(frozen=True, kw_only=True, order=True)
class Fault:
    """One thing wrong with a map: the file, the line, the entry on it, and the cause."""

    file: str = ""
    """Empty for the map itself, which needs no name."""
    line: int = 0
    entry: str
    cause: str

    def __str__(self) -> str:
        where = f"line {self.line}" if self.line else ""
        place = " ".join(filter(None, (self.file, where)))
        return f"{place}, {self.entry}: {self.cause}" if place else f"{self.entry}: {self.cause}"


class MapError(ValueError):
    """The text is not a map that may be served. `faults` holds everything that is wrong with it."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults = tuple(sorted(faults))
        super().__init__("the map is refused:\n" + "\n".join(f"  {fault}" for fault in self.faults))


def parse(text: str, override: str = "") -> RouteMap:
    """The map that `text` holds, with the entries of `override` in the place of its own; `MapError` with every fault.

    An override may leave sections out, and changes only what the map declares: it brings no model and no pool.
    """
    reading = _Reading()
    reading.lines(text)
    reading.finish()
    _refuse(reading)
    if override.strip():
        edits = _Reading(OVERRIDE)
        edits.lines(override)
        edits.declared_by(reading)
        _refuse(edits)
        reading.take(edits)
        reading.finish()
        _refuse(reading)
    return RouteMap(pools=reading.pools, models=reading.models, aliases=reading.aliases, splits=reading.splits)


def edited(override: str) -> tuple[str, ...]:
    """The models and pools that an override names, sorted; `override` has passed `parse`."""
    edits = _Reading(OVERRIDE)
    edits.lines(override)
    return tuple(sorted({*edits.models, *edits.aliases, *edits.splits, *edits.pools}))


def _refuse(reading: "_Reading") -> None:
    if reading.faults:
        raise MapError(reading.faults)


class _Reading:
    """One pass over the lines of a map, then the checks between its entries."""

    def __init__(self, file: str = "") -> None:
        self.file = file
        self.faults: list[Fault] = []
        self.pools: dict[str, Pool] = {}
        self.models: dict[str, tuple[str, ...]] = {}
        self.aliases: dict[str, str] = {}
        self.splits: dict[str, dict[str, int]] = {}
        self._line = 0
        self._filled: set[str] = set()
        self._at: dict[tuple[str, str], tuple[str, int]] = {}
        """File and line of each entry by section and name, of the broken ones too: naming one is no second fault."""

    def lines(self, text: str) -> None:
        section: str | None = None
        seen: set[str] = set()
        for self._line, line in enumerate(LINE_END.split(text), start=1):
            if BLANK.fullmatch(line):
                continue
            if header := HEADER.fullmatch(line):
                section = header["name"].strip()
                if section not in SECTIONS:
                    self._fault(f"[{section}]", "there are only the sections [routes] and [pools]")
                elif section in seen:
                    self._fault(f"[{section}]", "the section stands twice")
                seen.add(section)
            elif section is None:
                self._fault(_excerpt(line), "it stands before the first section, [routes] or [pools]")
            elif section in SECTIONS:
                self._entry(section, line)

    def _entry(self, section: str, line: str) -> None:
        self._filled.add(section)
        if not ENTRY.fullmatch(line):
            self._fault(
                _excerpt(line), 'an entry is one line, NAME = VALUE; a name with a dot or colon stands in "..."'
            )
            return
        try:
            ((name, value),) = tomllib.loads(line).items()
        except RecursionError:
            self._fault(_excerpt(line), "it is not TOML: brackets within brackets without end")
            return
        except ValueError as error:  # a number of 5,000 digits too, which is no TOMLDecodeError
            self._fault(_excerpt(line), f"it is not TOML: {str(error).partition(' (at')[0]}")
            return
        if (section, name) in self._at:
            self._fault(name, f"it stands on line {self._at[section, name][1]} already")
            return
        self._at[section, name] = (self.file, self._line)
        if section == "pools":
            self._pool(name, value)
        else:
            self._route(name, value)

    def _pool(self, name: str, value: Any) -> None:
        if not POOL_NAME.fullmatch(name):
            self._fault(name, "a pool is named by at most 63 lower-case letters, digits and -, a letter first")
            return
        try:
            self.pools[name] = _pool(value)
        except _PoolError as wrong:
            self._fault(name, str(wrong))

    def _route(self, name: str, value: Any) -> None:
        if not MODEL_NAME.fullmatch(name):
            self._fault(name, "it is not the name of a model")
            return
        match value:
            case str():
                self.aliases[name] = value
            case list() if value and all(isinstance(pool, str) for pool in value):
                self.models[name] = tuple(value)
            case dict() if value and all(_is_weight(weight) for weight in value.values()):
                self.splits[name] = value
            case _:
                self._fault(
                    name,
                    "a route is a list of pools, the name of a model, or weights of models "
                    f"(whole numbers from 1 to {HEAVIEST})",
                )

    def declared_by(self, base: "_Reading") -> None:
        """The checks of hand edits: each entry stands in the place of one that the program wrote."""
        models = {canonical(name) for section, name in base._at if section == "routes"}
        for section, name in self._at:
            if section == "routes" and canonical(name) not in models:
                self._fault_at(
                    section, name, "the program declares no such model; `fleet.models` of the stack does that"
                )
            elif section == "pools" and (section, name) not in base._at:
                self._fault_at(section, name, "the program declares no such pool; `fleet.pools` of the stack does that")

    def take(self, edits: "_Reading") -> None:
        """The entries of `edits` in the place of those that have their names."""
        taken = {canonical(name) for section, name in edits._at if section == "routes"}
        for routes in (self.models, self.aliases, self.splits):
            for name in [name for name in routes if canonical(name) in taken]:
                del routes[name]
                del self._at["routes", name]
        self.models |= edits.models
        self.aliases |= edits.aliases
        self.splits |= edits.splits
        self.pools |= edits.pools
        self._at |= edits._at

    def finish(self) -> None:
        """The checks that need the whole map."""
        for section in SECTIONS:
            if section not in self._filled:
                self.faults.append(Fault(file=self.file, entry=f"[{section}]", cause="it has no entry"))
        self.faults += [*self._one_name_each(), *self._orders(), *self._targets(), *self._shared_pools()]

    def _one_name_each(self) -> Iterator[Fault]:
        first: dict[str, str] = {}
        for section, name in self._at:
            if section == "routes" and (other := first.setdefault(canonical(name), name)) != name:
                yield self._at_route(name, f"to Ollama it is the same name as {other}")

    def _orders(self) -> Iterator[Fault]:
        for name, order in self.models.items():
            for pool in sorted(set(order)):
                if ("pools", pool) not in self._at:
                    yield self._at_route(name, f"there is no pool {pool!r}")
                if order.count(pool) > 1:
                    yield self._at_route(name, f"the pool {pool} stands twice")

    def _targets(self) -> Iterator[Fault]:
        others = {canonical(name) for name in (*self.aliases, *self.splits)}
        declared = {canonical(name) for section, name in self._at if section == "routes"}
        for name, targets in (*((name, (to,)) for name, to in self.aliases.items()), *self.splits.items()):
            for target in targets:
                if canonical(target) in others:
                    yield self._at_route(name, f"{target!r} is not a model but an alias, which is not followed")
                elif canonical(target) not in declared:
                    yield self._at_route(name, f"there is no model {target!r}")

    def _shared_pools(self) -> Iterator[Fault]:
        """Each pool holds one copy under the name of a split, so it can be a copy of one model only."""
        orders = {canonical(name): order for name, order in self.models.items()}
        for name, targets in self.splits.items():
            taken: dict[str, str] = {}
            for target in targets:
                for pool in dict.fromkeys(orders.get(canonical(target), ())):
                    if pool in taken:
                        yield self._at_route(name, f"{taken[pool]} and {target} share the pool {pool}")
                    taken.setdefault(pool, target)

    def _at_route(self, name: str, cause: str) -> Fault:
        file, line = self._at["routes", name]
        return Fault(file=file, line=line, entry=name, cause=cause)

    def _fault_at(self, section: str, name: str, cause: str) -> None:
        file, line = self._at[section, name]
        self.faults.append(Fault(file=file, line=line, entry=name, cause=cause))

    def _fault(self, entry: str, cause: str) -> None:
        self.faults.append(Fault(file=self.file, line=self._line, entry=entry, cause=cause))


class _PoolError(Exception):
    """Why a value is not a pool."""


def _pool(value: Any) -> Pool:
    match value:
        case str():
            host, _, port = value.rpartition(":")
            return Pool(endpoints=(_endpoint(host, port),))
        case {"url": str(url)}:
            urls = [url]
        case {"urls": [str(), *_] as several} if all(isinstance(url, str) for url in several):
            urls = several
        case _:
            raise _PoolError('a pool is "host:port", {url = "..."} or {urls = ["...", ...]}, these with token = "..."')
    unknown = sorted(set(value) - {"url" if "url" in value else "urls", "token"})
    if unknown:
        raise _PoolError(f"{', '.join(unknown)} is not known beside url or urls, and token")
    token = value.get("token")
    if token is not None and not (isinstance(token, str) and POOL_NAME.fullmatch(token)):
        raise _PoolError("token is the name of a site, never the token itself")
    read = [_from_url(url) for url in urls]
    if len({tls for tls, _ in read}) > 1:
        raise _PoolError("its URLs begin all with http:// or all with https://")
    endpoints = tuple(endpoint for _, endpoint in read)
    if len(set(endpoints)) < len(endpoints):
        raise _PoolError("an address stands twice")
    return Pool(endpoints=endpoints, tls=read[0][0], token=token)


def _from_url(url: str) -> tuple[bool, Endpoint]:
    """Whether it is https, and where it leads."""
    try:
        parts = urlsplit(url)
        port = parts.port or {"http": 80, "https": 443}[parts.scheme]
    except (ValueError, KeyError):
        raise _PoolError("a URL begins with http:// or https:// and names a host") from None
    if parts.path.strip("/") or parts.query or parts.fragment or "@" in parts.netloc:
        raise _PoolError("a URL has only scheme, host and port here")
    return parts.scheme == "https", _endpoint(parts.hostname or "", str(port))


def _endpoint(host: str, port: str) -> Endpoint:
    if not HOST.fullmatch(host) or not re.fullmatch(r"[0-9]{1,5}", port) or not 0 < int(port) < 2**16:
        raise _PoolError("an address is a host name or IPv4 address, a colon and a port")
    return Endpoint(host=host, port=int(port))


def _is_weight(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value <= HEAVIEST


def _excerpt(line: str) -> str:
    """The name on a line, never its value: what stands where no value belongs may be a secret."""
    name = line.partition("=")[0].strip()
    return name if len(name) <= 60 else name[:57] + "..."
