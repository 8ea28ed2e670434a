"""What every tier shares: a run ends with each tier that it left out on one line, and with the Ollama that it ran; and
no time goes into looking for garbage among what is imported."""

import compileall
import gc
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

import tools

# A worker has imported half a million objects before its first test, the SDKs' classes above all, and they stay. To
# look through them again and again was a third of the time that the tier `program` took, and half that of collecting.
gc.set_threshold(10_000, 10, 10)
ROOT = Path(__file__).parent.parent
PACKAGES = ("components", "infra", "loadtest", "prepare", "router", "simulator")
_looked_through = 0


def pytest_configure(config: pytest.Config) -> None:
    """Where PYTHONDONTWRITEBYTECODE is set, each of a hundred processes that tests start would compile the program."""
    if not hasattr(config, "workerinput"):
        for package in PACKAGES:
            compileall.compile_dir(ROOT / package, quiet=2)


def pytest_collection_finish() -> None:
    _leave_what_is_imported()


def pytest_runtest_teardown() -> None:
    _leave_what_is_imported()


def _leave_what_is_imported() -> None:
    global _looked_through  # noqa: PLW0603
    if len(sys.modules) != _looked_through:
        _looked_through = len(sys.modules)
        gc.freeze()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reasons = Counter(str(one.longrepr[-1]).removeprefix("Skipped: ") for one in terminalreporter.getreports("skipped"))
    if reasons:
        terminalreporter.section("left out")
    for reason, tests in sorted(reasons.items()):
        terminalreporter.write_line(f"{tests:4} tests  {reason}")
    ran = [one for one in terminalreporter.getreports("passed") if one.nodeid.startswith("tests/models/")]
    if ran and (ollama := tools.find("ollama")):
        said = subprocess.run([ollama, "--version"], capture_output=True, text=True, check=False).stdout.split()
        terminalreporter.write_line(f"models tier: Ollama {said[-1] if said else 'of an unknown version'} on the CPU")
