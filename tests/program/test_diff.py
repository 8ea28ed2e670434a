"""`fleet diff` on real git checkouts: every shape of base and head, and nothing left behind."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from infra import lockfile
from infra.__main__ import main
from infra.plan.lock import Lock, Locked
from tests.program.programs import ROOT

FILE = "Pulumi.dev.yaml"
SPOT = ("replicas: 0..2}", "replicas: 0..2, spot: true}")


class Checkout:
    """A git checkout with the dev stack in a folder of its own."""

    def __init__(self, folder: Path, capture: pytest.CaptureFixture[str]) -> None:
        self.root, self.folder, self._capture = folder, folder / "fleet", capture
        self.folder.mkdir()
        self.git("init", "--quiet", "--initial-branch=main")
        shutil.copy(ROOT / FILE, self.folder)
        self.commit()

    def git(self, *arguments: str) -> str:
        command = ["git", "-c", "user.name=t", "-c", "user.email=t@example.com", "-C", str(self.root), *arguments]
        environment = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
        return subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout

    def commit(self) -> None:
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", "x")

    def edit(self, old: str, new: str, file: str = FILE) -> None:
        path = self.folder / file
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new))

    def diff(self, *options: str, base: str = "main") -> tuple[int, str, str]:
        status = main(["diff", "--base", base, "--cwd", str(self.folder), *options])
        shown = self._capture.readouterr()
        assert self.git("worktree", "list").count("\n") == 1
        assert not list((self.root / ".git").glob("worktrees/*"))
        return status, shown.out, shown.err

    def json(self, *options: str, base: str = "main", status: int = 0) -> Any:
        found, out, err = self.diff("--format", "json", *options, base=base)
        assert found == status, err
        return json.loads(out)


@pytest.fixture
def checkout(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Checkout:
    monkeypatch.delenv("STACK", raising=False)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    (tmp_path / "checkout").mkdir()
    return Checkout(tmp_path / "checkout", capsys)


@pytest.fixture(autouse=True)
def nothing_is_left(tmp_path: Path) -> Any:
    yield
    assert not list((tmp_path / "scratch").glob("*"))


def test_the_working_tree_is_the_head_unless_one_is_named(checkout: Checkout) -> None:
    checkout.edit(*SPOT)
    assert checkout.json()["verdict"][0] == "1 pool replaced"
    assert checkout.json("--head", "main")["verdict"] == ["nothing changes"]
    checkout.git("checkout", "--quiet", "-b", "branch")
    checkout.commit()
    checkout.edit(SPOT[1], SPOT[0])
    assert checkout.json()["level"] == "nothing"
    assert checkout.json("--head", "branch")["level"] == "risk"


@pytest.mark.parametrize("form", ["text", "markdown"])
def test_the_verdict_stands_first_and_what_was_not_checked_last(checkout: Checkout, form: str) -> None:
    checkout.edit(*SPOT)
    status, out, _ = checkout.diff("--format", form)
    assert status == 0
    assert "1 pool replaced" in "".join(out.splitlines(keepends=True)[:2])
    assert out.endswith("no credentials used\n")
    assert "llama3.1:8b falls back to a100" in " ".join(out.split())


@pytest.mark.parametrize(
    ("edit", "reached"),
    [
        (None, ()),
        (("nomic-embed-text: [t4]", "nomic-embed-text: [t4, m60]"), ("in-place",)),
        (("k80:  {gpu: k80, site: rig}", "k80:  {gpu: k80, site: rig, parallel: 2}"), ("in-place",)),
        (SPOT, ("in-place", "replace", "risk")),
    ],
)
def test_the_exit_status_is_3_at_or_above_the_level_asked_for(checkout: Checkout, edit: Any, reached: Any) -> None:
    if edit:
        checkout.edit(*edit)
    for level in ("in-place", "replace", "risk"):
        assert checkout.diff("--fail-on", level)[0] == (3 if level in reached else 0)
    assert checkout.diff()[0] == 0


def test_errors_of_the_head_are_exit_status_1_and_shown_with_all_that_is_known(checkout: Checkout) -> None:
    checkout.edit("nomic-embed-text: [t4]", "nomic-embed-text: [t5]")
    status, out, _ = checkout.diff("--fail-on", "in-place")
    assert status == 1
    assert "1 error" in out
    assert "there is no pool 't5'" in out
    assert "resources are not compared" in out


@pytest.mark.parametrize("base", ["nowhere", "--help", "HEAD:fleet", ""])
def test_a_base_that_git_does_not_know_is_exit_status_2(checkout: Checkout, base: str) -> None:
    with pytest.raises(SystemExit) if base == "--help" else _nothing():
        status, out, err = checkout.diff(base=base)
        assert (status, out) == (2, "")
        assert "git knows no commit" in err


class _nothing:  # noqa: N801 a context manager in a condition
    def __enter__(self) -> None: ...
    def __exit__(self, *_: object) -> None: ...


def test_an_unknown_revision_is_named_with_its_option_and_what_to_do(checkout: Checkout) -> None:
    _, _, err = checkout.diff("--head", "nowhere")
    assert err.startswith("error  --head: git knows no commit 'nowhere'")
    _, _, err = checkout.diff(base=40 * "a")
    assert "--base: git knows no commit aaaaaaaaaaaa... here" in err
    assert "shallow" not in err
    checkout.commit()
    shallow = checkout.root / "shallow"
    checkout.git("clone", "--quiet", "--depth=1", f"file://{checkout.root}", str(shallow))
    checkout.folder = shallow / "fleet"
    _, _, err = checkout.diff(base="main~1")
    assert "this clone is shallow" in err


def test_commits_that_the_head_lacks_are_told_of_and_not_taken_for_its_doing(checkout: Checkout) -> None:
    checkout.git("branch", "old")
    checkout.edit(*SPOT)
    checkout.commit()
    assert checkout.json()["notes"] == []
    assert checkout.json("--head", "main", base="old")["notes"] == []
    found = checkout.json("--head", "old")
    assert found["level"] == "risk"
    (note,) = found["notes"]
    assert "main has 1 commit that old lacks" in note
    assert "git merge-base main old" in note


@pytest.mark.usefixtures("checkout")
def test_a_folder_without_git_is_exit_status_2(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    shutil.copy(ROOT / FILE, outside)
    assert main(["diff", "--base", "main", "--cwd", str(outside)]) == 2


def test_a_head_that_cannot_be_read_is_exit_status_2(checkout: Checkout) -> None:
    (checkout.folder / FILE).write_text("config: [")
    assert checkout.diff()[0] == 2


def test_a_stack_file_that_is_new_is_all_new(checkout: Checkout) -> None:
    checkout.git("rm", "--quiet", f"fleet/{FILE}")
    checkout.git("commit", "--quiet", "--message", "without")
    checkout.folder.mkdir(exist_ok=True)
    shutil.copy(ROOT / FILE, checkout.folder)
    found = checkout.json()
    assert {one["action"] for one in found["resources"]} == {"create"}
    assert found["usdPerMonth"]["before"] == {"minimum": 0, "maximum": 0}
    assert "everything here is new" in found["notes"][0]


def test_a_stack_file_that_is_gone_is_a_risk(checkout: Checkout) -> None:
    (checkout.folder / FILE).unlink()
    found = checkout.json("--stack", "dev")
    assert found["level"] == "risk"
    assert "nothing destroys what stands" in found["notes"][0]
    assert checkout.diff("--stack", "other")[0] == 2


@pytest.mark.parametrize("kind", ["link", "loop", "folder", "pipe"])
def test_a_stack_file_that_is_no_file_is_not_taken_for_one_that_is_gone(checkout: Checkout, kind: str) -> None:
    path = checkout.folder / FILE
    path.unlink()
    match kind:
        case "link":
            path.symlink_to("nowhere")
        case "loop":
            path.symlink_to(FILE)
        case "folder":
            path.mkdir()
        case _:
            os.mkfifo(path)
    status, out, err = checkout.diff("--stack", "dev")
    assert (status, out) == (2, "")
    assert FILE in err


def test_a_base_that_does_not_parse_leaves_what_stands_unknown(checkout: Checkout) -> None:
    good = (checkout.folder / FILE).read_text()
    (checkout.folder / FILE).write_text("config: [")
    checkout.commit()
    (checkout.folder / FILE).write_text(good)
    found = checkout.json()
    assert found["resources"] is None
    assert "what stands is not known" in found["notes"][0]
    # a replacement would go unseen, so whoever waits for one is told
    assert "the resources" in [one["place"] for one in found["risks"]]
    assert checkout.diff("--fail-on", "replace")[0] == 3


def test_a_base_with_errors_still_shows_pools_models_and_money(checkout: Checkout) -> None:
    checkout.edit("nomic-embed-text: [t4]", "nomic-embed-text: [t5]")
    checkout.commit()
    checkout.edit("nomic-embed-text: [t5]", "nomic-embed-text: [t4]")
    found = checkout.json()
    assert found["resources"] is None
    assert [one["name"] for one in found["models"]] == ["nomic-embed-text"]


def lock(checkout: Checkout, digest: str) -> None:
    entry = Locked(digest=digest, size_gb=4.9, source="registry.ollama.ai", date=date(2026, 11, 1))
    lockfile.write(checkout.folder, Lock(models={"llama3.1:8b": entry}))


def test_a_digest_that_was_pinned_anew_is_a_change_of_its_model(checkout: Checkout) -> None:
    lock(checkout, "sha256:" + 64 * "1")
    checkout.commit()
    lock(checkout, "sha256:" + 64 * "2")
    found = checkout.json()
    (changed,) = found["models"]
    assert changed["name"] == "llama3.1:8b"
    assert changed["digest"] == [64 * "1", 64 * "2"]
    assert found["verdict"] == ["1 model of another digest"]
    said = "digest 111111111111 becomes 222222222222: fetched anew where it differs"
    assert found["effects"] == [{"key": "models.llama3.1:8b", "effect": said}]
    for form in ("text", "markdown"):
        words = " ".join(checkout.diff("--format", form)[1].split())
        assert "models.llama3.1:8b" in words
        assert said in words.replace("|", "").replace("  ", " ")


def test_a_lock_of_the_base_that_cannot_be_read_is_a_note_and_the_rest_is_compared(checkout: Checkout) -> None:
    (checkout.folder / lockfile.NAME).write_text("models = 3")
    checkout.commit()
    lock(checkout, "sha256:" + 64 * "2")
    checkout.edit(*SPOT)
    found = checkout.json()
    assert "fleet.lock.toml of main cannot be read" in found["notes"][0]
    assert [one["key"] for one in found["keys"]] == ["pools.t4.spot"]
    assert [one["digest"] for one in found["models"]] == [[None, 64 * "2"]]
    assert "replace" in {one["action"] for one in found["resources"]}
    (checkout.folder / lockfile.NAME).write_text("models = 3")
    assert checkout.diff()[0] == 2


def test_the_files_that_the_base_extends_are_those_of_the_base(checkout: Checkout) -> None:
    (checkout.root / "shared.yaml").write_text("pools: {t4: {gpu: t4}}\nmodels: {gemma3:4b: [t4]}\n")
    (checkout.folder / FILE).write_text(
        "config:\n  gcp:project: example-project\n  ollama-fleet:fleet:\n"
        "    extends: ../shared.yaml\n    gke: {location: us-central1-c}\n"
    )
    checkout.commit()
    assert checkout.json()["level"] == "nothing"
    (checkout.root / "shared.yaml").write_text("pools: {t4: {gpu: t4, spot: true}}\nmodels: {gemma3:4b: [t4]}\n")
    assert [one["key"] for one in checkout.json()["keys"]] == ["pools.t4.spot"]


def test_hooks_and_a_callers_git_variables_have_no_say(checkout: Checkout, monkeypatch: pytest.MonkeyPatch) -> None:
    hook = checkout.root / ".git" / "hooks" / "post-checkout"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\ntouch {checkout.root}/ran\n")
    hook.chmod(0o755)
    monkeypatch.setenv("GIT_DIR", "/nonexistent")
    assert checkout.json()["level"] == "nothing"
    assert not (checkout.root / "ran").exists()


# two revisions' code

RESOURCES = """\
import json, sys
print(json.dumps({"resources": [{
    "urn": "urn:pulumi:dev::p::gcp:container/nodePool:NodePool::a100-pool-nodes",
    "type": "gcp:container/nodePool:NodePool", "name": "a100-pool-nodes", "custom": True, "provider": None,
    "inputs": {"nodeConfig": {"spot": SPOT}}, "options": {}}]}))
