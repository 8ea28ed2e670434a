"""The door's measurements can be taken: each script runs whole, at a size that costs seconds."""

import json
import shutil
from pathlib import Path

import pytest

from bench import door, kill, sites
from tests.required import leave_out


@pytest.fixture(autouse=True)
def _wrk(envoy: Path) -> None:
    del envoy
    for program in ("wrk", "openssl"):
        if shutil.which(program) is None:
            leave_out(f"measurements of the door left out: no {program}; `apt-get install {program}` brings it")


def test_what_the_door_costs_is_measured_of_every_way(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in (
        ("SIZES", (2, 3)),
        ("CONNECTIONS", 4),
        ("STREAMS", 3),
        ("EDITS", 1),
        ("NEW_POOLS", 1),
        ("MANY", 3),
    ):
        monkeypatch.setattr(door, name, value)
    for name, value in (("REQUESTS", 30), ("SETTLE_SECONDS", 0.0)):
        monkeypatch.setattr(kill, name, value)
    # whether a bound is kept says nothing at this size
    assert door.main(["--rounds", "1", "--seconds", "1"]) in (0, 1)
    said = capsys.readouterr().out
    rows = {cells[1]: cells[2:-1] for line in said.splitlines() if len(cells := _cells(line)) == 7}
    assert rows[""] == ["direct", "plain Envoy", "door, 2 models", "door, 3 models"]
    assert all(float(rate.replace(",", "")) > 0 for rate in rows["requests per second"])
    assert rows["lost on a kill, of 30"][0].isdigit()
    assert "edit to effect at 3 models, s" in said


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.split("|")]


def test_what_a_site_that_fails_costs_the_others_is_measured_against_quiet_phases(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sites, "LEFT_BEHIND", 0.0)
    file = tmp_path / "phases.json"
    assert sites.main(["--rounds", "1", "--seconds", "1", "--only", "refused", "--json", str(file)]) in (0, 1)
    (refused,) = json.loads(file.read_text())["disturbances"]
    (phases,) = refused["phases"]
    assert refused["disturbance"] == "refused"
    assert all(phases[when]["requests"] > 0 for when in ("before", "disturbed", "after"))
    assert sites.OTHERS in refused["clients of the site"]["outcomes"]
    assert "refused" in capsys.readouterr().out
