"""The `engine` fixture; without the Pulumi CLI its tests are skipped by name."""

import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

import tools
from tests.engine.harness import Engine

_REMEDY = "engine tier left out: no Pulumi CLI of a fitting version; `make tools` brings it"


@pytest.fixture(scope="session")
def pulumi_cli(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder whose bin/pulumi is the CLI that `tools` finds."""
    found = tools.find("pulumi")
    if found is None:
        if os.environ.get("OLLAMA_FLEET_REQUIRE_TIERS") == "1":
            pytest.fail(_REMEDY, pytrace=False)
        pytest.skip(_REMEDY)
    root = tmp_path_factory.mktemp("cli")
    (root / "bin").mkdir()
    (root / "bin" / "pulumi").symlink_to(found)
    return root


@pytest.fixture
def engine(pulumi_cli: Path, tmp_path: Path) -> Iterator[Engine]:
    """Makes stacks on the real engine; see `tests.engine.harness`."""
    with ExitStack() as stack:
        yield Engine(pulumi_cli, tmp_path, stack)
