"""The text of facts.json: what the router is told of models and pools beside routes.toml, whose form is fixed."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from infra.config import FleetConfig
from infra.names import canonical_model
from infra.plan.model import ModelPlan, PoolPlan
from infra.plan.placement import Known


def render(
    config: FleetConfig, known: Mapping[str, Known], models: Sequence[ModelPlan], pools: Sequence[PoolPlan]
) -> str:
    """facts.json for these decisions, an entry a line; the same decisions give the same text."""
    digests = {canonical_model(name): model.digest for name, model in config.models.items()}
    versions = sorted((pool.runtime.version for pool in pools if pool.runtime.version), key=_comparable)
    facts: dict[str, dict[str, Any]] = {
        "models": {model.name: _model(known[model.name], digests[canonical_model(model.name)]) for model in models},
        "pools": {pool.name: entry for pool in pools if (entry := _pool(config, pool))},
    }
    lines = [f'"version": {json.dumps(versions[0])}'] if versions else []
    for section, entries in facts.items():
        inner = ",\n".join(f"{json.dumps(name)}: {json.dumps(entry)}" for name, entry in sorted(entries.items()))
        lines.append(f'"{section}": {{\n{inner}\n}}' if inner else f'"{section}": {{}}')
    return "{\n" + ",\n".join(lines) + "\n}\n"


def _model(known: Known, digest: str | None) -> dict[str, Any]:
    entry: dict[str, Any] = {"size": known.disk}
    # that of a model made from a Modelfile is known when it is made
    if digest:
        entry["digest"] = digest
    if known.facts is not None:
        family = known.facts.family
        entry["details"] = {
            "format": "gguf",
            "family": family,
            "families": [family],
            "quantization_level": known.facts.quantization,
        }
    return entry


def _pool(config: FleetConfig, pool: PoolPlan) -> dict[str, Any]:
    entry: dict[str, Any] = {}
    if pool.runtime.missing_routes:
        entry["missing"] = list(pool.runtime.missing_routes)
    if config.pools[pool.name].when_busy == "spill":
        entry["spillsAt"] = pool.parallel
    if sleep := pool.scaling.sleep:
        entry["sleeps"] = {
            "wake": sleep.wake,
            "holdFor": sleep.hold_for,
            "heldAtMost": sleep.held_at_most,
            "startsWithin": sleep.starts_within,
        }
    return entry


def _comparable(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdigit())
