"""How many users there are at a moment of a run."""

from collections.abc import Sequence

from loadtest.mix import Stage


def users_at(stages: Sequence[Stage], seconds: float) -> int | None:
    """The users after so many seconds, on a straight line within a ramp; None when the run is over."""
    before, start = 0, 0.0
    for stage in stages:
        if seconds < start + stage.ramp:
            return round(before + (stage.users - before) * (seconds - start) / stage.ramp)
        if seconds < start + stage.ramp + stage.hold:
            return stage.users
        before, start = stage.users, start + stage.ramp + stage.hold
    return None
