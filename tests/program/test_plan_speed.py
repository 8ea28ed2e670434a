"""The figures of `make bench` can be taken: the script runs, at a size that costs seconds."""

import pytest

from bench import plan_speed


def test_every_command_is_timed(capsys: pytest.CaptureFixture[str]) -> None:
    plan_speed.main(["--runs", "1", "--most", "10"])
    head, *rows = capsys.readouterr().out.splitlines()
    assert head.split() == ["command", "seconds", "MiB"]
    found = {row[:34].strip(): row[34:].split() for row in rows}
    assert set(found) == {
        "fleet plan, dev",
        "fleet plan, 10 models, 2 pools",
        "fleet resources, dev",
        "fleet diff, dev",
    }
    assert all(float(figure) > 0 for figures in found.values() for figure in figures)
