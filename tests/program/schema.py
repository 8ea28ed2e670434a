"""Kubernetes' own schema, strict: what is wrong with an object, without a cluster."""

from collections.abc import Mapping
from functools import cache
from typing import Any

KUBERNETES = "1.34"


def wrong(manifest: Mapping[str, Any]) -> list[str]:
    """What the schema holds against an object."""
    return [error.message for error in _validator(manifest["kind"], manifest["apiVersion"]).iter_errors(manifest)]


@cache
def _validator(kind: str, version: str) -> Any:
    """The strict schema of kubernetes-validate for one kind; its own `validate` reads all definitions every time."""
    import jsonschema
    from kubernetes_validate import utils
    from referencing import Registry

    name = f"{kind.lower()}-{version.partition('/')[0].partition('.')[0]}"
    if "/" in version:
        name += f"-{version.partition('/')[2]}"
    schema = utils.schema_contents(f"{_folder()}/{name}.json", KUBERNETES)
    registry: Any = _definitions() @ Registry()
    return jsonschema.Draft202012Validator(schema, registry=registry)


def _folder() -> str:
    return f"kubernetes-json-schema/v{KUBERNETES}.0-local-strict"


@cache
def _definitions() -> Any:
    from kubernetes_validate import utils
    from referencing import Resource

    return Resource.from_contents(utils.schema_contents(f"{_folder()}/_definitions.json", KUBERNETES))
