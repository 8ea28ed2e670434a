"""Grafana dashboards: the fleet, one model, and the GPUs where somebody reads them."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from monitoring import gpus

WIDTH, HEIGHT, COLUMNS = 8, 8, 24
SOURCE = {"type": "prometheus", "uid": "${source}"}
MODEL = "$model"
RATE = "$__rate_interval"

Query = tuple[str, str]
"""PromQL, and the name of its lines."""
Panel = tuple[str, str, Sequence[Query]]
"""Title, unit, queries."""


def dashboards(*, with_gpus: bool = True) -> dict[str, str]:
    """The JSON of each by its file name, as Grafana imports it or reads it from a folder."""
    found = {
        "fleet.json": _dashboard("ollama-fleet", "Ollama fleet", FLEET, ()),
        "model.json": _dashboard("ollama-fleet-model", "Ollama fleet: a model", ONE_MODEL, (_model_variable(),)),
    }
    if with_gpus:
        found["gpus.json"] = _dashboard("ollama-fleet-gpus", "Ollama fleet: GPUs", GPUS, ())
    return found


def _rate(name: str, by: str, more: str = "") -> str:
    return f'sum by ({by}) (rate({name}{{model!=""{more}}}[{RATE}]))'


def _quantile(share: float, name: str, by: str, more: str = "") -> str:
    return f"histogram_quantile({share}, {_rate(f'{name}_bucket', f'{by}, le', more)}) / 1000"


ONLY = f',model="{MODEL}"'

FLEET: Sequence[Panel] = (
    ("Requests by model", "reqps", [(_rate("envoy_fleet_requests", "model"), "{{model}}")]),
    ("Requests by status", "reqps", [(_rate("envoy_fleet_requests", "status"), "{{status}}")]),
    ("Requests by key", "reqps", [(_rate("envoy_fleet_requests", "key"), "{{key}}")]),
    ("First token, p95", "s", [(_quantile(0.95, "envoy_fleet_first_byte_ms", "model"), "{{model}}")]),
    ("Whole answer, p95", "s", [(_quantile(0.95, "envoy_fleet_duration_ms", "model"), "{{model}}")]),
    ("Under way by pool", "none", [("sum by (pool) (ollama_fleet_pool_requests_in_flight)", "{{pool}}")]),
    ("Replicas by pool", "none", [("max by (pool) (ollama_fleet_pool_replicas)", "{{pool}}")]),
    ("Models in memory by pool", "none", [("max by (pool) (ollama_fleet_pool_models_loaded)", "{{pool}}")]),
    ("Models not wholly on the GPU", "none", [("max by (pool) (ollama_fleet_pool_models_off_gpu)", "{{pool}}")]),
    ("Answers by pool", "Bps", [(_rate("envoy_fleet_bytes_out", "pool"), "{{pool}}")]),
    (
        "The map",
        "none",
        [
            ("max(ollama_fleet_map_faults)", "faults of the map"),
            ("max(ollama_fleet_door_faults)", "faults of rules, keys, certificate"),
            ("max(ollama_fleet_map_overridden)", "decided by hand"),
            ("1 - min(ollama_fleet_envoy_follows)", "not followed"),
        ],
    ),
    ("Memory of the routers' Envoys", "bytes", [("sum(envoy_server_memory_allocated)", "all")]),
)
ONE_MODEL: Sequence[Panel] = (
    ("Requests by pool", "reqps", [(_rate("envoy_fleet_requests", "pool", ONLY), "{{pool}}")]),
    ("Requests by status", "reqps", [(_rate("envoy_fleet_requests", "status", ONLY), "{{status}}")]),
    ("Requests by key", "reqps", [(_rate("envoy_fleet_requests", "key", ONLY), "{{key}}")]),
    (
        "First token",
        "s",
        [
            (_quantile(share, "envoy_fleet_first_byte_ms", "model", ONLY), f"p{100 * share:.0f}")
            for share in (0.5, 0.95, 0.99)
        ],
    ),
    (
        "Whole answer",
        "s",
        [
            (_quantile(share, "envoy_fleet_duration_ms", "model", ONLY), f"p{100 * share:.0f}")
            for share in (0.5, 0.95, 0.99)
        ],
    ),
    (
        "Pools tried for one request",
        "none",
        [(f"{_rate('envoy_fleet_attempts', 'model', ONLY)} / {_rate('envoy_fleet_requests', 'model', ONLY)}", "mean")],
    ),
    ("Asked", "Bps", [(_rate("envoy_fleet_bytes_in", "pool", ONLY), "{{pool}}")]),
    ("Answered", "Bps", [(_rate("envoy_fleet_bytes_out", "pool", ONLY), "{{pool}}")]),
)


def _gpu(name: str) -> str:
    """Of the fleet's own exporters: one that somebody else runs beside them says no pool."""
    return f'{name}{{pool!=""}}'


