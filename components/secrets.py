"""The stack's secrets beside the fleet object, checked by name and form; no value is ever in a message."""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import pulumi

from infra.plan.model import FleetPlan
from infra.problem import Problem, error

API_KEYS, SITE_TOKENS, KUBECONFIGS = "apiKeys", "siteTokens", "kubeconfigs"
SHORTEST_KEY = 16
LONGEST = 512
LONGEST_KUBECONFIG = 2**20
HOW = "pulumi config set --secret --path ollama-fleet:{}.NAME"

Given = tuple[Mapping[str, pulumi.Output[str]], list[Problem]]


@dataclass(frozen=True, kw_only=True)
class Secrets:
    """Everything that the stack sets beside the fleet object, by the names of keys and sites."""

    api_keys: Mapping[str, pulumi.Output[str]] = field(default_factory=dict)
    site_tokens: Mapping[str, pulumi.Output[str]] = field(default_factory=dict)
    kubeconfigs: Mapping[str, pulumi.Output[str]] = field(default_factory=dict)


def read(plan: FleetPlan) -> tuple[Secrets, list[Problem]]:
    """The secrets of the stack, and what is wrong with them."""
    (keys, of_keys), (tokens, of_tokens), (configs, of_configs) = api_keys(plan), site_tokens(plan), kubeconfigs(plan)
    found = Secrets(api_keys=keys, site_tokens=tokens, kubeconfigs=configs)
    return found, [*of_keys, *of_tokens, *of_configs]


def api_keys(plan: FleetPlan) -> Given:
    """The keys of the door that the stack sets, by name, and what is wrong with them."""
    names = plan.router.keys
    listed = f"keys: {', '.join(names) or 'none, since auth is none'}"
    unknown = "fleet.router.keys names no such key"
    return _given(API_KEYS, names, unknown, listed, shortest=SHORTEST_KEY, without="take it out, and one is made")


def site_tokens(plan: FleetPlan) -> Given:
    """The tokens that the door sends to sites, by site, and what is wrong with them."""
    names = plan.router.sites
    listed = f"sites: {', '.join(names) or 'none has a url or endpoints'}"
    unknown = "the door reaches no such site by a URL"
    return _given(SITE_TOKENS, names, unknown, listed, shortest=1, without="take it out, and none is sent")


def kubeconfigs(plan: FleetPlan) -> Given:
    """How `up` reaches the clusters of sites, by site, and what is wrong with them."""
    names = [site.name for site in plan.sites if site.cluster is not None and site.cluster.applied]
    listed = f"sites: {', '.join(names) or 'none has kubernetes: {apply: pulumi}'}"
    unknown = "`up` applies nothing to a site of this name"
    return _given(KUBECONFIGS, names, unknown, listed, shortest=1, without="take it out: the machine's own is used")


def _given(key: str, names: Collection[str], unknown: str, listed: str, *, shortest: int, without: str) -> Given:
    config = pulumi.Config("ollama-fleet")
    # read at once, not as an Output: the names decide what is made
    text = config.get(key)
    if text is None:
        return {}, []
    place, how = f"ollama-fleet:{key}", HOW.format(key)
    found = _mapping(text)
    if found is None:
        return {}, [error(place, "it is not a mapping from a name to a secret", how)]
    if not pulumi.runtime.config.is_config_secret(config.full_key(key)):
        return {}, [error(place, "it stands there in clear", f"take it out, then {how}")]
    problems = [error(f"{place}.{name}", unknown, listed) for name in sorted(found.keys() - set(names))]
    whole = key == KUBECONFIGS  # a text of many lines
    most, of_what = (LONGEST_KUBECONFIG, "characters") if whole else (LONGEST, "visible ASCII characters")
    problems += [
        error(f"{place}.{name}", f"it is not a secret of {shortest} to {most} {of_what}", without)
        for name, secret in sorted(found.items())
        if not (isinstance(secret, str) and shortest <= len(secret) <= most and (whole or _visible(secret)))
    ]
    if key == API_KEYS and len({json.dumps(secret) for secret in found.values()}) < len(found):
        problems.append(error(place, "two names have the same key", "give each its own"))
    return {name: pulumi.Output.secret(secret) for name, secret in found.items() if isinstance(secret, str)}, problems


def _visible(key: str) -> bool:
    return key.isascii() and key.isprintable() and " " not in key


def _mapping(text: str) -> dict[str, Any] | None:
    try:
        found = json.loads(text)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None
