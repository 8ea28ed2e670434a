"""The `fleet` tool in a hostile shell: closed and full outputs, a locale without UTF-8, packages that are missing."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from infra.__main__ import main

ROOT = Path(__file__).parent.parent.parent
FULL = Path("/dev/full")
STACK = """config:
  gcp:project: my-project
  ollama-fleet:fleet:
    gke: {location: us-central1-c}
    pools: {t4: {gpu: t4}}
    models:
      llama3.1:8b: [t4]
      bot: {pools: [t4], modelfile: "FROM llama3.1:8b\\nSYSTEM Sprich wie Käthe\\n"}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "Pulumi.dev.yaml").write_text(STACK, encoding="utf-8")
    return tmp_path


def shell(line: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[bytes]:
    """One line of a shell, with `$FLEET` for the tool and the stack's folder as its own."""
    variables = os.environ | {"PYTHONPATH": str(ROOT), "FLEET": f"{sys.executable} -m infra"} | environment
    return subprocess.run(["/bin/sh", "-c", line], cwd=folder, env=variables, capture_output=True, check=False)


def test_it_runs_from_any_folder(folder: Path) -> None:
    assert shell("$FLEET plan", folder).stdout.endswith(b"warnings\n")


def test_a_closed_output_changes_no_status(folder: Path) -> None:
    done = shell("$FLEET plan >&-", folder)
    assert (done.returncode, done.stderr) == (0, b"")
    assert shell("$FLEET plan --stack nope >&- 2>&-", folder).returncode == 2


@pytest.mark.skipif(not FULL.exists(), reason="this machine has no /dev/full")
@pytest.mark.parametrize("command", ["plan", "plan --format json", "schema"])
def test_a_full_disk_is_told_without_a_traceback(folder: Path, command: str) -> None:
    done = shell(f"$FLEET {command} >{FULL}", folder)
    assert done.returncode == 2
    assert done.stderr.startswith(b"error  standard output: it cannot be used: No space left")
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize("command", ["plan", "plan --format markdown", "plan --format json"])
def test_a_locale_without_utf_8_gets_the_plan(folder: Path, command: str) -> None:
    done = shell(f"$FLEET {command}", folder, PYTHONIOENCODING="ascii")
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_document_is_utf_8_in_every_locale(folder: Path) -> None:
    done = shell("$FLEET manifests", folder, PYTHONIOENCODING="ascii")
    assert done.returncode == 0, done.stderr
    assert "Käthe" in done.stdout.decode("utf-8")


def test_missing_packages_are_told_with_the_command_that_brings_them(folder: Path) -> None:
    done = shell(f"{sys.executable} -S -m infra plan", folder)
    assert done.returncode == 2
    assert b"the package pydantic is not installed" in done.stderr
    assert b"make plan" in done.stderr


def test_no_home_is_no_hindrance(folder: Path) -> None:
    done = shell("env -u HOME $FLEET plan", folder)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--port", "abc", "a port is a number from 1 to 65535"),
        ("--port", "99999", "a port is a number from 1 to 65535"),
        ("--load-seconds", "soon", "it is a number, 0 or more"),
        ("--tokens-per-second", "-1", "it is a number, 0 or more"),
    ],
)
def test_an_option_that_is_no_number_is_refused_in_words(
    option: str, value: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(["local", option, value])
    assert capsys.readouterr().err.splitlines()[-1] == f"fleet local: error: argument {option}: {said}"