BY_GPU = "{{pool}} {{UUID}}"
SHARE_USED = (
    f"sum by (pool) ({_gpu(gpus.MEMORY_USED)}) / sum by (pool) ({_gpu(gpus.MEMORY_USED)} + {_gpu(gpus.MEMORY_FREE)})"
)
GPUS: Sequence[Panel] = (
    ("Use by pool", "percent", [(f"avg by (pool) ({_gpu(gpus.USE)})", "{{pool}}")]),
    ("Use by GPU", "percent", [(f"max by (pool, UUID) ({_gpu(gpus.USE)})", BY_GPU)]),
    ("Memory used by pool", "percentunit", [(SHARE_USED, "{{pool}}")]),
    ("Memory used by GPU", "bytes", [(f"max by (pool, UUID) ({_gpu(gpus.MEMORY_USED)}) * 1048576", BY_GPU)]),
    ("Temperature, hottest of a pool", "celsius", [(f"max by (pool) ({_gpu(gpus.TEMPERATURE)})", "{{pool}}")]),
    ("Power by pool", "watt", [(f"sum by (pool) ({_gpu(gpus.POWER)})", "{{pool}}")]),
    ("Clock, slowest of a pool", "hertz", [(f"min by (pool) ({_gpu(gpus.CLOCK)}) * 1000000", "{{pool}}")]),
    ("Last XID error", "none", [(f"max by (pool, UUID) ({_gpu(gpus.FAULT)})", BY_GPU)]),
)


def _dashboard(uid: str, title: str, panels: Sequence[Panel], variables: Sequence[Mapping[str, Any]]) -> str:
    source = {"name": "source", "label": "Source", "type": "datasource", "query": "prometheus", "hide": 0}
    whole = {
        "uid": uid,
        "title": title,
        "tags": ["ollama-fleet"],
        "schemaVersion": 39,
        "version": 1,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "timezone": "browser",
        "templating": {"list": [source, *variables]},
        "panels": [_panel(number, panel) for number, panel in enumerate(panels)],
    }
    return json.dumps(whole, indent=1) + "\n"


def _panel(number: int, panel: Panel) -> dict[str, Any]:
    title, unit, queries = panel
    across = COLUMNS // WIDTH
    return {
        "id": number + 1,
        "type": "timeseries",
        "title": title,
        "datasource": SOURCE,
        "gridPos": {"x": WIDTH * (number % across), "y": HEIGHT * (number // across), "w": WIDTH, "h": HEIGHT},
        "fieldConfig": {"defaults": {"unit": unit, "min": 0}, "overrides": []},
        "options": {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}},
        "targets": [
            {"refId": chr(ord("A") + index), "datasource": SOURCE, "expr": expression, "legendFormat": legend}
            for index, (expression, legend) in enumerate(queries)
        ],
    }


def _model_variable() -> dict[str, Any]:
    return {
        "name": "model",
        "label": "Model",
        "type": "query",
        "datasource": SOURCE,
        "query": {"query": 'label_values(envoy_fleet_requests{model!=""}, model)', "refId": "model"},
        "refresh": 2,
        "sort": 1,
        "hide": 0,
    }
