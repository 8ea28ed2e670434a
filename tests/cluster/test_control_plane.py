"""The tier's own control plane: stopped whatever happens, apart from others, and left out by name without its tools."""

import os
from pathlib import Path

import pytest

import tools
from tests.cluster import conftest
from tests.cluster.control_plane import CONTROL_PLANE, DiedError, Processes, control_plane
from tests.cluster.kube import Kube

ELSEWHERE = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "elsewhere"}}


def runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.fixture
def own(programs: dict[str, Path]) -> dict[str, Path]:
    if set(CONTROL_PLANE) - set(programs):
        pytest.skip("a cluster is given: there is no control plane of our own")
    return programs


def test_two_control_planes_do_not_meet_and_nothing_of_them_is_left(
    kube: Kube, own: dict[str, Path], tmp_path: Path
) -> None:
    with control_plane(tmp_path, own) as (second, processes):
        ids = processes.ids
        assert len(ids) == len(CONTROL_PLANE)
        second.create(ELSEWHERE)
        assert not kube.exists(ELSEWHERE)
    assert not any(map(runs, ids))


def test_a_start_that_fails_says_why_and_leaves_nothing_running(
    own: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "broken"
    broken.write_text("#!/bin/sh\necho no such flag\nexit 3\n")
    broken.chmod(0o755)
    started: list[int] = []
    stop = Processes.stop

    def noted(processes: Processes) -> None:
        started.extend(processes.ids)
        stop(processes)

    monkeypatch.setattr(Processes, "stop", noted)
    with (
        pytest.raises(DiedError, match=r"(?s)kube-apiserver ended with 3:.*no such flag"),
        control_plane(tmp_path, {**own, "kube-apiserver": broken}),
    ):
        pass
    assert started
    assert not any(map(runs, started))


def test_a_missing_tool_is_named_with_the_command_that_brings_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tools, "find", lambda name: None if name == "etcd" else Path(name))
    monkeypatch.delenv(conftest.GIVEN, raising=False)
    find = conftest.programs.__wrapped__  # type: ignore[attr-defined]
    monkeypatch.delenv("OLLAMA_FLEET_REQUIRE_TIERS", raising=False)
    with pytest.raises(pytest.skip.Exception, match=r"no etcd; `make tools`"):
        find()
    monkeypatch.setenv("OLLAMA_FLEET_REQUIRE_TIERS", "1")
    with pytest.raises(pytest.fail.Exception, match=r"no etcd; `make tools`"):
        find()
