"""The forms in which Envoy's configuration names a type and an address."""

from typing import Any

Config = dict[str, Any]
"""A part of Envoy's configuration, as JSON has it."""

LOOPBACK = "127.0.0.1"


def typed(type_name: str, /, **fields: Any) -> Config:
    """A message of the type `type_name` (without Envoy's common prefix)."""
    return {"@type": f"type.googleapis.com/envoy.{type_name}", **fields}


def extension(name: str, type_name: str, /, **fields: Any) -> Config:
    """The extension `name`, configured by a message of the type `type_name`."""
    return {"name": name, "typed_config": typed(type_name, **fields)}


def socket(address: str, port: int) -> Config:
    """The address of a listener or of a host."""
    return {"socket_address": {"address": address, "port_value": port}}
