"""Kubernetes' own schema, strict: what is wrong with an object, without a cluster."""

import os
from collections.abc import Mapping
from functools import cache
from typing import Any

import pytest
from ruamel.yaml import YAML

import tools

KUBERNETES = "1.34"
NO_KEDA = "KEDA's definition is not here; `make tools` brings it"


def wrong(manifest: Mapping[str, Any]) -> list[str]:
    """What the schema holds against an object."""
    return [error.message for error in _validator(manifest["kind"], manifest["apiVersion"]).iter_errors(manifest)]


@cache
def _validator(kind: str, version: str) -> Any:
    """The strict schema of kubernetes-validate for one kind; its own `validate` reads all definitions every time."""
    import jsonschema

    if kind == "ScaledObject":
        return jsonschema.Draft202012Validator(keda_schema())

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


def keda_schema() -> Any:
    """That of KEDA's own definition; what it does not know is refused, as under strict validation."""
    found = tools.find_file("keda-scaled-object")
    if found is None:
        if os.environ.get("OLLAMA_FLEET_REQUIRE_TIERS") == "1":
            pytest.fail(NO_KEDA, pytrace=False)
        pytest.skip(NO_KEDA)
    (version,) = YAML(typ="safe", pure=True).load(found.read_text())["spec"]["versions"]
    schema = strict(version["schema"]["openAPIV3Schema"])
    return {**schema, "properties": {**schema["properties"], "metadata": {"type": "object"}}}


def strict(schema: Any) -> Any:
    """A schema whose objects have no properties but those that it names."""
    if isinstance(schema, list):
        return [strict(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {} if "properties" not in schema or schema.get("type") != "object" else {"additionalProperties": False}
    return {**closed, **{key: strict(value) for key, value in schema.items()}}
