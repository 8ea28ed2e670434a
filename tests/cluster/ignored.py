"""`ignore_changes` on the way to server-side apply, as Pulumi's Kubernetes provider has it."""

from collections.abc import Iterable, Sequence
from typing import Any

from tests.cluster.kube import Manifest


def with_ignored(manifest: Manifest, live: Manifest, ignored: Iterable[str], manager: str) -> Manifest:
    """What the provider applies: an ignored field is left out where only others manage it, else it stays as it is.

    As `handleSSAIgnoreFields` of pulumi-kubernetes 4.34, provider/pkg/await/await.go (read 2026-11-21).
    """
    for path in ignored:
        parts = path.split(".")
        managers = _managers(live, parts)
        theirs = managers and manager not in managers
        manifest = _with(manifest, parts, [] if theirs else _at(live, parts))
    return manifest


def _managers(live: Manifest, path: Sequence[str]) -> set[str]:
    """Who manages a field, if anybody: an autoscaler's entry goes when it sets the number that is there."""
    found = set()
    for entry in live["metadata"].get("managedFields", []):
        fields: Any = entry.get("fieldsV1", {})
        for part in path:
            fields = fields.get(f"f:{part}") if fields else None
        if fields is not None:
            found.add(entry["manager"])
    return found


def _at(manifest: Manifest, path: Sequence[str]) -> list[Any]:
    """The value in that place, or nothing."""
    value: Any = manifest
    for part in path:
        if part not in value:
            return []
        value = value[part]
    return [value]


def _with(manifest: Manifest, path: Sequence[str], values: Sequence[Any]) -> Manifest:
    """With the one value in that place, or with nothing there."""
    first, *rest = path
    others = {key: value for key, value in manifest.items() if key != first}
    if rest:
        return {**others, first: _with(manifest.get(first, {}), rest, values)}
    return {**others, first: values[0]} if values else others
