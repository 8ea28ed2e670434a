"""What a replica lists, as far as it has the form that Ollama gives it.

The door hands it on in its own name, and one entry that a client cannot read would cost it the whole list.
"""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

LONGEST = 1000
"""Characters of one text, and entries of a list within an entry."""
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)", re.ASCII)
DIGEST = re.compile(r"[0-9a-f]{64}")
VERSION = re.compile(r"\d{1,9}(\.\d{1,9}){0,3}([+-][0-9A-Za-z.+-]{0,60})?", re.ASCII)

Form = Callable[[Any], bool]


def moment(text: str) -> datetime:
    """Ollama's time, whose fractions may have nine digits. ValueError where it is none."""
    read = datetime.fromisoformat(re.sub(r"(\.\d{1,6})\d*", r"\1", text))
    return read if read.tzinfo else read.replace(tzinfo=UTC)


def _text(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= LONGEST and value.isprintable()


def _number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63


def _texts(value: Any) -> bool:
    return value is None or (isinstance(value, list) and len(value) <= LONGEST and all(map(_text, value)))


def _digest(value: Any) -> bool:
    return isinstance(value, str) and DIGEST.fullmatch(value) is not None


def _time(value: Any) -> bool:
    if not isinstance(value, str) or not TIME.fullmatch(value):
        return False
    try:
        moment(value)
    except ValueError:
        return False
    return True


DETAILS: Mapping[str, Form] = {
    **dict.fromkeys(("parent_model", "format", "family", "parameter_size", "quantization_level"), _text),
    **dict.fromkeys(("context_length", "embedding_length"), _number),
    "families": _texts,
}
FIELDS: Mapping[str, Form] = {
    **dict.fromkeys(("model", "name", "remote_model", "remote_host"), _text),
    **dict.fromkeys(("size", "size_vram", "context_length"), _number),
    **dict.fromkeys(("modified_at", "expires_at"), _time),
    "digest": _digest,
    "capabilities": _texts,
}
"""Of /api/tags and /api/ps (api/types.go of Ollama 0.32.15: ListModelResponse, ProcessModelResponse)."""


def entries(read: Any) -> list[dict[str, Any]]:
    """The entries of a list that name a model, each with its fields that have their form."""
    return [_entry(entry) for entry in read["models"] if isinstance(entry, dict) and _text(entry.get("model"))]


def version(read: Any) -> str:
    """Of a server; empty where it says none."""
    found = read["version"]
    return found if isinstance(found, str) and VERSION.fullmatch(found) else ""


def _entry(entry: Mapping[str, Any]) -> dict[str, Any]:
    kept = _formed(entry, FIELDS)
    details = entry.get("details")
    return kept | {"details": _formed(details, DETAILS)} if isinstance(details, dict) else kept


def _formed(entry: Mapping[str, Any], forms: Mapping[str, Form]) -> dict[str, Any]:
    return {field: entry[field] for field, fits in forms.items() if field in entry and fits(entry[field])}
