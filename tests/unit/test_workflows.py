"""The workflows: pinned, with the least permissions, and nothing of a stranger in a shell."""

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

import tools

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / ".github" / "workflows"
FILES = sorted(FOLDER.glob("*.yml"))
PINNED = re.compile(r"uses: [\w.-]+/[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$")
CLOUD = {"preview", "deploy", "drift"}
PERMISSIONS: dict[str, dict[str, str]] = {
    "check": {"contents": "read"},
    "plan": {"contents": "read"},
    "comment": {"actions": "read", "contents": "read", "pull-requests": "write"},
    "preview": {"contents": "read", "id-token": "write", "pull-requests": "write"},
    "deploy": {"contents": "read", "id-token": "write"},
    "drift": {"contents": "read", "id-token": "write"},
    "release": {"contents": "write"},
}


def load(name: str) -> Any:
    return YAML(typ="safe", pure=True).load((FOLDER / f"{name}.yml").read_text())


def job(name: str) -> Any:
    (only,) = load(name)["jobs"].values()
    return only


def test_there_are_the_seven_workflows_and_no_other() -> None:
    assert {path.stem for path in FILES} == set(PERMISSIONS)


@pytest.mark.parametrize("name", PERMISSIONS)
def test_a_workflow_has_these_permissions_and_no_more(name: str) -> None:
    whole = load(name)
    assert whole["permissions"] in ({}, {"contents": "read"})
    assert job(name).get("permissions", whole["permissions"]) == PERMISSIONS[name]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_action_is_pinned_by_its_commit_and_says_its_version(path: Path) -> None:
    uses = [line.strip().removeprefix("- ") for line in path.read_text().splitlines() if "uses:" in line]
    assert uses
    assert [line for line in uses if not PINNED.fullmatch(line)] == []


def test_the_same_action_is_the_same_commit_everywhere() -> None:
    found: dict[str, set[str]] = {}
    for path in FILES:
        for action, commit in re.findall(r"uses: ([^@\s]+)@([0-9a-f]{40})", path.read_text()):
            found.setdefault(action, set()).add(commit)
    assert {action: commits for action, commits in found.items() if len(commits) > 1} == {}


@pytest.mark.parametrize("name", PERMISSIONS)
def test_no_expression_stands_inside_a_shell(name: str) -> None:
    for step in job(name)["steps"]:
        assert "${{" not in step.get("run", "")
        if "checkout@" in step.get("uses", ""):
            assert step["with"]["persist-credentials"] is False
            assert "ref" not in step["with"]


@pytest.mark.parametrize("name", PERMISSIONS)
def test_only_the_cloud_workflows_have_secrets_and_none_is_open_to_a_fork(name: str) -> None:
    text = (FOLDER / f"{name}.yml").read_text()
    assert "pull_request_target" not in text
    assert ("secrets." in text) == (name in CLOUD)
    assert ("id-token" in text) == (name in CLOUD)
    assert job(name)["timeout-minutes"] > 0
    if name in CLOUD:
        assert "environment" in job(name)
        assert "vars.FLEET_STACKS != ''" in job(name)["if"]
    if name == "preview":
        assert "github.event.pull_request.head.repo.full_name == github.repository" in job(name)["if"]
    if name == "deploy":
        assert "github.ref == 'refs/heads/main'" in job(name)["if"]
        assert job(name)["concurrency"] == {"group": "deploy-${{ matrix.stack }}", "cancel-in-progress": False}


def test_the_comment_runs_the_default_branchs_script_and_nothing_else() -> None:
    runs = [step["run"] for step in job("comment")["steps"] if "run" in step]
    assert runs == ["python3 .github/scripts/comment.py plan"]
    assert load("comment")[True if True in load("comment") else "on"]["workflow_run"]["workflows"] == ["plan"]


def test_a_pull_request_is_compared_with_the_base_that_it_was_merged_into() -> None:
    checkout, script = (
        next(step for step in job("plan")["steps"] if word in str(step)) for word in ("checkout@", "plan.sh")
    )
    assert checkout["with"]["fetch-depth"] == 2
    assert '"$(git rev-parse HEAD^1)"' in script["run"]


def test_a_release_is_made_of_a_version_tag_alone_once_every_test_passed() -> None:
    whole = load("release")
    assert whole[True if True in whole else "on"] == {"push": {"tags": ["v[0-9]+.[0-9]+.[0-9]+"]}}
    runs = [step["run"] for step in job("release")["steps"] if "run" in step]
    assert [run.split()[0] for run in runs] == ["python3", ".ci/run", "gh"]
    assert "--verify-tag" in runs[-1]


def test_every_script_that_a_workflow_runs_exists_and_may_be_run() -> None:
    named = {script for path in FILES for script in re.findall(r"(?:\.github/scripts/|\.ci/)[\w.]+", path.read_text())}
    assert {".github/scripts/plan.sh", ".github/scripts/comment.py", ".ci/run"} <= named
    for script in named:
        assert (ROOT / script).exists()
        assert script.endswith(".py") or os.access(ROOT / script, os.X_OK)


def program(name: str, remedy: str) -> str:
    found = shutil.which(name) or (str(tools.find(name) or "") if name in tools.pins() else "")
    if not found:
        if os.environ.get("OLLAMA_FLEET_REQUIRE_TIERS") == "1":
            pytest.fail(f"no {name}: {remedy}", pytrace=False)
        pytest.skip(f"no {name}: {remedy}")
    return found


def test_actionlint_finds_nothing() -> None:
    actionlint = program("actionlint", "`make tools` brings it")
    shellcheck = program("shellcheck", "apt-get install shellcheck")
    command = [actionlint, "-no-color", "-shellcheck", shellcheck, *map(str, FILES)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_shellcheck_finds_nothing_in_the_scripts() -> None:
    shellcheck = program("shellcheck", "apt-get install shellcheck")
    scripts = [*map(str, (ROOT / ".github" / "scripts").glob("*.sh")), str(ROOT / ".ci" / "run")]
    done = subprocess.run([shellcheck, *scripts], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")
