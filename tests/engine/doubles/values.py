"""Property values as the engine sends them, and back.

Plain JSON values, but for two markers of the protocol: an unknown value (a preview's outputs) is a
fixed string, a secret is an object with a signature key. `plain` takes the secrets' wrapping off
for comparing; what goes back to the engine keeps it, so that a secret stays one.
"""

from collections.abc import Mapping
from typing import Any

from google.protobuf import json_format, struct_pb2
from pulumi.runtime import rpc

Properties = dict[str, Any]

UNKNOWN: str = rpc.UNKNOWN
_SIGNATURE: str = rpc._special_sig_key
_SECRET: str = rpc._special_secret_sig


def received(struct: struct_pb2.Struct) -> Properties:
    """The properties of a request, markers as they came."""
    values: Properties = json_format.MessageToDict(struct)
    return values


def sent(values: Mapping[str, Any]) -> struct_pb2.Struct:
    """The properties for a reply."""
    return json_format.ParseDict(dict(values), struct_pb2.Struct())


def secret(value: Any) -> Properties:
    """The value, marked as a secret."""
    return {_SIGNATURE: _SECRET, "value": value}


def is_secret(value: Any) -> bool:
    """Whether the value itself is marked as a secret."""
    return isinstance(value, Mapping) and value.get(_SIGNATURE) == _SECRET


def plain(value: Any) -> Any:
    """The value without any secret marks, and without keys that hold null."""
    if is_secret(value):
        return plain(value["value"])
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return value


def merge(under: Any, over: Any) -> Any:
    """`over` laid on `under`: objects key by key, lists of one length item by item, else `over`."""
    if is_secret(over) or is_secret(under):
        return over
    if isinstance(under, Mapping) and isinstance(over, Mapping):
        both = {**under, **over}
        return {
            key: merge(under[key], over[key]) if key in under and key in over else value for key, value in both.items()
        }
    if isinstance(under, list) and isinstance(over, list) and len(under) == len(over):
        return [merge(below, above) for below, above in zip(under, over, strict=True)]
    return over


def unknown(value: Any) -> Any:
    """The same shape with every scalar unknown: what a preview says of computed fields."""
    if isinstance(value, Mapping):
        return {key: unknown(item) for key, item in value.items()}
    return UNKNOWN
