"""A change as JSON, for programs, in a shape that only grows within one `version`.

```
{"version": 1, "stack": "dev", "base": "main", "head": "working tree", "level": "replace", "verdict": ["..."],
 "keys": [{"key": "pools.t4.spot", "before": false, "after": true}], "effects": [{"key": "...", "effect": "..."}],
 "pools": [{"name": "t4", "added": false, "nodes": "replace", "reasons": ["..."], "fallbacks": {...}, ...}],
 "models": [{"name": "...", "before": ["t4"], "after": ["a100"], ...}],
 "resources": [{"urn": "...", "action": "replace", "properties": [{"path": "...", "replaces": true, ...}]}] or null,
 "usdPerMonth": {"before": {"minimum": 1, "maximum": 2}, "after": {...}},
 "risks": [...], "newWarnings": [...], "errors": [...], "notes": [...], "notChecked": "..."}
```

A key that is not there is null on that side, as one that holds null.
"""

import json
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any

from infra.change.model import FleetChange, Missing
from infra.report import change as words

VERSION = 1


def render(change: FleetChange) -> str:
    """Equal changes give equal text, which is ASCII and ends with a newline."""
    return json.dumps(document(change), indent=2, sort_keys=True) + "\n"


def document(change: FleetChange) -> dict[str, Any]:
    """The change as JSON's own types."""
    sides = {"before": change.monthly(change.before), "after": change.monthly(change.after)}
    return {
        "version": VERSION,
        "stack": change.stack,
        "base": change.base,
        "head": change.head,
        "level": str(change.level),
        "verdict": list(words.verdict(change)),
        "keys": [
            {"key": words.dotted(key.path), "before": _plain(key.before), "after": _plain(key.after)}
            for key in change.keys
        ],
        "effects": [{"key": row.key, "effect": row.effect} for row in words.rows(change) if row.effect],
        "pools": _plain(change.pools),
        "models": _plain(change.models),
        "resources": _plain(change.resources),
        "usdPerMonth": {
            side: {"minimum": round(money.minimum, 2), "maximum": round(money.maximum, 2)}
            for side, money in sides.items()
        },
        "risks": _plain(change.risks),
        "newWarnings": _plain(change.new_warnings),
        "errors": _plain(change.errors),
        "notes": list(change.notes),
        "codeCompared": change.code_compared,
        "notChecked": words.not_checked(change),
    }


def _plain(value: Any) -> Any:
    if value is Missing.MISSING:
        return None
    if isinstance(value, Enum):
        return str(value.value)
    if is_dataclass(value):
        return {_camel(one.name): _plain(getattr(value, one.name)) for one in fields(value)}
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value


def _camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(word.capitalize() for word in rest)
