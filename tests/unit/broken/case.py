"""What a broken file is: the good one of conftest with one change, and what its reader is told."""

from typing import Any, NamedTuple

DROP = object()
TOKEN = "sk-" + "proj-4f9a7c1e2b8d6053"
LONG = "Zm9vYmFyYmF6cXV4" * 3
PASSWORD = "hunter2"
SECRETS = (TOKEN, LONG, PASSWORD, "v1:AAAA")
"""What no message may repeat."""


class Case(NamedTuple):
    """One broken file.

    A change is a path with its new value, or with `DROP`. The path is a string with `/` between its parts, which no
    name in these files has.
    """

    title: str
    changes: dict[str, Any]
    place: str
    message: str
    """A piece of it; of several with | between them, one."""
    remedy: str
    """Likewise."""
    severity: str = "error"
    alone: bool = True
    """Whether it must be the only new error: one cause, one message."""
