"""The plan as JSON, for programs: every decision, in a shape that only grows within one `version`.

```
{"version": 1, "stack": "dev",
 "verdict": {"errors": 0, "warnings": 2},
 "problems": [{"severity": "error", "place": "fleet.pools.t4.gpu", "message": "...", "remedy": "..."}],
 "checked": ["memory"], "notChecked": ["quota"],
 "cluster": {"name": "...", "location": "...", "systemMachine": "...", ...} or null,
 "pools": [{"name": "t4", "hardware": "T4 16 GB, n1-standard-4", "sleeps": true,
            "memory": {"usedBytes": 1, "totalBytes": 2, "busiestBytes": 1, "verdict": "fits", ...},
            "residents": [{"model": "...", "need": {"sizeBytes": 1, "deviceBytes": 2, "kvBytes": 1, ...}, ...}],
            "nodes": {"machineType": "...", "diskGb": 100, "usdPerHour": 0.55, ...} or null,
            "cost": {"usdPerHour": {"minimum": 0, "maximum": 1.1}, "usdPerMonth": {...}} or null,
            "scaling": {"by": "inFlight", "target": 1, "upAfterSeconds": 30, "downAfterSeconds": 600, "windows": [...],
                        "kept": [{"replicas": 1, "hoursPerMonth": 217.3, "machines": 1, "usdPerMonth": 120.2}],
                        "sleep": {"wake": "hold", "holdForSeconds": 720, "heldAtMost": 200, "startsWithinSeconds": 445,
                                  "billedMinutes": 25, "wakeUsd": 0.23, "savedUsdPerHour": 0.55,
                                  "hoursPerMonth": 512.7} or null},
            "driver": {...}, "runtime": {...}, "placements": [...], ...}],
 "models": [{"name": "...", "route": ["t4"], "contextTokens": 8192, "needBytes": 1, "remarks": ["..."], ...}],
 "aliases": [{"name": "...", "targets": {"MODEL": 90}}],
 "router": {"port": 8080, "routes": "the text of routes.toml", "settings": {...}, ...},
 "cost": {"region": "...", "pricedIn": "...", "date": "2026-06-22", "hoursPerMonth": 730, "lines": [...],
          "base": {"usdPerHour": {...}, "usdPerMonth": {...}}, "total": {...}, "budgetUsdPerMonth": 3000.0 or null,
          "notCounted": ["..."]} or null,
 "quotas": [{"name": "NVIDIA_T4_GPUS", "where": "us-central1", "needed": 2}],
 "wakeMinutes": {"minimum": 4, "maximum": 6}, "keda": {"version": "...", ...} or null}
```

Names are the plan's own (infra/plan/model) in camelCase, with the unit behind them where the plan's name has none:
Bytes, Seconds, Tokens, Millicores, usdPerHour, usdPerMonth. `sizeBytes` is what `ollama ps` reports and `deviceBytes`
what the device shows. Keys are sorted, pools, models and aliases stand in order of their names, dates are ISO. Names
that the file chose (targets, labels, environment, API keys) are keys as they are written there.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from datetime import date
from math import ceil
from typing import Any

from pydantic import BaseModel

from infra.plan.model import CostLine, CostPlan, DriverPlan, FleetPlan, GpuMemory, Money, Need, PoolPlan
from infra.problem import Severity
from infra.report import figures, hardware, remarks

VERSION = 1
UNITS = {
    ("Need", "weights"): "weightsBytes",
    ("Need", "kv"): "kvBytes",
    ("Need", "graph"): "graphBytes",
    ("Need", "overhead"): "overheadBytes",
    ("Resident", "context"): "contextTokens",
    ("Resident", "disk"): "diskBytes",
    ("GpuMemory", "per_device"): "perDeviceBytes",
    ("GpuMemory", "used"): "usedBytes",
    ("GpuMemory", "busiest"): "busiestBytes",
    ("Nodes", "hourly"): "usdPerHour",
    ("PoolPlan", "context"): "contextTokens",
    ("PoolPlan", "cpu_request"): "cpuRequestMillicores",
    ("PoolPlan", "memory_request"): "memoryRequestBytes",
    ("PoolPlan", "prepare_cpu"): "prepareCpuMillicores",
    ("PoolPlan", "prepare_memory"): "prepareMemoryBytes",
    ("PoolPlan", "prepare_memory_limit"): "prepareMemoryLimitBytes",
    ("PoolPlan", "companion_cpu"): "companionCpuMillicores",
    ("PoolPlan", "companion_memory"): "companionMemoryBytes",
    ("PoolPlan", "companion_memory_limit"): "companionMemoryLimitBytes",
    ("PoolPlan", "model_storage"): "modelStorageBytes",
    ("PoolPlan", "volume"): "volumeBytes",
    ("PoolPlan", "pull_deadline"): "pullDeadlineSeconds",
    ("PoolPlan", "drain_limit"): "drainLimitSeconds",
    ("ScalingPlan", "up_after"): "upAfterSeconds",
    ("ScalingPlan", "down_after"): "downAfterSeconds",
    ("ScalingPlan", "up_every"): "upEverySeconds",
    ("ScalingPlan", "down_every"): "downEverySeconds",
    ("ScalingPlan", "look_every"): "lookEverySeconds",
    ("Asked", "cpu"): "cpuMillicores",
    ("Asked", "memory"): "memoryBytes",
    ("Asked", "memory_limit"): "memoryLimitBytes",
    ("SleepPlan", "hold_for"): "holdForSeconds",
    ("SleepPlan", "idle_after"): "idleAfterSeconds",
    ("SleepPlan", "starts_within"): "startsWithinSeconds",
    ("SleepPlan", "wake_cost"): "wakeUsd",
    ("SleepPlan", "saved_hourly"): "savedUsdPerHour",
    ("SleepPlan", "hours"): "hoursPerMonth",
    ("KeptPlan", "hours"): "hoursPerMonth",
    ("KeptPlan", "monthly"): "usdPerMonth",
    ("PoolPlan", "grace_period"): "gracePeriodSeconds",
    ("PoolPlan", "startup_period"): "startupPeriodSeconds",
    ("PoolPlan", "rollout_deadline"): "rolloutDeadlineSeconds",
    ("ModelPlan", "context"): "contextTokens",
    ("ModelPlan", "need"): "needBytes",
    ("RouterPlan", "cpu_request"): "cpuRequestMillicores",
    ("RouterPlan", "memory_request"): "memoryRequestBytes",
    ("RouterPlan", "memory_limit"): "memoryLimitBytes",
    ("RouterPlan", "control_cpu_request"): "controlCpuRequestMillicores",
    ("RouterPlan", "control_memory_request"): "controlMemoryRequestBytes",
    ("RouterPlan", "control_memory_limit"): "controlMemoryLimitBytes",
    ("RouterPlan", "drain_limit"): "drainLimitSeconds",
    ("RouterPlan", "cpu_target"): "cpuTargetPercent",
    ("Router", "max_body"): "maxBodyBytes",
    ("GpuExporterPlan", "cpu_request"): "cpuRequestMillicores",
    ("GpuExporterPlan", "memory_request"): "memoryRequestBytes",
    ("GpuExporterPlan", "memory_limit"): "memoryLimitBytes",
    ("ChatPlan", "cpu_request"): "cpuRequestMillicores",
    ("ChatPlan", "memory_request"): "memoryRequestBytes",
    ("ChatPlan", "memory_limit"): "memoryLimitBytes",
    ("ChatPlan", "envoy_cpu_request"): "envoyCpuRequestMillicores",
    ("ChatPlan", "envoy_memory_request"): "envoyMemoryRequestBytes",
    ("ChatPlan", "envoy_memory_limit"): "envoyMemoryLimitBytes",
    ("LoadTestPlan", "cpu_request"): "cpuRequestMillicores",
    ("LoadTestPlan", "memory_request"): "memoryRequestBytes",
    ("LoadTestPlan", "memory_limit"): "memoryLimitBytes",
    ("CostPlan", "budget"): "budgetUsdPerMonth",
}
"""Keys whose field has its unit in the dataclass's docstring only."""
CENTS_OF_CENTS = 6


