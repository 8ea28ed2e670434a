"""The stack's secrets beside the fleet object, checked by name and form; no value is ever in a message."""

import json
from collections.abc import Mapping
from typing import Any

import pulumi

from infra.plan.model import FleetPlan
from infra.problem import Problem, error

API_KEYS = "apiKeys"
SHORTEST_KEY = 16
LONGEST_KEY = 512
HOW = f"pulumi config set --secret --path ollama-fleet:{API_KEYS}.NAME"


def api_keys(plan: FleetPlan) -> tuple[Mapping[str, pulumi.Output[str]], list[Problem]]:
    """The keys that the stack sets, by name, and what is wrong with them."""
    config = pulumi.Config("ollama-fleet")
    # read at once, not as an Output: the names decide which keys are made
    text = config.get(API_KEYS)
    if text is None:
        return {}, []
    place = f"ollama-fleet:{API_KEYS}"
    found = _mapping(text)
    if found is None:
        return {}, [error(place, "it is not a mapping from the name of a key to the key", HOW)]
    if not pulumi.runtime.config.is_config_secret(config.full_key(API_KEYS)):
        return {}, [error(place, "it stands there in clear", f"take it out, then {HOW}")]
    problems = [*_unknown(plan, found, place), *_unfit(found, place)]
    return {name: pulumi.Output.secret(key) for name, key in found.items() if isinstance(key, str)}, problems


def _unknown(plan: FleetPlan, found: Mapping[str, Any], place: str) -> list[Problem]:
    listed = ", ".join(plan.router.keys) or "none, since auth is none"
    return [
        error(f"{place}.{name}", "fleet.router.keys names no such key", f"keys: {listed}")
        for name in sorted(found.keys() - set(plan.router.keys))
    ]


def _unfit(found: Mapping[str, Any], place: str) -> list[Problem]:
    problems = [
        error(
            f"{place}.{name}",
            f"it is not a key of {SHORTEST_KEY} to {LONGEST_KEY} visible ASCII characters",
            "take it out, and one is made",
        )
        for name, key in sorted(found.items())
        if not (isinstance(key, str) and SHORTEST_KEY <= len(key) <= LONGEST_KEY and key.isascii() and _visible(key))
    ]
    if len({json.dumps(key) for key in found.values()}) < len(found):
        problems.append(error(place, "two names have the same key", "give each its own"))
    return problems


def _visible(key: str) -> bool:
    return key.isprintable() and " " not in key


def _mapping(text: str) -> dict[str, Any] | None:
    try:
        found = json.loads(text)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None
