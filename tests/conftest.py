"""What every tier shares: a run ends with each tier that it left out on one line, and with the Ollama that it ran."""

import subprocess
from collections import Counter

import pytest

import tools


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
