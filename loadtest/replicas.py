"""How many replicas the pools have, as the router's metrics tell it."""

import re
from collections.abc import Mapping

import requests

from loadtest.report import Reading

SECONDS = 5.0
LINE = re.compile(
    r'^ollama_fleet_pool_(replicas|requests_in_flight)\{pool="([a-z0-9-]{1,63})"\} (\d{1,9})', re.MULTILINE
)


def read(url: str, at: float) -> list[Reading]:
    """One reading of each pool; none while the metrics cannot be had."""
    try:
        answer = requests.get(url, timeout=SECONDS, proxies={"http": "", "https": ""})
    except requests.exceptions.RequestException:
        return []
    return parse(answer.text, at) if answer.ok else []


def parse(text: str, at: float) -> list[Reading]:
    """The readings in the text of the metrics."""
    found: dict[str, Mapping[str, int]] = {}
    for name, pool, value in LINE.findall(text):
        found[pool] = {**found.get(pool, {}), name: int(value)}
    return [
        Reading(at=at, pool=pool, replicas=its["replicas"], in_flight=its.get("requests_in_flight", 0))
        for pool, its in found.items()
        if "replicas" in its
    ]
