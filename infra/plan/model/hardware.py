"""Cards, drivers, images, nodes, and what goes together."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal


class Outcome(StrEnum):
    """What becomes of a card with a driver and an Ollama version."""

    WORKS = "works"
    FAILS = "fails on every request"
    CPU = "runs silently on the CPU"
    VULKAN = "runs slowly through Vulkan"
    UNKNOWN = "is not known"


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What a container asks for, and what it may take: millicores and bytes."""

    cpu: int = 0
    memory: int = 0
    """0: it asks for none."""
    memory_limit: int = 0
    """0: no bound."""


@dataclass(frozen=True, kw_only=True)
class DriverPlan:
    """Who installs which driver, and what must be loaded in the end."""

    mode: Literal["installer", "gke", "host", "container", "none"]
    branch: int | None = None
    exact: str | None = None
    operating_system: Literal["cos", "ubuntu"] = "cos"
    image: str = ""
    """The installer that Google preloads on its nodes."""
    pause_image: str = ""
    installer: Asked = Asked()
    verifier: Asked = Asked()
    pause: Asked = Asked()
    pinned: bool = False
    """An exact version, from the file or for want of a branch: a node upgrade could take it away."""
    assumed: bool = False
    """Nobody said what a site's host has: the plan reckons with the card's default."""

    @property
    def request(self) -> str:
        """What the installer is asked for: an exact version, or the branch's latest (`R580`)."""
        return self.exact or f"R{self.branch}"

    @property
    def expected(self) -> str:
        """How the loaded driver's version must begin."""
        return self.exact or f"{self.branch}."

    @property
    def checked_on_node(self) -> bool:
        """Whether the nodes have a driver of ours, or of Google's, that a pod of each node looks at."""
        return self.mode in ("installer", "gke")


@dataclass(frozen=True, kw_only=True)
class Cards:
    """GPUs of one kind that must be seen, and what they are known by there."""

    count: int
    title: str
    product: str
    """A regular expression for the whole name that nvidia-smi prints."""
    pci: tuple[str, ...]
    """Device ids; none where the catalogue has none."""


@dataclass(frozen=True, kw_only=True)
class HostNeeds:
    """What a server finds on its machine before it starts, or does not start. Without cards it needs nothing."""

    cards: tuple[Cards, ...] = ()
    driver: str = ""
    """How the loaded driver's version must begin, where the file says so of a site's machine."""
    least_driver: int = 0
    most_driver: int = 0
    """Else the branches that work with card and image; 0: no bound."""
    modules: str = ""
    """The only flavour of kernel modules that knows the cards: `proprietary` or `open`; empty: either."""
    driver_log: str = ""
    """The command that shows why a driver in a container is not there; empty where the machine has its own."""
    maps_uvm: bool = False
    """In Docker the devices of unified memory must be mapped beside those that the runtime brings."""


@dataclass(frozen=True, kw_only=True)
class Runtime:
    """The Ollama image and what is known of it on this card."""

    image: str
    version: str | None
    official: bool
    outcome: Outcome
    missing_routes: tuple[str, ...] = ()
    assumed: bool = False
    """Nobody said what runs at endpoints: the plan reckons with the default."""
    driver_floor: tuple[int, str] | None = None
    """The least driver branch for it on this card, and the Ollama since which that holds."""


@dataclass(frozen=True, kw_only=True)
class Nodes:
    """The machines of a pool on GKE."""

    machine_type: str
    accelerator: str | None
    gpus_per_node: int
    replicas_per_node: int
    minimum: int
    maximum: int
    zones: tuple[str, ...]
    spot: bool
    disk_gb: int
    disk_type: str
    hourly: float | None
    """USD of one node with its GPUs and boot disk; None where the catalogue has no price."""


@dataclass(frozen=True, kw_only=True)
class SitePlacement:
    """How many replicas stand on one machine of a site."""

    node: str
    replicas: int
    gpus_of_node: int
    devices: tuple[tuple[str, ...], ...] = ()
    """What nvidia-smi calls the GPUs of each replica; empty where there is none, or the file leaves open which."""
