"""Pinned files of Go modules: found in our cache, else taken from the module proxy. Needs no Go."""

import hashlib
import io
import os
import tomllib
import urllib.error
import urllib.request
import zipfile
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from tools.pins import cache

_SECONDS = 60
_PROXY = "https://proxy.golang.org"


class NotFetchedError(Exception):
    """The file could not be brought; the message names the remedy."""


@dataclass(frozen=True, kw_only=True)
class File:
    """One file of one version of a module."""

    name: str
    module: str
    version: str
    file: str
    sha256: str
    needed_by: str
    source: str
    date: date

    @property
    def cached(self) -> Path:
        """Where this machine keeps it, whether it is there or not."""
        return cache() / f"{self.name}-v{self.version}" / Path(self.file).name


def files() -> dict[str, File]:
    """All pinned files by name."""
    with Path(__file__).with_name("files.toml").open("rb") as file:
        return {name: File(name=name, **table) for name, table in tomllib.load(file).items()}


def find_file(name: str) -> Path | None:
    """The file's path, if it has been brought and is what the pin says."""
    pinned = files()[name]
    return pinned.cached if pinned.cached.is_file() and _sum(pinned.cached.read_bytes()) == pinned.sha256 else None


def bring(name: str) -> str:
    """Make `find_file` succeed. Returns one line: where it was found or how it came."""
    pinned = files()[name]
    if found := find_file(name):
        return f"{name} {pinned.version}: found at {found}"
    content = _fetched(pinned)
    if _sum(content) != pinned.sha256:
        raise NotFetchedError(f"{name}: {pinned.module} holds another {pinned.file} than tools/files.toml expects")
    pinned.cached.parent.mkdir(parents=True, exist_ok=True)
    fresh = pinned.cached.with_name(f".{pinned.cached.name}.{os.getpid()}")
    fresh.write_bytes(content)
    fresh.replace(pinned.cached)
    return f"{name} {pinned.version}: from the Go module {pinned.module}, at {pinned.cached}"


def _fetched(pinned: File) -> bytes:
    given = os.environ.get("GOPROXY", "").replace("|", ",").split(",")
    proxy = next((one for one in given if one.startswith("http")), _PROXY).rstrip("/")
    path = f"{pinned.module}@v{pinned.version}/{pinned.file}"
    try:
        url = f"{proxy}/{pinned.module}/@v/v{pinned.version}.zip"
        with urllib.request.urlopen(url, timeout=_SECONDS) as reply:
            return zipfile.ZipFile(io.BytesIO(reply.read())).read(path)
    except (urllib.error.URLError, OSError, KeyError, zipfile.BadZipFile) as error:
        raise NotFetchedError(f"{pinned.name}: {proxy} did not give it ({error}); see {pinned.source}") from None


def _sum(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
