"""The rules: Prometheus takes them, every alert fires for its reason, and a healthy fleet hears none."""

import json
import re
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from infra.plan.build import decide
from infra.plan.model import MonitoringPlan
from infra.stack import read
from monitoring import Expected, groups
from monitoring.rules import RUNBOOKS

ROOT = Path(__file__).parents[2]
MINUTE = 60


def plan(**changes: Any) -> MonitoringPlan:
    fleet = {**read(ROOT, "dev").fleet, "monitoring": True, **changes}
    found = decide(fleet, stack="dev", project="example-project").monitoring
    assert found is not None
    return found


RULES = plan().rules
ALERTS = {rule["alert"]: rule for group in RULES for rule in group["rules"] if "alert" in rule}

HEALTHY = {
    'envoy_fleet_requests{model="m",pool="t4",key="k",status="200"}': "0+60x2000",
    'envoy_fleet_requests{model="m",pool="t4",key="k",status="503"}': "0+0x2000",
    'envoy_fleet_first_byte_ms_bucket{model="m",pool="t4",key="k",le="1000"}': "0+60x2000",
    'envoy_fleet_first_byte_ms_bucket{model="m",pool="t4",key="k",le="60000"}': "0+60x2000",
    'envoy_fleet_first_byte_ms_bucket{model="m",pool="t4",key="k",le="+Inf"}': "0+60x2000",
    "ollama_fleet_map_in_force": "1+0x2000",
    "ollama_fleet_map_faults": "0+0x2000",
    "ollama_fleet_door_faults": "0+0x2000",
    "ollama_fleet_map_overridden": "0+0x2000",
    "ollama_fleet_envoy_follows": "1+0x2000",
    # a100 and t4 may sleep, and a100 does
    **{
        f'ollama_fleet_pool_{name}{{pool="{pool}"}}': f"{value}+0x2000"
        for pool, replicas, under_way in (("a100", 0, 0), ("t4", 1, 1), ("k80", 1, 3), ("m60", 1, 0))
        for name, value in (
            ("replicas", replicas),
            ("requests_in_flight", under_way),
            ("models_loaded", replicas),
            ("models_off_gpu", 0),
        )
    },
}
"""What a fleet shows that serves: one series a line, one value a minute."""

SICK: Mapping[str, Mapping[str, str]] = {
    "FleetErrorRate": {'envoy_fleet_requests{model="m",pool="t4",key="k",status="503"}': "0+6x2000"},
    "FleetFirstTokenSlow": {'envoy_fleet_first_byte_ms_bucket{model="m",pool="t4",key="k",le="1000"}': "0+6x2000"},
    "FleetRequestsHeld": {'ollama_fleet_pool_requests_in_flight{pool="t4"}': "22+0x2000"},
    "FleetPoolDown": {'ollama_fleet_pool_replicas{pool="k80"}': "1 1 1 0+0x2000"},
    "FleetWakingTooLong": {'ollama_fleet_pool_requests_in_flight{pool="a100"}': "1+0x2000"},
    "FleetMapRefused": {"ollama_fleet_map_faults": "0 0 1+0x2000"},
    "FleetOverrideActive": {"ollama_fleet_map_overridden": "2+0x2000"},
    "FleetGpuNotUsed": {'ollama_fleet_pool_models_off_gpu{pool="m60"}': "1+0x2000"},
    "FleetCostAboveBudget": {'ollama_fleet_pool_replicas{pool="t4"}': "12+0x2000"},
    "FleetMetricsMissing": {"ollama_fleet_map_in_force": "1 1 _x2000"},
}
"""For each alert what it is for, instead of the healthy figures."""

MORE_REASONS: Sequence[tuple[str, Mapping[str, str]]] = (
    ("FleetMapRefused", {"ollama_fleet_envoy_follows": "0+0x2000"}),
    ("FleetMapRefused", {"ollama_fleet_door_faults": "1+0x2000"}),
)


def seconds(duration: str) -> int:
    number, unit = re.fullmatch(r"(\d+)([smh])", duration).groups()  # type: ignore[union-attr]
    return int(number) * {"s": 1, "m": 60, "h": 3600}[unit]


