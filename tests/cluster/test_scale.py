"""The figures of docs/scale.md can be taken: the script runs, at a size that costs seconds."""

from pathlib import Path

import pytest

from bench import cluster_scale
from tests.cluster.control_plane import CONTROL_PLANE


def test_the_script_measures_a_small_fleet_from_the_plan_to_its_last_pod(
    programs: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    if set(CONTROL_PLANE) - set(programs):
        pytest.skip("a cluster is given: the script starts its own")
    cluster_scale.main(["--models", "6", "--pools", "2", "--nodes", "3"])
    rows = dict(line.strip("| ").split(" | ") for line in capsys.readouterr().out.splitlines())
    assert rows["models, pools, nodes"] == "6, 2, 3"
    # a driver on each node and the routers, Google's agents being left out; the second router is the autoscaler's
    assert rows["pods"] in ("4", "5")
    assert rows["pods then"] in ("7", "8")
    assert " APPLY" in rows["requests to the API server, second apply"]
