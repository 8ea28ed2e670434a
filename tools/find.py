"""Where a pinned program is on this machine."""

import re
import shutil
import subprocess
from pathlib import Path

from tools.pins import Tool, pin

_VERSION_SECONDS = 20


def find(name: str) -> Path | None:
    """The program's path: a new enough one on PATH, else our cached copy, else None."""
    tool = pin(name)
    on_path = shutil.which(tool.name)
    if on_path and new_enough(tool, version_of(tool, Path(on_path))):
        return Path(on_path)
    return tool.cached if tool.cached.is_file() else None


def version_of(tool: Tool, program: Path) -> str | None:
    """The version that the program prints, as `1.2.3`; None where it prints none."""
    try:
        done = subprocess.run(
            [program, *tool.version_arguments],
            capture_output=True,
            text=True,
            timeout=_VERSION_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.search(r"\d+\.\d+\.\d+", done.stdout)
    return found.group() if done.returncode == 0 and found else None


def new_enough(tool: Tool, version: str | None) -> bool:
    """Whether that version is at least the pin's minimum."""
    return version is not None and _numbers(version) >= _numbers(tool.minimum)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))
