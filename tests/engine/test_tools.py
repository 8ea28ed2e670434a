"""`tools`: how a pinned program is found or brought, with stand-ins for Go and the installer."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import tools
from tools.install import NotInstalledError, ensure
from tools.pins import PythonEnvironment, Tool, pin

ROOT = Path(__file__).parents[2]
UNREACHABLE = "http://127.0.0.1:1/"


def says(path: Path, version: str) -> Path:
    """A program that prints a version."""
    return script(path, f"echo v{version}")


def script(path: Path, body: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder for programs on PATH beside the system's shell; the cache is empty too."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    system = tmp_path / "system"
    system.mkdir()
    for name in ("sh", "cp", "mkdir", "chmod", "sleep"):
        (system / name).symlink_to(f"/bin/{name}")
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:{system}")
    return folder


@pytest.fixture
def pulumi() -> Tool:
    """The pin of Pulumi, its installer out of reach."""
    tool = pin("pulumi")
    assert tool.installer
    return replace(tool, installer=replace(tool.installer, url=UNREACHABLE))


def fake_go(path: Path, version: str) -> None:
    """A `go build -o OUTPUT PACKAGE` that makes a program printing the version, and counts."""
    says(path / "made", version)
    script(path / "go", f'echo >> {path}/builds; sleep 0.3; eval out="\\${{$(($# - 1))}}"; cp {path}/made "$out"')


def test_a_new_enough_program_on_the_path_is_taken(path: Path, pulumi: Tool) -> None:
    found = says(path / "pulumi", "3.999.0")
    assert tools.find("pulumi") == found
    assert ensure(pulumi) == f"pulumi 3.999.0: found at {found}"


def test_an_old_program_on_the_path_is_left_alone_and_named(path: Path, pulumi: Tool) -> None:
    says(path / "pulumi", "3.1.0")
    fake_go(path, pulumi.version)
    assert tools.find("pulumi") is None
    assert f"{path}/pulumi is 3.1.0, older than {pulumi.minimum}" in ensure(pulumi)
    assert tools.find("pulumi") == pulumi.cached


def test_without_an_installer_it_is_built_from_go_modules(path: Path, pulumi: Tool) -> None:
    fake_go(path, pulumi.version)
    line = ensure(pulumi)
    assert line.startswith(f"pulumi {pulumi.version}: built from Go modules in")
    assert "without language hosts" in line
    assert ensure(pulumi) == f"pulumi {pulumi.version}: found at {pulumi.cached}"


def test_the_makers_installer_comes_first(path: Path, tmp_path: Path, pulumi: Tool) -> None:
    body = f'while [ "$1" != --install-root ]; do shift; done; mkdir -p "$2/bin"; cp {path}/made "$2/bin/pulumi"'
    says(path / "made", pulumi.version)
    assert pulumi.installer
    official = replace(pulumi.installer, url=script(tmp_path / "install.sh", body).as_uri())
    assert "installed by its own installer" in ensure(replace(pulumi, installer=official))
    assert pulumi.cached.resolve().parent.name == "bin"


@pytest.mark.usefixtures("path")
def test_without_go_the_remedy_is_named(pulumi: Tool) -> None:
    with pytest.raises(NotInstalledError, match=r"install Go 1\.25 or newer .* run make tools again"):
        ensure(pulumi)


def test_a_build_of_another_version_is_not_kept(path: Path, pulumi: Tool) -> None:
    fake_go(path, "3.1.0")
    with pytest.raises(NotInstalledError, match=r"says version 3\.1\.0"):
        ensure(pulumi)
    assert tools.find("pulumi") is None


def test_a_failed_build_shows_why(path: Path, pulumi: Tool) -> None:
    script(path / "go", "echo 'no such module' >&2; exit 1")
    with pytest.raises(NotInstalledError, match="no such module"):
        ensure(pulumi)


def test_two_runs_at_once_build_once(path: Path) -> None:
    fake_go(path, pin("pulumi").version)
    # A module of its own pins, so that the real installer is never asked.
    code = (
        "from dataclasses import replace; from tools.install import ensure; from tools.pins import pin; "
        "print(ensure(replace(pin('pulumi'), installer=None)))"
    )
    runs = [
        subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True) for _ in range(2)
    ]
    lines = [run.communicate()[0] for run in runs]
    assert sorted("built" in line for line in lines) == [False, True]
    assert (path / "builds").read_text() == "\n"


def test_every_pin_names_its_source_and_date() -> None:
    for tool in tools.pins().values():
        assert tool.source.startswith("https://")
        assert tool.date
        assert tool.needed_by


def test_a_program_of_pythons_comes_into_an_environment_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    requirements = tmp_path / "requirements.txt"
    requirements.write_text("")
    tool = replace(
        pin("policy-python"),
        minimum="3.0.0",
        version_arguments=("--version",),
        python=PythonEnvironment(requirements=str(requirements), binary="bin/python"),
    )
    assert "installed into an environment of its own" in ensure(tool)
    code = "import sys; print(sys.prefix)"
    prefix = subprocess.run([tool.cached, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    assert prefix == str(tool.cached.parent / "environment")


def test_an_environment_that_cannot_be_made_is_told_of_and_not_taken_for_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    # an environment comes without pip at once, and with it after seconds
    monkeypatch.setattr(
        sys, "executable", str(script(tmp_path / "python", f'exec {sys.executable} "$@" --without-pip'))
    )
    recipe = PythonEnvironment(requirements=str(tmp_path / "missing.txt"), binary="bin/python")
    tool = replace(pin("policy-python"), python=recipe)
    with pytest.raises(NotInstalledError, match=r"policy-python: python failed:\n.*No module named pip"):
        ensure(tool)
    assert not tool.cached.exists()
