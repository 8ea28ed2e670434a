"""`.github/scripts/release_notes.py`: a tag that is the project's version, and what changed in it."""

import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from infra import __version__

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / ".github" / "scripts" / "release_notes.py"
CHANGELOG = """# Changelog

## 0.3.0 (not released)

* Later.

## 0.2.0 (2026-12-01)

* One.
* Two.

## 0.1.0 (2026-11-21)

* First.
"""


def _script() -> Any:
    spec = importlib.util.spec_from_file_location("release_notes", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


notes = _script().notes


@pytest.mark.parametrize(("version", "text"), [("0.2.0", "* One.\n* Two.\n"), ("0.1.0", "* First.\n")])
def test_the_notes_are_that_version_s_part_alone(version: str, text: str) -> None:
    assert notes(f"v{version}", version, CHANGELOG) == text


@pytest.mark.parametrize(
    ("tag", "version", "said"),
    [
        ("v0.2.1", "0.2.0", "the tag v0.2.1 is not v0.2.0"),
        ("0.2.0", "0.2.0", "the tag 0.2.0 is not v0.2.0"),
        ("v0.3.0", "0.3.0", "has no date for 0.3.0"),
        ("v0.4.0", "0.4.0", "says nothing of 0.4.0"),
    ],
)
def test_a_tag_that_is_no_release_is_refused_with_the_remedy(tag: str, version: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        notes(tag, version, CHANGELOG)


def test_the_script_reads_this_project_s_version_and_changelog() -> None:
    wrong = subprocess.run([sys.executable, SCRIPT, "v99.0.0"], capture_output=True, text=True, check=False)
    assert (wrong.returncode, wrong.stdout) == (1, "")
    assert f"is not v{__version__}" in wrong.stderr
    assert subprocess.run([sys.executable, SCRIPT], capture_output=True, check=False).returncode == 2
