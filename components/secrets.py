"""The stack's secrets beside the fleet object, checked by name and form; no value is ever in a message."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pulumi

from infra.plan.model import FleetPlan
from infra.problem import Problem, error

API_KEYS = "apiKeys"
SHORTEST_KEY = 16
LONGEST_KEY = 512
HOW = f"pulumi config set --secret --path ollama-fleet:{API_KEYS}.NAME"
SITE_TOKENS = "siteTokens"
KUBECONFIGS = "kubeconfigs"


@dataclass(frozen=True, kw_only=True)
class Secrets:
    """Everything that the stack sets beside the fleet object, by the names of keys and sites."""

    api_keys: Mapping[str, pulumi.Output[str]] = field(default_factory=dict)
    site_tokens: Mapping[str, pulumi.Output[str]] = field(default_factory=dict)
    kubeconfigs: Mapping[str, pulumi.Output[str]] = field(default_factory=dict)


def read(plan: FleetPlan) -> tuple[Secrets, list[Problem]]:
    """The secrets of the stack, and what is wrong with them."""
    keys, wrong_keys = api_keys(plan)
    tokens, wrong_tokens = _of_sites(SITE_TOKENS, [site.name for site in plan.sites])
    applied = [site.name for site in plan.sites if site.cluster is not None and site.cluster.applied]
    kubeconfigs, wrong_configs = _of_sites(KUBECONFIGS, applied)
    found = Secrets(api_keys=keys, site_tokens=tokens, kubeconfigs=kubeconfigs)
    return found, [*wrong_keys, *wrong_tokens, *wrong_configs]


def _of_sites(name: str, sites: Sequence[str]) -> tuple[Mapping[str, pulumi.Output[str]], list[Problem]]:
    config = pulumi.Config("ollama-fleet")
    text = config.get(name)
    if text is None:
        return {}, []
    place, how = f"ollama-fleet:{name}", f"pulumi config set --secret --path ollama-fleet:{name}.SITE"
    found = _mapping(text)
    if found is None:
        return {}, [error(place, "it is not a mapping from the name of a site to its secret", how)]
    if not pulumi.runtime.config.is_config_secret(config.full_key(name)):
        return {}, [error(place, "it stands there in clear", f"take it out, then {how}")]
    listed = ", ".join(sites) or "none that takes one"
    problems = [
        error(f"{place}.{site}", "the file has no such site, or it takes none", f"sites: {listed}")
        for site in sorted(found.keys() - set(sites))
    ]
    if name == SITE_TOKENS:
        problems += _unfit(found, place)
    return {site: pulumi.Output.secret(one) for site, one in found.items() if isinstance(one, str)}, problems


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
