"""The text of routes.toml, the map that the router and the servers follow (one line an entry, by name)."""

import json
import re
from collections.abc import Iterator, Sequence

from infra.config import FleetConfig
from infra.plan.model import OLLAMA_PORT, AliasPlan, ModelPlan, PoolPlan
from infra.plan.naming import OVERRIDE, host

HEADER = f"# Written by `pulumi up`: edits here are overwritten. Hand edits go to the ConfigMap {OVERRIDE}.\n"


def address(config: FleetConfig, pool: str, *, workload: str, namespace: str) -> str:
    """Where the router finds a pool: its Service in the cluster, its site's URL, or the same Docker host."""
    site = config.sites.get(config.pools[pool].site or "")
    if site is not None and (url := [*site.endpoints, site.url][0]):
        return url
    if site is not None and site.kind == "docker":
        return f"{workload}:{OLLAMA_PORT}"
    return f"{host(workload, namespace)}:{OLLAMA_PORT}"


def render(
    config: FleetConfig,
    models: Sequence[ModelPlan],
    aliases: Sequence[AliasPlan],
    pools: Sequence[PoolPlan],
    *,
    header: str = HEADER,
) -> str:
    """routes.toml for these decisions; the same decisions give the same text."""
    lines = ["[routes]", *sorted([*map(_route, models), *map(_alias, aliases)])]
    lines += ["", "[pools]", *(line for pool in pools for line in _pool(config, pool))]
    return header + "\n".join(lines) + "\n"


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else json.dumps(name)


def _route(model: ModelPlan) -> str:
    return f"{_key(model.name)} = {json.dumps(list(model.route))}"


def _alias(alias: AliasPlan) -> str:
    if len(alias.targets) == 1:
        return f"{_key(alias.name)} = {json.dumps(next(iter(alias.targets)))}"
    parts = ", ".join(f"{json.dumps(target)} = {weight}" for target, weight in sorted(alias.targets.items()))
    return f"{_key(alias.name)} = {{{parts}}}"


def _pool(config: FleetConfig, pool: PoolPlan) -> Iterator[str]:
    site = config.sites.get(pool.site or "")
    if site is None or (site.url is None and not site.endpoints):
        yield f"{_key(pool.name)} = {json.dumps(pool.address)}"
    elif len(site.endpoints) > 1:
        yield f"{_key(pool.name)} = {{urls = {json.dumps(list(site.endpoints))}, token = {json.dumps(pool.site)}}}"
    else:
        yield f"{_key(pool.name)} = {{url = {json.dumps(pool.address)}, token = {json.dumps(pool.site)}}}"
