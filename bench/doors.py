"""The door as bench/door.py measures it: keys, limits, options and log on, in front of servers of loopback."""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.router.door import Door

KEYS = {
    "everyone": "everyone-0123456789-abcdefghijklmnopqrstuvw",
    "search": "search-0123456789-abcdefghijklmnopqrstuvwxyz",
}
CONTEXT = 8192
LIMIT = 2**31 - 1
STREAMER = "streamer"
"""The model whose pool streams."""


def models(size: int) -> list[str]:
    """Names of so many models."""
    return [f"model-{number}:8b" for number in range(size)]


def routes(orders: Mapping[str, Sequence[str]], pools: Mapping[str, Sequence[int]]) -> str:
    """The text of a map: the pools of each model, and the ports of each pool."""
    return "\n".join(
        [
            "[routes]",
            *(f'"{name}" = {json.dumps(list(order))}' for name, order in orders.items()),
            "[pools]",
            *(f"{name} = {_pool(ports)}" for name, ports in pools.items()),
            "",
        ]
    )


def _pool(ports: Sequence[int]) -> str:
    """One address as a Service of the cluster has it, several as the replicas of a site."""
    addresses = [f"127.0.0.1:{port}" for port in ports]
    if len(addresses) == 1:
        return json.dumps(addresses[0])
    return f"{{urls = {json.dumps([f'http://{address}' for address in addresses])}}}"


def door(envoy: Path, folder: Path, names: Sequence[str], text: str) -> Door:
    """A router with this map."""
    rules = {
        "keys": {name: {"requestsPerMinute": LIMIT} for name in KEYS},
        "clientOptions": "refuse",
        "contexts": dict.fromkeys(names, CONTEXT),
    }
    return Door(envoy, folder, text, keys=KEYS, rules=rules, period=2.0, python=sys.executable)
