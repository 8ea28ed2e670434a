"""What is the same inside the containers of door and servers, in a pod and in Docker: folders, and how they start."""

from collections.abc import Mapping

from infra.plan.model import RouterPlan
from router import facts, maps, rules, sites
from router.envoy import BOOTSTRAP

HOME = "/ollama"
STORE = f"{HOME}/models"
_MOUNTED = "/etc/ollama-fleet"
PREPARE = f"{_MOUNTED}/prepare"
"""The shell that brings models into place, and the CA of a proxy."""
MODELS = f"{_MOUNTED}/models"
"""The list that it follows, and Modelfiles."""
ROUTES = f"{_MOUNTED}/routes"
OVERRIDE = f"{_MOUNTED}/override"
KEYS = f"{_MOUNTED}/keys"
TOKENS = f"{_MOUNTED}/tokens"
CERTIFICATE = f"{_MOUNTED}/tls"
PROGRAM = "/opt/ollama-fleet"
"""Of the process beside Envoy."""
MEMORY = "/run/ollama-fleet"
"""What that process writes and Envoy reads."""


def map_files(plan: RouterPlan, authorities: Mapping[str, str]) -> dict[str, str]:
    """Name -> text of what lies in ROUTES; `authorities` are those of its sites that are mounted there."""
    return {
        maps.ROUTES: plan.routes,
        facts.FILE: plan.facts,
        rules.FILE: plan.rules,
        **{sites.AUTHORITY.format(site): text for site, text in authorities.items()},
    }


def envoy_arguments(plan: RouterPlan) -> list[str]:
    """What Envoy is started with."""
    return [
        *("--config-path", f"{MEMORY}/{BOOTSTRAP}", "--disable-hot-restart", "--concurrency", str(plan.threads)),
        *("--drain-time-s", str(plan.leave_seconds), "--log-level", "warning"),
        # of the log of requests, for who follows it; left to itself Envoy writes every ten seconds
        *("--file-flush-interval-msec", "1000"),
    ]


def router_options(plan: RouterPlan, mounted: Mapping[str, str]) -> list[str]:
    """What the process beside it is started with; `mounted` are the options that name folders."""
    values: dict[str, object] = {
        **mounted,
        "directory": MEMORY,
        "port": plan.port,
        "admin-port": plan.admin_port,
        "beside-port": plan.beside_port,
        "spill-port": plan.spill_port,
        "metrics-port": plan.metrics_port,
        "memory": plan.memory_limit,
        "leave": plan.leave_seconds,
        "drain-limit": plan.drain_limit,
    }
    return [f"--{name}={value}" for name, value in values.items()]
