"""Every manifest of every example through checkov: nothing that is not explained in checkov.toml."""

import json
import subprocess
import tomllib
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest

import tools
from infra.commands.manifests import render
from tests.program.conftest import STACKS
from tests.program.test_sidecar import example
from tests.required import leave_out

EXCEPTIONS = tomllib.loads(Path(__file__).with_name("checkov.toml").read_text())["exceptions"]


@pytest.fixture(scope="module")
def complaints(program_of: Any, tmp_path_factory: pytest.TempPathFactory) -> list[tuple[str, str]]:
    """Check and resource of all that checkov finds, with nothing left out."""
    checkov = tools.find("checkov")
    if checkov is None:
        leave_out("lint of the manifests left out: no checkov; `make tools` brings it")
    folder = tmp_path_factory.mktemp("manifests")
    for stack in STACKS:
        if text := render(program_of(stack).known).strip():
            (folder / f"{stack}.yaml").write_text(text)
    (folder / "sidecar.yaml").write_text(render(example()))
    command = [checkov, "-d", folder, "--framework", "kubernetes", "--skip-download", "--compact", "--quiet"]
    done = subprocess.run([*command, "-o", "json"], capture_output=True, text=True, check=False)
    found = json.loads(done.stdout)
    assert found["summary"]["parsing_errors"] == 0
    assert found["summary"]["passed"] > 1000
    return [(one["check_id"], one["resource"]) for one in found["results"]["failed_checks"]]


def explains(exception: dict[str, str], complaint: tuple[str, str]) -> bool:
    return exception["check"] == complaint[0] and fnmatch(complaint[1], exception["about"])


def test_no_manifest_has_what_is_not_explained(complaints: list[tuple[str, str]]) -> None:
    assert [one for one in complaints if not any(explains(exception, one) for exception in EXCEPTIONS)] == []


def test_no_exception_is_left_over(complaints: list[tuple[str, str]]) -> None:
    assert [one for one in EXCEPTIONS if not any(explains(one, complaint) for complaint in complaints)] == []


def test_every_exception_says_why() -> None:
    assert all(len(one["why"]) > 20 for one in EXCEPTIONS)
