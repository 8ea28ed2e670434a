"""`.github/scripts/plan.sh` as the workflow runs it, on a checkout of its own."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.program.programs import ROOT

SCRIPT = ROOT / ".github" / "scripts" / "plan.sh"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    folder = tmp_path / "checkout"
    folder.mkdir()
    git(folder, "init", "--quiet", "--initial-branch=main")
    shutil.copy(ROOT / "Pulumi.dev.yaml", folder)
    shutil.copy(ROOT / "examples" / "Pulumi.home.yaml", folder)
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "x")
    return folder


def git(folder: Path, *arguments: str) -> None:
    command = ["git", "-c", "user.name=t", "-c", "user.email=t@example.com", "-C", str(folder), *arguments]
    subprocess.run(command, check=True, capture_output=True)


def plan(folder: Path, base: str = "main") -> tuple[int, str, str]:
    summary = folder.parent / "summary"
    environment = {
        **os.environ,
        "PYTHON": sys.executable,
        "PYTHONPATH": str(ROOT),
        "GITHUB_STEP_SUMMARY": str(summary),
    }
    command = [str(SCRIPT), base, "7", str(folder.parent / "plan")]
    status = subprocess.run(command, cwd=folder, env=environment, check=False).returncode
    assert (folder.parent / "plan" / "number").read_text() == "7\n"
    assert {path.name for path in (folder.parent / "plan").iterdir()} == {"number", "comment.md"}
    return status, (folder.parent / "plan" / "comment.md").read_text(), summary.read_text()


def test_every_stack_is_told_of_also_one_whose_file_goes(checkout: Path) -> None:
    path = checkout / "Pulumi.dev.yaml"
    path.write_text(path.read_text().replace("replicas: 0..2}", "replicas: 0..2, spot: true}"))
    (checkout / "Pulumi.home.yaml").unlink()
    status, text, summary = plan(checkout)
    assert status == 0
    assert text.count("\n\nno credentials used") == 2
    assert "1 pool replaced" in text
    assert "nothing destroys what stands" in text
    assert summary.startswith(text[:1000])


def test_a_stack_with_errors_fails_the_run_and_is_told_of_all_the_same(checkout: Path) -> None:
    path = checkout / "Pulumi.dev.yaml"
    path.write_text(path.read_text().replace("nomic-embed-text: [t4]", "nomic-embed-text: [t5]"))
    (checkout / "Pulumi.home.yaml").write_text("config: [")
    status, text, _ = plan(checkout)
    assert status == 2
    assert "there is no pool" in text
    assert "### Stack home cannot be compared" in text


def test_a_shallow_clone_is_told_how_deep_it_has_to_be(checkout: Path, tmp_path: Path) -> None:
    base = subprocess.check_output(["git", "-C", str(checkout), "rev-parse", "HEAD"], text=True).strip()
    git(checkout, "commit", "--quiet", "--allow-empty", "--message", "y")
    shallow = tmp_path / "shallow"
    git(tmp_path, "clone", "--quiet", "--depth=1", f"file://{checkout}", str(shallow))
    status, text, _ = plan(shallow, base)
    assert status == 2
    assert "### Stack home cannot be compared" in text
    assert f"git knows no commit {base[:12]}... here" in text
    assert "fetch-depth" in text


def test_a_stack_may_be_called_as_an_option_is(checkout: Path) -> None:
    shutil.copy(checkout / "Pulumi.home.yaml", checkout / "Pulumi.--help.yaml")
    status, text, _ = plan(checkout)
    assert status == 0
    assert "Stack <code>--help</code>" in text
