"""fleet.lock.toml on disk, beside the stack files."""

import json
import os
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from infra.config.types import shown
from infra.plan.lock import Lock
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


def write(folder: Path, lock: Lock) -> None:
    """Equal locks give equal files."""
    lines = [line for name, entry in sorted(lock.models.items()) for line in _entry(name, entry.model_dump())]
    (folder / NAME).write_text(HEADER + "\n".join(lines) + "\n", encoding="utf-8")


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
