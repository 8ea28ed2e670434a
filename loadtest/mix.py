"""The mix: models, prompts, stages and limits, read from a TOML file with every mistake told by its place."""

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

DEFAULT = Path(__file__).with_name("mix.toml")
PATHS = ("/api/chat", "/v1/chat/completions")
KNOWN: Mapping[str, tuple[str, ...]] = {
    "limits": ("p95", "first_token_p95", "error_rate"),
    "client": ("pause", "patience"),
    "stages": ("users", "ramp", "hold"),
    "prompts": ("weight", "tokens", "text"),
}
TOP = ("models", "paths", *KNOWN)


class MixError(Exception):
    """The file cannot be used: one line for each mistake, place first."""


@dataclass(frozen=True, kw_only=True)
class Stage:
    """Reach `users` within `ramp` seconds, then stay for `hold`."""

    users: int
    ramp: float
    hold: float


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """What is asked, how often in proportion, and the most tokens of the answer."""

    weight: int
    tokens: int
    text: str


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a run must hold: seconds, and a share of the requests."""

    p95: float
    first_token_p95: float
    error_rate: float


@dataclass(frozen=True, kw_only=True)
class Mix:
    """The whole file."""

    models: Mapping[str, int]
    """Weight by name; empty: all that the door lists."""
    paths: Mapping[str, int]
    limits: Limits
    pause: tuple[float, float]
    patience: float
    stages: tuple[Stage, ...]
    prompts: tuple[Prompt, ...]

    def scaled(self, users: int | None, seconds: float | None) -> tuple[Stage, ...]:
        """The stages with this highest number of users and this length in all, in the same proportions."""
        most = max(stage.users for stage in self.stages)
        length = sum(stage.ramp + stage.hold for stage in self.stages)
        height, width = (users or most) / most, (seconds or length) / length
        return tuple(
            Stage(users=_at_least_one(stage.users, height), ramp=stage.ramp * width, hold=stage.hold * width)
            for stage in self.stages
        )


def _at_least_one(users: int, by: float) -> int:
    return max(1, round(users * by)) if users else 0


def read(path: Path = DEFAULT) -> Mix:
    """The mix of a file. Raises MixError."""
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise MixError(f"{path}: it cannot be read: {getattr(error, 'strerror', None) or error}") from None
    except tomllib.TOMLDecodeError as error:
        raise MixError(f"{path}: it is not TOML: {error}") from None
    if found := list(_mistakes(raw)):
        raise MixError("\n".join(f"{path}: {mistake}" for mistake in found))
    low, high = raw["client"]["pause"]
    return Mix(
        models=raw.get("models", {}),
        paths=raw["paths"],
        limits=Limits(**{name: float(raw["limits"][name]) for name in KNOWN["limits"]}),
        pause=(float(low), float(high)),
        patience=float(raw["client"]["patience"]),
        stages=tuple(Stage(**stage) for stage in raw["stages"]),
        prompts=tuple(Prompt(**prompt) for prompt in raw["prompts"]),
    )


def _mistakes(raw: Mapping[str, Any]) -> Iterator[str]:
    for name in sorted(raw.keys() - set(TOP)):
        yield f"{name}: there is no such part; the parts are {', '.join(TOP)}"
    for part in ("models", "paths"):
        yield from _weights(part, raw.get(part, {}), PATHS if part == "paths" else None)
    if not raw.get("paths"):
        yield f"paths: there is none; write one of {', '.join(PATHS)} with its weight"
    for part in ("limits", "client"):
        yield from _table(part, raw.get(part))
    for part in ("stages", "prompts"):
        yield from _rows(part, raw.get(part))
    if not list(_rows("stages", raw.get("stages"))):
        if not any(stage["users"] for stage in raw["stages"]):
            yield "stages: none has a user; write users = 10 in one of them"
        if not any(stage["ramp"] or stage["hold"] for stage in raw["stages"]):
            yield "stages: they last 0 seconds; write hold = 60 in one of them"


def _rows(part: str, rows: Any) -> Iterator[str]:
    if not isinstance(rows, list) or not rows:
        yield f"{part}: there is none; write [[{part}]] with {', '.join(KNOWN[part])}"
        return
    for number, row in enumerate(rows, start=1):
        yield from _table(part, row, f"{part} {number}")


def _weights(part: str, table: Any, known: tuple[str, ...] | None) -> Iterator[str]:
    if not isinstance(table, dict):
        yield f"{part}: it is a table of weights"
        return
    for name, weight in table.items():
        if known and name not in known:
            yield f"{part}: {name} is none of {', '.join(known)}"
        if not _whole(weight) or weight < 1:
            yield f"{part}: the weight of {name} is a whole number from 1 on"


def _table(part: str, row: Any, place: str = "") -> Iterator[str]:
    place = place or part
    if not isinstance(row, dict):
        yield f"{place}: it is a table with {', '.join(KNOWN[part])}"
        return
    for name in sorted(row.keys() - set(KNOWN[part])):
        yield f"{place}: {name} is none of {', '.join(KNOWN[part])}"
    for name in KNOWN[part]:
        if name not in row:
            yield f"{place}: {name} is missing"
        elif wrong := _wrong(name, row[name]):
            yield f"{place}: {name} is {wrong}"


def _wrong(name: str, value: Any) -> str:
    """What it should be; nothing where it is that."""
    if name == "text":
        return "" if isinstance(value, str) and value.strip() else "a text"
    if name == "pause":
        fits = isinstance(value, list) and len(value) == 2 and all(map(_number, value)) and 0 <= value[0] <= value[1]
        return "" if fits else "two numbers of seconds, the lower one first"
    if name in ("weight", "tokens"):
        return "" if _whole(value) and value >= 1 else "a whole number from 1 on"
    if name == "users":
        return "" if _whole(value) and value >= 0 else "a whole number, 0 or more"
    return "" if _number(value) and 0 <= value < float("inf") else "a number, 0 or more"


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _number(value: Any) -> bool:
    return _whole(value) or isinstance(value, float)
