"""What a change of one input means to the Kubernetes provider, for objects and for the provider itself."""

from collections.abc import Mapping
from typing import Any

from infra.catalogue.replacements import replacements
from infra.change.difference import UNKNOWN, Change, Verdict, verdict_by

PROVIDER = "pulumi:providers:kubernetes"
IDENTIFIER = "clusterIdentifier"
_REACHING = {"kubeconfig", "context", "cluster"}
_AUTONAMED = "pulumi.com/autonamed"


def verdict(type_: str, inputs: Mapping[str, Any], provider: Mapping[str, Any], change: Change) -> Verdict:
    """What this change of an object means, by its new inputs and its provider's configuration."""
    facts = replacements().kubernetes
    replacing = facts.identity + facts.immutable.get(type_, ())
    if (data := facts.data.get(type_)) is not None:
        mutable = provider.get(data.option) in (True, "true")
        if not mutable or inputs.get("immutable") is True:
            replacing += data.paths
    return verdict_by(change, dict.fromkeys(replacing, Verdict.REPLACE))


def provider_verdict(
    old: Mapping[str, Any], new: Mapping[str, Any], change: Change, *, moved: bool | None = None
) -> Verdict:
    """What this change of the provider's own configuration means.

    `moved` is whether its kubeconfig points to another cluster than before, None where that cannot be told.
    """
    before, after = old.get(IDENTIFIER), new.get(IDENTIFIER)
    key = change.path[0]
    if key == IDENTIFIER and None not in (before, after):
        return Verdict.REPLACE
    if key not in _REACHING or (before is not None and before == after):
        return Verdict.IN_PLACE
    return Verdict.REPLACE if moved or change.new == UNKNOWN else Verdict.IN_PLACE


def deletes_first(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    """Whether a replacement deletes before it creates: under a fixed name it would meet itself."""
    before, after = old.get("metadata") or {}, new.get("metadata") or {}
    named = after.get("name") is not None and _AUTONAMED not in (after.get("annotations") or {})
    return named and _place(before) == _place(after)


def _place(metadata: Mapping[str, Any]) -> tuple[Any, Any]:
    return metadata.get("namespace", "default"), metadata.get("name")
