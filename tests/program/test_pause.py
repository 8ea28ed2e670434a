"""`fleet pause` and `fleet resume`: what kubectl is asked for, and what is said when it fails."""

from pathlib import Path

import pytest

from infra.__main__ import main
from infra.commands.scaling import PAUSED
from tests.program.programs import ROOT

OURS = "gke_example-project_us-central1-c_ollama-fleet-dev"
KUBECTL = """#!/bin/sh
case "$*" in *'config view'*) printf '%s' '{cluster}'; exit 0;; esac
echo "$@" >> {log}
case "$*" in *{broken}*) echo 'Error from server (NotFound): nothing there' >&2; exit 1;; esac
"""
STACK = """
config:
  gcp:project: example-project
  ollama-fleet:fleet:
    gke: {location: us-central1-c}
    pools:
      t4:    {gpu: t4, replicas: 0..2}
      l4:    {gpu: l4, replicas: 2}
      busy:  {gpu: l4, replicas: 1..3, scaling: utilization}
      cpu:   {gpu: none}
    models:
      llama3.2:3b: [t4, l4, busy]
      nomic-embed-text: [cpu]
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "Pulumi.dev.yaml").write_text(STACK)
    return tmp_path


def kubectl(folder: Path, monkeypatch: pytest.MonkeyPatch, broken: str = "NOTHING", cluster: str = OURS) -> Path:
    program, log = folder / "bin" / "kubectl", folder / "asked"
    program.parent.mkdir()
    program.write_text(KUBECTL.format(log=log, broken=broken, cluster=cluster))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    return log


def test_a_pause_takes_every_gpu_pool_to_nothing_and_touches_no_other(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    log = kubectl(folder, monkeypatch)
    assert main(["pause", "--cwd", str(folder), "--context", "prod"]) == 0
    assert log.read_text().splitlines() == [
        "--context prod --namespace ollama scale deployment ollama-busy --replicas=0",
        "--context prod --namespace ollama scale deployment ollama-l4 --replicas=0",
        f"--context prod --namespace ollama annotate scaledobject ollama-t4 {PAUSED}=0 --overwrite",
    ]
    said = capsys.readouterr().out
    assert "paused busy, l4, t4" in said
    assert "an hour" in said


def test_a_resume_gives_each_its_minimum_and_its_autoscaler_back(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    log = kubectl(folder, monkeypatch)
    assert main(["resume", "--cwd", str(folder)]) == 0
    assert log.read_text().splitlines() == [
        "--namespace ollama scale deployment ollama-busy --replicas=1",
        "--namespace ollama scale deployment ollama-l4 --replicas=2",
        "--namespace ollama annotate scaledobject ollama-t4 autoscaling.keda.sh/paused-replicas- --overwrite",
    ]
    assert "resumed busy, l4, t4" in capsys.readouterr().out


def test_a_fleet_that_costs_more_than_its_budget_can_be_paused(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    log = kubectl(folder, monkeypatch)
    (folder / "Pulumi.dev.yaml").write_text(f"{STACK}    budget: {{monthlyUsd: 1}}\n")
    assert main(["plan", "--cwd", str(folder)]) == 1
    assert "the budget is $1" in capsys.readouterr().out
    assert main(["pause", "--cwd", str(folder)]) == 0
    assert len(log.read_text().splitlines()) == 3


def test_what_runs_at_home_or_on_this_machine_asks_for_no_budget(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    machine = "{gpus: {k80: 2}, memory: 64Gi, disk: 400Gi}"
    (tmp_path / "Pulumi.dev.yaml").write_text(
        "config:\n  gcp:project: example-project\n  ollama-fleet:fleet:\n"
        "    gke: {location: us-central1-a}\n    budget: {monthlyUsd: 1}\n"
        "    pools: {t4: {gpu: t4}, k80: {gpu: k80, site: rig}}\n"
        f"    sites: {{rig: {{docker: {{}}, url: http://10.8.0.2, nodes: {{rig-1: {machine}}}}}}}\n"
    )
    assert main(["plan", "--cwd", str(tmp_path)]) == 1
    assert "the budget is $1" in " ".join(capsys.readouterr().out.split())
    assert main(["compose", "--cwd", str(tmp_path)]) == 0
    assert main(["local", "--cwd", str(tmp_path)]) == 2
    assert "there is nothing to serve" in capsys.readouterr().err


def test_one_pool_that_cannot_be_paused_keeps_no_other_from_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    log = kubectl(folder, monkeypatch, broken="ollama-l4")
    assert main(["pause", "--cwd", str(folder)]) == 1
    assert len(log.read_text().splitlines()) == 3
    said = capsys.readouterr()
    assert "pool l4: Error from server (NotFound)" in said.err
    assert "get-credentials" in said.err
    assert "paused" not in said.out


@pytest.mark.parametrize("operation", ["pause", "resume"])
@pytest.mark.parametrize(
    ("cluster", "context"),
    [
        (OURS.replace("-dev", "-prod"), []),
        (OURS.replace("-dev", "-prod"), ["--context", "prod"]),
        ("kind-beside", []),
        ("", []),
        ("", ["--context", "nowhere"]),
    ],
)
def test_another_cluster_is_left_alone_though_its_pools_have_the_same_names(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    operation: str,
    cluster: str,
    context: list[str],
) -> None:
    log = kubectl(folder, monkeypatch, cluster=cluster)
    assert main([operation, "--cwd", str(folder), *context]) == 2
    assert not log.exists()
    said = capsys.readouterr().err
    assert "error  --context: " in said
    assert not cluster or f"leads to {cluster}, and stack dev stands in {OURS}" in said


def test_a_cluster_that_gcloud_did_not_name_is_believed_when_its_context_is_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = kubectl(folder, monkeypatch, cluster="ours-by-another-name")
    assert main(["pause", "--cwd", str(folder), "--context", "ours"]) == 0
    assert len(log.read_text().splitlines()) == 3


def test_what_a_cluster_answers_cannot_play_with_the_terminal(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    kubectl(folder, monkeypatch)
    program = folder / "bin" / "kubectl"
    program.write_text(
        f"#!/bin/sh\ncase \"$*\" in *config*) printf {OURS};; *) printf 'x\\033[2Jy' >&2; exit 1;; esac\n"
    )
    assert main(["pause", "--cwd", str(folder)]) == 1
    said = capsys.readouterr().err
    assert "x\\x1b[2Jy" in said
    assert "\x1b" not in said


def test_a_dry_run_prints_the_commands_and_needs_no_kubectl(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", "")
    assert main(["pause", "--cwd", str(folder), "--dry-run"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert all(line.startswith("kubectl --namespace ollama ") for line in lines)
    assert main(["pause", "--cwd", str(folder)]) == 2
    assert "kubectl: it is not on PATH" in capsys.readouterr().err


def test_without_a_gpu_on_gke_there_is_nothing_to_pause(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["pause", "--stack", "home", "--cwd", str(ROOT / "examples")]) == 0
    assert "nothing to do" in capsys.readouterr().out
