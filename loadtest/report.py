"""What came of a run: the figures, the verdict, and both as Markdown and CSV."""

import csv
import re
import statistics
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from loadtest.asking import Outcome
from loadtest.mix import Limits

P95 = 0.95
MOST_STEPS = 12


@dataclass(frozen=True, kw_only=True)
class Reading:
    """The replicas of a pool and its requests under way, at a moment of the run."""

    at: float
    pool: str
    replicas: int
    in_flight: int


@dataclass(frozen=True, kw_only=True)
class Run:
    """All that was measured."""

    url: str
    seconds: float
    most_users: int
    outcomes: Sequence[Outcome]
    readings: Sequence[Reading] = ()
    """Empty where nobody said where the metrics are."""
    cut_short: bool = False


@dataclass(frozen=True, kw_only=True)
class Figures:
    """Of some of the requests. Times are those of answers without an error; None where there was none."""

    requests: int
    errors: int
    mean: float | None
    median: float | None
    p95: float | None
    first_median: float | None
    first_p95: float | None
    tokens: int
    tokens_per_second: float | None
    """The median of the answers."""

    @property
    def error_rate(self) -> float:
        """A share; 0 of nothing."""
        return self.errors / self.requests if self.requests else 0.0


def figures(outcomes: Sequence[Outcome]) -> Figures:
    """Of these requests."""
    good = [one for one in outcomes if not one.cause]
    times = [one.total for one in good]
    first = [one.first_token for one in good if one.first_token is not None]
    speeds = [one.tokens_per_second for one in good if one.tokens_per_second is not None]
    return Figures(
        requests=len(outcomes),
        errors=len(outcomes) - len(good),
        mean=statistics.fmean(times) if times else None,
        median=percentile(times, 0.5),
        p95=percentile(times, P95),
        first_median=percentile(first, 0.5),
        first_p95=percentile(first, P95),
        tokens=sum(one.tokens for one in good),
        tokens_per_second=percentile(speeds, 0.5),
    )


def percentile(values: Sequence[float], share: float) -> float | None:
    """The least value that at least this share of all do not exceed; None of nothing."""
    if not values:
        return None
    rank = -int(-share * len(values) // 1)  # rounded up
    return sorted(values)[max(rank, 1) - 1]


def broken(run: Run, limits: Limits) -> list[str]:
    """Why the run does not pass, a line each."""
    whole = figures(run.outcomes)
    if not whole.requests:
        return ["no request was made"]
    found = []
    if whole.error_rate > limits.error_rate:
        found.append(f"error rate {_share(whole.error_rate)}, at most {_share(limits.error_rate)} is allowed")
    for name, value, limit in (
        ("p95", whole.p95, limits.p95),
        ("first token p95", whole.first_p95, limits.first_token_p95),
    ):
        if value is not None and value > limit:
            found.append(f"{name} {_seconds(value)}, at most {_seconds(limit)} is allowed")
    if run.cut_short:
        found.append("the run was stopped before its end")
    return found


def markdown(run: Run, limits: Limits) -> str:
    """The summary, verdict first."""
    reasons = broken(run, limits)
    whole = figures(run.outcomes)
    rate = len(run.outcomes) / run.seconds if run.seconds else 0.0
    said = (
        f"{run.seconds:.0f} s, up to {run.most_users} users; {whole.requests} requests, {rate:.2f} a second, "
        f"{whole.tokens} tokens, {whole.tokens / run.seconds if run.seconds else 0.0:.1f} a second in all."
    )
    held_to = (
        f"Limits: p95 {_seconds(limits.p95)}, first token p95 {_seconds(limits.first_token_p95)}, "
        f"error rate {_share(limits.error_rate)}. Times are those of answers without an error; tokens a second is the "
        "median of what one client saw, from its first token on."
    )
    lines = [
        f"# Load test of {run.url}",
        "",
        "**passed**" if not reasons else "**failed**: " + "; ".join(reasons),
        "",
        said,
        "",
        *_table(run.outcomes, "", lambda _: "all"),
        "",
        "## By model",
        "",
        *_table(run.outcomes, "model", lambda one: one.model),
        "",
        "## By pool",
        "",
        *_table(run.outcomes, "pool", lambda one: one.pool),
        "",
        "## Errors",
        "",
        *_errors(run.outcomes),
        "",
        "## Replicas over time",
        "",
        *_replicas(run.readings),
        "",
        held_to,
    ]
    return "\n".join(lines) + "\n"


def _table(outcomes: Sequence[Outcome], title: str, key: Callable[[Outcome], str]) -> Iterator[str]:
    yield f"| {title} | requests | errors | mean | median | p95 | first token | first token p95 | tokens/s |"
    yield "|---|--:|--:|--:|--:|--:|--:|--:|--:|"
    for name in sorted({key(one) for one in outcomes}):
        own = figures([one for one in outcomes if key(one) == name])
        cells = [
            _cell(name),
            str(own.requests),
            f"{own.errors} ({_share(own.error_rate)})" if own.errors else "0",
            *map(_seconds, (own.mean, own.median, own.p95, own.first_median, own.first_p95)),
            "" if own.tokens_per_second is None else f"{own.tokens_per_second:.1f}",
        ]
        yield f"| {' | '.join(cells)} |"


def _errors(outcomes: Sequence[Outcome]) -> Iterator[str]:
    causes = Counter((one.cause, one.pool) for one in outcomes if one.cause)
    if not causes:
        yield "None."
        return
    yield "| cause | pool | requests |"
    yield "|---|---|--:|"
    for (cause, pool), count in causes.most_common():
        yield f"| {_cell(cause)} | {pool} | {count} |"


def _cell(text: str) -> str:
    """Text of others as text: no cell, tag, link or emphasis of Markdown."""
    return re.sub(r"([\\`*\[\]<>|])", r"\\\1", text)


def _replicas(readings: Sequence[Reading]) -> Iterator[str]:
    if not readings:
        yield "Not known: the run was not told where the router's metrics are (`--metrics`)."
        return
    yield "| pool | replicas | most requests under way |"
    yield "|---|---|--:|"
    for pool in sorted({one.pool for one in readings}):
        own = [one for one in readings if one.pool == pool]
        changes = [one for before, one in zip([None, *own], own, strict=False) if _changed(before, one)]
        steps = [f"{one.at:.0f} s: {one.replicas}" for one in changes[:MOST_STEPS]]
        more = [f"{len(changes) - MOST_STEPS} more in replicas.csv"] if len(changes) > MOST_STEPS else []
        yield f"| {pool} | {', '.join([*steps, *more])} | {max(one.in_flight for one in own)} |"


def _changed(before: Reading | None, one: Reading) -> bool:
    return before is None or before.replicas != one.replicas


def _seconds(value: float | None) -> str:
    return "" if value is None else f"{value:.2f} s"


def _share(value: float) -> str:
    return f"{100 * value:.2f} %"


def write(folder: Path, run: Run, limits: Limits) -> None:
    """summary.md, requests.csv and replicas.csv."""
    (folder / "summary.md").write_text(markdown(run, limits), encoding="utf-8")
    _csv(folder / "requests.csv", Outcome, run.outcomes)
    _csv(folder / "replicas.csv", Reading, run.readings)


def _csv(path: Path, kind: type[Outcome] | type[Reading], rows: Sequence[Outcome] | Sequence[Reading]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(kind)])
        writer.writeheader()
        writer.writerows(
            {name: round(value, 4) if isinstance(value, float) else value for name, value in asdict(row).items()}
            for row in rows
        )
