"""The recording and alert rules of one fleet, as Prometheus reads them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

RUNBOOKS = "docs/runbooks"
"""In the repository: whose copy it is, the rules do not know."""
ERROR_RATIO = 0.05
LEAST_RATE = 0.01
"""Requests a second below which a share of errors says nothing."""
FIRST_TOKEN_SECONDS = 30
MOST_WAITING = 20
Rule = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Expected:
    """What the plan says of the fleet, and the rules hold it to."""

    parallel: Mapping[str, int]
    """Of every pool, how many requests a replica answers at a time."""
    awake: Sequence[str]
    """Pools that always have a replica."""
    asleep: Sequence[str]
    """Pools that may have none."""
    on_gpu: Sequence[str]
    """Pools whose models stand in GPU memory."""
    wake_seconds: int
    """The longest that a pool should take to wake."""
    base_hourly: float
    hourly: Mapping[str, float]
    """USD of one replica, by pool; those without a price are not there."""
    hours_per_month: int
    budget: float | None
    """USD a month."""


def groups(expected: Expected) -> list[dict[str, Any]]:
    """The groups of rules. An alert about something that the fleet does not have is left out."""
    return [
        {"name": "ollama-fleet.records", "interval": "30s", "rules": list(_records(expected))},
        {"name": "ollama-fleet.alerts", "interval": "30s", "rules": list(_alerts(expected))},
    ]


def _records(expected: Expected) -> Iterator[Rule]:
    asked = 'envoy_fleet_requests{model!=""}'
    failed = 'envoy_fleet_requests{model!="",status=~"5.."}'
    yield _record("requests:rate5m", f"sum by (model, pool) (rate({asked}[5m]))")
    yield _record(
        "errors:ratio5m",
        f"sum by (model) (rate({failed}[5m])) / (sum by (model) (rate({asked}[5m])) > {LEAST_RATE})",
    )
    buckets = 'rate(envoy_fleet_first_byte_ms_bucket{model!=""}[5m])'
    yield _record("first_token_seconds:p95_5m", f"histogram_quantile(0.95, sum by (model, le) ({buckets})) / 1000")
    yield _record("pool_replicas", "max by (pool) (ollama_fleet_pool_replicas)")
    yield _record("pool_requests", "sum by (pool) (ollama_fleet_pool_requests_in_flight)")
    for pool, parallel in sorted(expected.parallel.items()):
        yield _record("pool_parallel", f"vector({parallel})", pool=pool)
    yield _record(
        "pool_requests_waiting",
        "clamp_min(ollama_fleet:pool_requests - on (pool) (ollama_fleet:pool_replicas * on (pool) "
        "ollama_fleet:pool_parallel), 0)",
    )
    if expected.hourly:
        for pool, price in sorted(expected.hourly.items()):
            yield _record("replica_hourly_usd", f"vector({price:g})", pool=pool)
        yield _record(
            "hourly_usd",
            f"{expected.base_hourly:g} + "
            "(sum(ollama_fleet:pool_replicas * on (pool) ollama_fleet:replica_hourly_usd) or vector(0))",
        )


def _record(name: str, expression: str, **labels: str) -> Rule:
    return {"record": f"ollama_fleet:{name}", "expr": expression, **({"labels": labels} if labels else {})}


def _alerts(expected: Expected) -> Iterator[Rule]:
    yield _alert(
        "FleetErrorRate",
        f"ollama_fleet:errors:ratio5m > {ERROR_RATIO}",
        "5m",
        "critical",
        "{{ $value | humanizePercentage }} of the requests for {{ $labels.model }} fail",
    )
    yield _alert(
        "FleetFirstTokenSlow",
        f"ollama_fleet:first_token_seconds:p95_5m > {FIRST_TOKEN_SECONDS}",
        "10m",
        "warning",
        "clients of {{ $labels.model }} wait {{ $value | humanizeDuration }} for the first token",
    )
    yield _alert(
        "FleetRequestsHeld",
        f"ollama_fleet:pool_requests_waiting > {MOST_WAITING}",
        "10m",
        "warning",
        "{{ $value }} requests wait at {{ $labels.pool }}",
    )
    if expected.awake:
        yield _alert(
            "FleetPoolDown",
            f'ollama_fleet:pool_replicas{{pool=~"{_either(expected.awake)}"}} == 0',
            "5m",
            "critical",
            "no replica of {{ $labels.pool }} answers",
        )
    if expected.asleep:
        asleep = _either(expected.asleep)
        yield _alert(
            "FleetWakingTooLong",
            f'(ollama_fleet:pool_replicas{{pool=~"{asleep}"}} == 0) and on (pool) (ollama_fleet:pool_requests > 0)',
            f"{expected.wake_seconds}s",
            "warning",
            "requests wait for {{ $labels.pool }}, and no replica of it comes",
        )
    yield _alert(
        "FleetMapRefused",
        "max(ollama_fleet_map_faults) > 0 or max(ollama_fleet_door_faults) > 0 or min(ollama_fleet_envoy_follows) == 0",
        "2m",
        "warning",
        "the router does not follow what is mounted; the last good map, rules and keys serve on",
    )
    yield _alert(
        "FleetOverrideActive",
        "max(ollama_fleet_map_overridden) > 0",
        "1h",
        "info",
        "{{ $value }} models or pools go by hand edits and not by the file",
    )
    if expected.on_gpu:
        yield _alert(
            "FleetGpuNotUsed",
            f'max by (pool) (ollama_fleet_pool_models_off_gpu{{pool=~"{_either(expected.on_gpu)}"}}) > 0',
            "5m",
            "critical",
            "{{ $value }} models of {{ $labels.pool }} are not wholly on the GPU",
        )
    if expected.budget is not None and expected.hourly:
        yield _alert(
            "FleetCostAboveBudget",
            f"avg_over_time(ollama_fleet:hourly_usd[1d]) * {expected.hours_per_month} > {expected.budget:g}",
            "1h",
            "warning",
            f"at the rate of the last day a month costs {{{{ $value | humanize }}}} USD, above {expected.budget:g}",
        )
    yield _alert(
        "FleetMetricsMissing",
        "absent(ollama_fleet_map_in_force)",
        "5m",
        "critical",
        "no router is scraped: none runs, or nobody looks",
    )


def _alert(name: str, expression: str, held: str, severity: str, summary: str) -> Rule:
    return {
        "alert": name,
        "expr": expression,
        "for": held,
        "labels": {"severity": severity},
        "annotations": {"summary": summary, "runbook": f"{RUNBOOKS}/{name}.md"},
    }


def _either(pools: Sequence[str]) -> str:
    return "|".join(sorted(pools))
