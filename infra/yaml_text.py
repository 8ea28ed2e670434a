"""YAML that people read and programs write: Kubernetes objects, and the Compose file."""

import io
from collections.abc import Iterable
from typing import Any

LINE = 120


def yaml_text(documents: Iterable[Any]) -> str:
    """The documents as one stream. Text of several lines is a block, so that scripts and maps can be read."""
    from ruamel.yaml import YAML

    yaml = YAML()
    yaml.default_flow_style = False
    yaml.width = LINE
    stream = io.StringIO()
    yaml.dump_all([_literal(one) for one in documents], stream)
    return stream.getvalue()


def _literal(value: Any) -> Any:
    from ruamel.yaml.scalarstring import LiteralScalarString

    if isinstance(value, str) and "\n" in value:
        return LiteralScalarString(value)
    if isinstance(value, dict):
        return {key: _literal(inner) for key, inner in value.items()}
    return [_literal(inner) for inner in value] if isinstance(value, list) else value
