"""fleet.lock.toml on disk, beside the stack files."""

import json
import os
import shutil
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from infra.config.types import shown
from infra.plan.lock import Lock, Locked
from infra.problem import error
from infra.stack import UnreadableError, read_text

NAME = "fleet.lock.toml"
REMEDY = "remove it, and run fleet pin again"
HEADER = "# Written by `fleet add` and `fleet pin`: what registries had on a day. Commit it.\n"


def read(folder: Path) -> Lock:
    """The lock of a folder; an empty one where there is none. Raises UnreadableError."""
    path = folder / NAME
    if not os.path.lexists(path):
        return Lock()
    try:
        return Lock.model_validate(tomllib.loads(read_text(path, REMEDY)))
    except ValidationError as failure:
        wrong = failure.errors()[0]
        place = " ".join(shown(str(step)).strip("'") for step in wrong["loc"])
        raise UnreadableError(
            error(NAME, f"it is not what `fleet pin` writes: {place}: {wrong['msg']}", REMEDY)
        ) from None
    except (ValueError, RecursionError):
        raise UnreadableError(error(NAME, "it is not TOML, which `fleet pin` writes", REMEDY)) from None


@contextmanager
def one_at_a_time(folder: Path) -> Iterator[None]:
    """Whoever else reads and writes a file of this folder meanwhile waits; the kernel lets go when its holder ends."""
    import fcntl

    held = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield
    finally:
        os.close(held)


def lay_over(folder: Path, entries: Mapping[str, Locked]) -> None:
    """Writes entries into the file; what somebody else wrote there since it was read last is kept."""
    with one_at_a_time(folder):
        write(folder, Lock(models={**read(folder).models, **entries}))


def write(folder: Path, lock: Lock) -> None:
    """Equal locks give equal files."""
    lines = [line for name, entry in sorted(lock.models.items()) for line in _entry(name, entry.model_dump())]
    replace(folder / NAME, HEADER + "\n".join(lines) + "\n")


def replace(path: Path, text: str) -> None:
    """Writes a file in one step: whoever stops this half-way, or reads meanwhile, meets the old one whole."""
    target = path.resolve()
    beside = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        beside.write_text(text, encoding="utf-8")
        if target.exists():
            shutil.copymode(target, beside)
        beside.replace(target)
    finally:
        beside.unlink(missing_ok=True)


def _entry(name: str, values: dict[str, Any]) -> Iterator[str]:
    yield f"\n[models.{json.dumps(name)}]"
    for key, value in values.items():
        if isinstance(value, dict):
            inner = ", ".join(f"{field} = {number}" for field, number in value.items() if number is not None)
            yield f"{key} = {{{inner}}}"
        elif isinstance(value, str):
            yield f"{key} = {json.dumps(value)}"
        elif value is not None:
            yield f"{key} = {value}"
