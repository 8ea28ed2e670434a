"""The pinned programs, read from `pins.toml`."""

import datetime as dt
import os
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


class UnknownToolError(Exception):
    """A name that `pins.toml` does not hold."""


@dataclass(frozen=True, kw_only=True)
class Installer:
    """The maker's own install script: where it is, how it is called, where it leaves the program."""

    url: str
    arguments: tuple[str, ...]
    binary: str


@dataclass(frozen=True, kw_only=True)
class Header:
    """A C header that the module lacks: from the source package `pypi`, else from the system's package `debian`."""

    file: str
    debian: str = ""
    pypi: str = ""
    sha256: str = ""


@dataclass(frozen=True, kw_only=True)
class GoBuild:
    """A program built from Go modules, in a module of its own that only requires `module`."""

    module: str
    module_version: str
    package: str
    language: str
    ldflags: str = ""
    lacks: str = ""
    replace: dict[str, str] = field(default_factory=dict)
    headers: tuple[Header, ...] = ()


@dataclass(frozen=True, kw_only=True)
class PythonEnvironment:
    """A virtual environment of the tool's own: a file of requirements below the checkout, and the program in it."""

    requirements: str
    binary: str


@dataclass(frozen=True, kw_only=True)
class Tool:
    """One pinned program. `name` is also the name of its executable."""

    name: str
    version: str
    minimum: str
    version_arguments: tuple[str, ...]
    needed_by: str
    source: str
    date: dt.date
    installer: Installer | None = None
    go: GoBuild | None = None
    debian: str = ""
    """The system's package, where neither of the two brings it."""
    python: PythonEnvironment | None = None
    only_named: bool = False
    """Too large to come with all the others: it is brought where somebody names it."""

    @property
    def cached(self) -> Path:
        """Where this machine keeps our copy, whether it is there or not."""
        return cache() / f"{self.name}-v{self.version}" / self.name


def cache() -> Path:
    """The folder for our copies: outside the checkout, so that every checkout shares them."""
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "ollama-fleet" / "tools"


def pins() -> dict[str, Tool]:
    """All pinned programs by name."""
    with Path(__file__).with_name("pins.toml").open("rb") as file:
        tables = tomllib.load(file)
    return {name: _tool(name, _whole(table, tables)) for name, table in tables.items()}


def pin(name: str) -> Tool:
    """The pinned program of that name."""
    known = pins()
    if name not in known:
        raise UnknownToolError(f"no tool {name!r} in tools/pins.toml; it has {', '.join(known)}")
    return known[name]


def _whole(table: dict[str, Any], tables: dict[str, Any]) -> dict[str, Any]:
    """The table with what its recipe takes from another program's, which `go.like` names."""
    recipe = dict(table.get("go", {}))
    other = recipe.pop("like", None)
    return {**table, "go": {**tables[other]["go"], **recipe}} if other else table


def _tool(name: str, table: dict[str, Any]) -> Tool:
    def filled(value: Any) -> Any:
        if isinstance(value, str):
            return value.replace("{version}", table["version"])
        if isinstance(value, list):
            return tuple(filled(item) for item in value)
        if isinstance(value, dict):
            return {key: filled(item) for key, item in value.items()}
        return value

    fields = filled(table)
    if "installer" in fields:
        fields["installer"] = Installer(**fields["installer"])
    if "python" in fields:
        fields["python"] = PythonEnvironment(**fields["python"])
    if "go" in fields:
        headers = tuple(Header(**header) for header in fields["go"].pop("headers", ()))
        fields["go"] = GoBuild(**fields["go"], headers=headers)
    return Tool(name=name, **fields)
