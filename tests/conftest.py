"""What every tier shares: a run ends with each tier that it left out on one line, not with one line for each test."""

from collections import Counter

import pytest


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reasons = Counter(str(one.longrepr[-1]).removeprefix("Skipped: ") for one in terminalreporter.getreports("skipped"))
    if reasons:
        terminalreporter.section("left out")
    for reason, tests in sorted(reasons.items()):
        terminalreporter.write_line(f"{tests:4} tests  {reason}")