def render(plan: FleetPlan) -> str:
    """The plan as JSON; equal plans give equal text, which is ASCII and ends with a newline."""
    return json.dumps(document(plan), indent=2, sort_keys=True) + "\n"


def document(plan: FleetPlan) -> dict[str, Any]:
    """The plan as JSON's own types, in the shape that this module's docstring describes."""
    whole: dict[str, Any] = _plain(plan)
    whole["version"] = VERSION
    whole["verdict"] = {f"{severity}s": len(figures.of(plan, severity)) for severity in Severity}
    whole["wakeMinutes"] = dict(zip(("minimum", "maximum"), plan.wake_minutes, strict=True))
    for entry, pool in zip(whole["pools"], plan.pools, strict=True):
        entry["hardware"] = hardware.hardware(plan, pool)
        priced = plan.cost is not None and pool.nodes is not None
        entry["cost"] = _money(plan.cost, plan.cost.pool(pool.name)) if plan.cost and priced else None
    for entry, model in zip(whole["models"], plan.models, strict=True):
        one = remarks.resident(plan, model)
        entry["sizeBytes"] = one.need.size if one else None
        entry["remarks"] = list(remarks.remarks(plan, model))
    if plan.cost is not None:
        lines = zip(whole["cost"]["lines"], plan.cost.lines, strict=True)
        whole["cost"]["lines"] = [_line(plan.cost, entry, line) for entry, line in lines]
        whole["cost"]["base"] = _money(plan.cost, plan.cost.base)
        whole["cost"]["total"] = _money(plan.cost, plan.cost.total)
    return whole


