"""The smallest value that a JSON Schema accepts: what a simulated model answers where a schema is asked for."""

from typing import Any

TEXT = "simulated"
_DEPTH = 12


def instance(schema: Any) -> Any:
    """A value of that schema. Of the keywords it follows those that clients write for structured output."""
    return _instance(schema, schema, _DEPTH)


def _instance(schema: Any, root: Any, depth: int) -> Any:
    if not isinstance(schema, dict) or depth == 0:
        return None
    for decided, value in (("const", schema.get("const")), ("default", schema.get("default"))):
        if decided in schema:
            return value
    if schema.get("enum"):
        return schema["enum"][0]
    if isinstance(schema.get("$ref"), str):
        return _instance(_referred(schema["$ref"], root), root, depth - 1)
    for several in ("anyOf", "oneOf", "allOf"):
        if schema.get(several):
            return _instance(schema[several][0], root, depth - 1)
    return _of_type(schema, root, depth)


def _of_type(schema: dict[str, Any], root: Any, depth: int) -> Any:
    kind = schema.get("type", "object" if "properties" in schema else None)
    match kind[0] if isinstance(kind, list) and kind else kind:
        case "object":
            properties = schema.get("properties") or {}
            return {name: _instance(inner, root, depth - 1) for name, inner in properties.items()}
        case "array":
            return [_instance(schema.get("items"), root, depth - 1)] * max(1, schema.get("minItems", 1))
        case "string":
            return TEXT.ljust(schema.get("minLength", 0), ".")[: schema.get("maxLength")]
        case "integer" | "number":
            return max(1, schema.get("minimum", 1)) if schema.get("maximum", 1) >= 1 else schema["maximum"]
        case "boolean":
            return True
        case _:
            return None


def _referred(reference: str, root: Any) -> Any:
    for key in reference.removeprefix("#/").split("/"):
        root = root.get(key) if isinstance(root, dict) else None
    return root
