"""What the process beside Envoy says: one JSON object a line, as Envoy's access log."""

import json
import sys
import threading
from datetime import UTC, datetime

_lock = threading.Lock()


def say(level: str, message: str, **fields: object) -> None:
    """One line to standard output: `level` is info, warning or error. Never a prompt, a key or a token in it."""
    line = {"time": datetime.now(UTC).isoformat(timespec="milliseconds"), "level": level, "message": message, **fields}
    with _lock:
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()
