"""Property values on their way to the Pulumi engine, as plain Python and as plain JSON.

On the wire a secret is an object with a signature and an unknown value is a magic string. Here they are
`Secret` and `UNKNOWN`, which no ordinary value can be mistaken for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final

# The wire protocol, from sdk/go/common/resource/properties.go of pulumi/pulumi; the same since Pulumi 1.
_UNKNOWN_WIRE: Final = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
_SIGNATURE: Final = "4dabf18193072939515e22adb298388d"
_SECRET: Final = "1b47061264138c4ac30d75fd1eb44270"
_RESOURCE: Final = "5cf8f73096256a8f31e491e813e4eb8e"
_ASSET: Final = "c44067f5952c0a294b673a41bacd8c17"
_ARCHIVE: Final = "0def7320c3a5731c473e5ecbe6d01bc7"
_SIGNED: Final = {_RESOURCE: "$resource", _ASSET: "$asset", _ARCHIVE: "$archive"}


@dataclass(frozen=True)
class Secret:
    """A value that Pulumi encrypts in its state. Neither its repr nor its JSON shows the value."""

    value: Any = field(repr=False)


class Unknown(Enum):
    """The type of `UNKNOWN`."""

    UNKNOWN = "unknown"

    def __repr__(self) -> str:
        return self.name


UNKNOWN: Final = Unknown.UNKNOWN
"""A value that exists only after the cloud has made the resource it comes from."""


def reveal(value: Any) -> Any:
    """The value with every `Secret` replaced by what it holds, at any depth."""
    match value:
        case Secret():
            return reveal(value.value)
        case Mapping():
            return {key: reveal(item) for key, item in value.items()}
        case list() | tuple():
            return [reveal(item) for item in value]
        case _:
            return value


def jsonable(value: Any) -> Any:
    """The value as JSON shows it: a secret as `{"$secret": true}`, an unknown as `{"$unknown": true}`."""
    match value:
        case Secret():
            return {"$secret": True}
        case Unknown():
            return {"$unknown": True}
        case Mapping():
            return {key: jsonable(item) for key, item in value.items()}
        case list() | tuple():
            return [jsonable(item) for item in value]
        case _:
            return value


def from_struct(struct: Any) -> dict[str, Any]:
    """A protobuf `Struct` as a dictionary with sorted keys; whole numbers are ints."""
    return {key: from_value(value) for key, value in sorted(struct.fields.items())}


def from_value(value: Any) -> Any:
    """A protobuf `Value` as plain Python."""
    match value.WhichOneof("kind"):
        case "string_value":
            return from_text(value.string_value)
        case "number_value":
            number: float = value.number_value
            return int(number) if number.is_integer() else number
        case "bool_value":
            return value.bool_value
        case "list_value":
            return [from_value(item) for item in value.list_value.values]
        case "struct_value":
            return _from_signed(value.struct_value)
        case _:
            return None


def from_text(text: str) -> str | Unknown:
    """A text of a request, which may stand for an unknown value."""
    return UNKNOWN if text == _UNKNOWN_WIRE else text


def _from_signed(struct: Any) -> Any:
    plain = from_struct(struct)
    signature = plain.pop(_SIGNATURE, None)
    if signature is None:
        return plain
    if signature == _SECRET:
        return Secret(plain.get("value"))
    return {_SIGNED.get(signature, "$" + signature): plain}


def fill(struct: Any, computed: Mapping[str, Any], *, secret: Sequence[str] = ()) -> None:
    """Adds to the protobuf `Struct` what `computed` has and it leaves out, at any depth of objects.

    What the struct holds stays as it is. The top-level keys in `secret` become secrets, as the engine makes
    them for the option `additionalSecretOutputs`.
    """
    for key, value in computed.items():
        present = struct.fields.get(key)
        if present is None or present.WhichOneof("kind") == "null_value":
            struct.update({key: value})
        elif isinstance(value, Mapping) and present.WhichOneof("kind") == "struct_value":
            fill(present.struct_value, value)  # inside a wire secret this adds keys that the SDK does not read
    for key in secret:
        if key in struct.fields and not isinstance(from_value(struct.fields[key]), Secret):
            wrapped = type(struct)()
            wrapped.update({_SIGNATURE: _SECRET})
            wrapped.fields["value"].CopyFrom(struct.fields[key])
            struct.fields[key].struct_value.CopyFrom(wrapped)
