"""The fixtures of the monitoring tier; without Prometheus its tests are skipped by name."""

import os

import pytest

import tools

REMEDY = "monitoring tier left out: no promtool and prometheus; `apt-get install prometheus` brings them"


def program(name: str) -> str:
    found = tools.find(name)
    if found is None:
        if os.environ.get("OLLAMA_FLEET_REQUIRE_TIERS") == "1":
            pytest.fail(REMEDY, pytrace=False)
        pytest.skip(REMEDY)
    return str(found)


@pytest.fixture(scope="session")
def promtool() -> str:
    return program("promtool")


@pytest.fixture(scope="session")
def prometheus() -> str:
    return program("prometheus")