"""


def own_code(checkout: Checkout, text: str, below: str = ".") -> None:
    package = checkout.root / below / "infra"
    package.mkdir(exist_ok=True)
    (package / "__init__.py").touch()
    (package / "__main__.py").write_text(text)


def test_each_revisions_own_code_says_its_resources(checkout: Checkout) -> None:
    own_code(checkout, RESOURCES.replace("SPOT", "False"))
    checkout.commit()
    own_code(checkout, RESOURCES.replace("SPOT", "True"))
    assert checkout.json()["level"] == "nothing"
    found = checkout.json("--code")
    assert [(one["name"], one["action"], one["reasons"]) for one in found["resources"]] == [
        ("a100-pool-nodes", "replace", ["nodeConfig.spot"])
    ]
    assert "--code" not in found["notChecked"]


def test_a_program_below_the_checkouts_root_is_found(checkout: Checkout) -> None:
    own_code(checkout, RESOURCES.replace("SPOT", "False"), "fleet")
    checkout.commit()
    own_code(checkout, RESOURCES.replace("SPOT", "True"), "fleet")
    assert [one["action"] for one in checkout.json("--code")["resources"]] == ["replace"]


def test_a_base_whose_code_fails_is_said_and_a_head_is_an_error(checkout: Checkout) -> None:
    own_code(checkout, "raise SystemExit('no such command')")
    checkout.commit()
    own_code(checkout, RESOURCES.replace("SPOT", "True"))
    found = checkout.json("--code")
    assert found["resources"] is None
    assert "no such command" in found["notes"][0]
    own_code(checkout, "print('no JSON')")
    status, _, err = checkout.diff("--code")
    assert status == 2
    assert "it printed no JSON" in err


def test_nothing_is_left_behind_when_it_is_told_to_end(checkout: Checkout, tmp_path: Path) -> None:
    own_code(checkout, f"import time, pathlib\npathlib.Path({str(tmp_path / 'began')!r}).touch()\ntime.sleep(60)\n")
    checkout.commit()
    command = [sys.executable, "-m", "infra", "diff", "--code", "--base", "main", "--cwd", str(checkout.folder)]
    environment = {**os.environ, "TMPDIR": str(tmp_path / "scratch")}
    running = subprocess.Popen(command, cwd=ROOT, env=environment)
    try:
        _wait((tmp_path / "began").exists)
        assert list((tmp_path / "scratch").iterdir())
        running.send_signal(signal.SIGTERM)
        assert running.wait(timeout=60) == 128 + signal.SIGTERM
    finally:
        running.kill()
        running.wait()
    assert not list((tmp_path / "scratch").iterdir())
    assert checkout.git("worktree", "list").count("\n") == 1


def _wait(condition: Callable[[], bool]) -> None:
    patience = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < patience
        time.sleep(0.05)