def _line(cost: CostPlan, entry: dict[str, Any], line: CostLine) -> dict[str, Any]:
    return {"title": entry["title"], "pool": entry["pool"], **_money(cost, line.hourly)}


def _money(cost: CostPlan, hourly: Money) -> dict[str, Any]:
    ends = {"minimum": hourly.minimum, "maximum": hourly.maximum}
    return {
        "usdPerHour": {end: round(value, CENTS_OF_CENTS) for end, value in ends.items()},
        "usdPerMonth": {end: round(cost.monthly(value), 2) for end, value in ends.items()},
    }


def _need(need: Need) -> dict[str, Any]:
    return {"sizeBytes": need.size, "deviceBytes": need.device}


def _memory(memory: GpuMemory) -> dict[str, Any]:
    return {"totalBytes": memory.total, "share": round(memory.share, 4)}


def _driver(driver: DriverPlan) -> dict[str, Any]:
    known = driver.exact is not None or driver.branch is not None
    return {"request": driver.request if known else None, "expected": driver.expected if known else None}


def _pool(pool: PoolPlan) -> dict[str, Any]:
    return {"sleeps": pool.sleeps, "volumeGb": ceil(pool.volume / 10**9)}


DERIVED: dict[type, Callable[[Any], dict[str, Any]]] = {
    Need: _need,
    GpuMemory: _memory,
    DriverPlan: _driver,
    PoolPlan: _pool,
}
"""Properties of the plan that stand beside its fields."""


def _plain(value: Any) -> Any:
    """Dataclasses and config sections with all their fields, whatever they will be."""
    if is_dataclass(value) and not isinstance(value, type):
        derived = DERIVED.get(type(value))
        own = {_key(value, field.name): _plain(getattr(value, field.name)) for field in fields(value)}
        return own | (derived(value) if derived else {})
    if isinstance(value, BaseModel):
        return {_key(value, name): _plain(getattr(value, name)) for name in type(value).model_fields}
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, (tuple, list)):
        return [_plain(item) for item in value]
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, float):
        return round(value, CENTS_OF_CENTS)
    return str(value) if isinstance(value, str) else value


def _key(owner: object, name: str) -> str:
    head, *tail = name.split("_")
    return UNITS.get((type(owner).__name__, name)) or head + "".join(part.capitalize() for part in tail)
