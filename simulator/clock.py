"""Times and durations as Go writes and reads them."""

import re
import time
from typing import Any

FOREVER = 292 * 365.0 * 86400
"""Go's longest duration, which Ollama takes for a negative one."""

_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_PART = re.compile(r"(\d+\.?\d*|\.\d+)(ns|us|µs|ms|s|m|h)")


def timestamp(seconds: float | None = None) -> str:
    """`seconds` since the epoch, or now: RFC 3339 in UTC with nine digits."""
    whole, nanoseconds = divmod(time.time_ns() if seconds is None else int(seconds * 10**9), 10**9)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(whole))}.{nanoseconds:09d}Z"


def nanoseconds(seconds: float) -> int:
    """A duration as Go writes it."""
    return int(seconds * 10**9)


def duration(value: Any) -> float:
    """Seconds of a `keep_alive`: a number, or a text such as 1h30m; negative is for ever. Raises ValueError."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return FOREVER if value < 0 else float(value)
    if not isinstance(value, str):
        raise ValueError(f"invalid duration {value!r}")  # noqa: TRY004 - wrong in a request, not in a program
    text = value.strip()
    sign, text = (-1, text[1:]) if text.startswith("-") else (1, text.removeprefix("+"))
    parts = _PART.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ValueError(f'time: invalid duration "{value}"')
    return FOREVER if sign < 0 else sum(float(number) * _UNITS[unit] for number, unit in parts)
