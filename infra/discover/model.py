"""What was found, whoever found it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class Device:
    """A GPU, by the catalogue's name where it has one."""

    gpu: str
    """Empty for one that the catalogue does not know."""
    called: str
    """As the machine calls it: a product name, or a PCI id."""
    index: str = ""
    """Its number or UUID for nvidia-smi, where that told."""


@dataclass(frozen=True, kw_only=True)
class Found:
    """A machine."""

    name: str
    devices: tuple[Device, ...] = ()
    driver: str = ""
    kernel: str = ""
    os: str = ""
    """As the file writes it, such as ubuntu22.04; empty where nobody told."""
    memory: int = 0
    disk: int = 0
    notes: tuple[str, ...] = ()

    @property
    def counts(self) -> Mapping[str, int]:
        """How many of each known GPU."""
        names = [device.gpu for device in self.devices if device.gpu]
        return {name: names.count(name) for name in sorted(set(names))}


@dataclass(frozen=True, kw_only=True)
class Place:
    """A site: its machines, or its servers' address."""

    kind: Literal["docker", "kubernetes", "endpoints"]
    name: str
    machines: tuple[Found, ...] = ()
    context: str = ""
    k3s: bool = False
    device_plugin: bool = False
    url: str = ""
    version: str = ""
    models: tuple[str, ...] = ()
    notes: tuple[str, ...] = field(default_factory=tuple)