def ran(promtool: str, folder: Path, figures: Mapping[str, str], firing: Mapping[float, Sequence[str]]) -> str:
    """What promtool holds against these figures and these alerts, by minute; nothing where it is so."""
    (folder / "rules.yml").write_text(json.dumps({"groups": RULES}))
    asked = [
        {
            "expr": 'count by (alertname) (ALERTS{alertstate="firing"})',
            "eval_time": f"{minutes * MINUTE:.0f}s",
            "exp_samples": [{"labels": f'{{alertname="{alert}"}}', "value": 1} for alert in alerts],
        }
        for minutes, alerts in firing.items()
    ]
    series = [{"series": name, "values": values} for name, values in figures.items()]
    test = {"interval": "1m", "input_series": series, "promql_expr_test": asked}
    whole = {"rule_files": ["rules.yml"], "evaluation_interval": "30s", "tests": [test]}
    (folder / "test.yml").write_text(json.dumps(whole))
    done = subprocess.run(
        [promtool, "test", "rules", "test.yml"], cwd=folder, capture_output=True, text=True, check=False
    )
    return "" if done.returncode == 0 else done.stdout + done.stderr


def test_prometheus_takes_the_rules(promtool: str, tmp_path: Path) -> None:
    (tmp_path / "rules.yml").write_text(json.dumps({"groups": RULES}))
    done = subprocess.run(
        [promtool, "check", "rules", "rules.yml"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_has_a_reason_here() -> None:
    assert set(SICK) == set(ALERTS)


def test_a_healthy_fleet_hears_nothing_for_a_day_and_more(promtool: str, tmp_path: Path) -> None:
    assert not ran(promtool, tmp_path, HEALTHY, {minutes: [] for minutes in (1, 20, 90, 30 * MINUTE)})


@pytest.mark.parametrize(
    ("alert", "figures"), [*SICK.items(), *MORE_REASONS], ids=[*SICK, *(f"{one} again" for one, _ in MORE_REASONS)]
)
def test_an_alert_fires_for_its_reason_alone_and_not_before_its_time(
    promtool: str, tmp_path: Path, alert: str, figures: Mapping[str, str]
) -> None:
    sick = {**HEALTHY, **figures}
    if alert == "FleetMetricsMissing":
        sick = {name: values for name, values in sick.items() if not name.startswith("ollama_fleet_map_in_force")}
    held = seconds(ALERTS[alert]["for"]) / MINUTE
    assert not ran(promtool, tmp_path, sick, {held - 0.5: [], held + 10: [alert]})


def test_an_alert_that_does_not_come_is_noticed(promtool: str, tmp_path: Path) -> None:
    assert "FleetPoolDown" in ran(promtool, tmp_path, HEALTHY, {10: ["FleetPoolDown"]})


def test_each_alert_has_its_page_and_each_page_its_alert() -> None:
    pages = {path.stem for path in (ROOT / RUNBOOKS).glob("Fleet*.md")}
    assert pages == set(ALERTS)
    for alert, rule in ALERTS.items():
        assert rule["annotations"]["runbook"] == f"{RUNBOOKS}/{alert}.md"
        text = (ROOT / RUNBOOKS / f"{alert}.md").read_text()
        assert text.startswith(f"# {alert}\n")
        for part in ("## What it means", "## Look", "## Do"):
            assert part in text, f"{alert} lacks {part}"


def test_what_a_fleet_does_not_have_has_no_alert() -> None:
    bare = Expected(
        parallel={}, awake=[], asleep=[], on_gpu=[], wake_seconds=1, base_hourly=0, hourly={}, hours_per_month=730,
        budget=None,
    )  # fmt: skip
    names = {rule["alert"] for group in groups(bare) for rule in group["rules"] if "alert" in rule}
    assert set(ALERTS) - names == {"FleetPoolDown", "FleetWakingTooLong", "FleetGpuNotUsed", "FleetCostAboveBudget"}


def test_the_rules_name_the_pools_the_prices_and_the_budget_of_the_file() -> None:
    cheap = plan(budget={"monthlyUsd": 123})
    (cost,) = [rule for group in cheap.rules for rule in group["rules"] if rule.get("alert") == "FleetCostAboveBudget"]
    assert cost["expr"].endswith("* 730 > 123")
    assert '{pool=~"k80|m60"}' in ALERTS["FleetPoolDown"]["expr"]
    assert '{pool=~"a100|t4"}' in ALERTS["FleetWakingTooLong"]["expr"]
    assert ALERTS["FleetWakingTooLong"]["for"] == "720s"
    prices = {
        rule["labels"]["pool"] for group in RULES for rule in group["rules"]
        if rule.get("record") == "ollama_fleet:replica_hourly_usd"
    }  # fmt: skip
    assert prices == {"a100", "t4"}
