"""`fleet manifests`: every Kubernetes object as `kubectl apply` takes it. No account."""

import argparse
import io
import json
import shlex
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from infra.commands import common

if TYPE_CHECKING:
    from infra.recorder import Recording

HELP = "YAML: every Kubernetes object that the program makes; secrets are placeholders"
HELM = "kubernetes:helm.sh/"
ORDER = (
    "Namespace",
    "PriorityClass",
    "ResourceQuota",
    "ServiceAccount",
    "ConfigMap",
    "Secret",
    "PersistentVolumeClaim",
)
"""What others need comes first; the rest by kind and name."""
PLACEHOLDER = "<secret>"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `fleet manifests`."""
    common.add_stack_option(parser)


def run(arguments: argparse.Namespace) -> int:
    """0, or 1 for a plan with errors."""
    from infra.commands import recorded

    try:
        common.write(render(recorded.recording(arguments)))
    except recorded.RefusedError as refused:
        return common.say_errors(refused.problems)
    return common.OK


def render(recording: "Recording") -> str:
    """The objects as one YAML stream, in an order in which they can be applied."""
    from ruamel.yaml import YAML

    yaml = YAML()
    yaml.default_flow_style = False
    yaml.width = 120
    stream = io.StringIO()
    stream.writelines(f"# {line}\n" for line in charts(recording))
    yaml.dump_all([_literal(one) for one in objects(recording)], stream)
    return stream.getvalue()


def objects(recording: "Recording") -> list[dict[str, Any]]:
    """Every Kubernetes object of a recording."""
    return sorted(_objects(recording), key=_rank)


def charts(recording: "Recording") -> Iterator[str]:
    """The commands that install what comes by Helm, before the objects that need it."""
    for resource in recording.resources:
        if resource.type.startswith(HELM):
            its = _without_secrets(resource.inputs)
            given = (f"{key}={json.dumps(value)}" for key, value in sorted(its["values"].items()))
            values = " ".join(f"--set-json {shlex.quote(one)}" for one in given)
            yield (
                f"helm upgrade --install {its['name']} {its['chart']} --repo {its['repositoryOpts']['repo']} "
                f"--version {its['version']} --namespace {its['namespace']} --create-namespace {values}"
            )


def _objects(recording: "Recording") -> Iterator[dict[str, Any]]:
    for resource in recording.resources:
        if resource.type.startswith("kubernetes:") and not resource.type.startswith(HELM):
            yield _without_secrets(resource.inputs)


def _rank(manifest: Mapping[str, Any]) -> tuple[int, str, str, str]:
    kind, metadata = manifest["kind"], manifest["metadata"]
    place = ORDER.index(kind) if kind in ORDER else len(ORDER)
    return (place, kind, metadata.get("namespace", ""), metadata["name"])


def _without_secrets(value: Any) -> Any:
    from infra.recorder import Secret, reveal

    if isinstance(value, Secret):
        inner = reveal(value)
        return dict.fromkeys(inner, PLACEHOLDER) if isinstance(inner, dict) else PLACEHOLDER
    if isinstance(value, Mapping):
        return {key: _without_secrets(inner) for key, inner in value.items()}
    return [_without_secrets(inner) for inner in value] if isinstance(value, (list, tuple)) else value


def _literal(value: Any) -> Any:
    """Text of several lines as a block, so that scripts and maps can be read."""
    from ruamel.yaml.scalarstring import LiteralScalarString

    if isinstance(value, str) and "\n" in value:
        return LiteralScalarString(value)
    if isinstance(value, dict):
        return {key: _literal(inner) for key, inner in value.items()}
    return [_literal(inner) for inner in value] if isinstance(value, list) else value
