"""Releases of Ollama and of NVIDIA's driver, and how they go together."""

from datetime import date
from typing import Literal

from infra.catalogue.types.fact import Fact, Part, Version


class DriverBranch(Fact):
    """A branch of NVIDIA's driver, with the exact version pinned where one is."""

    branch: int
    exact: str | None = None
    ends: date | None = None
    on_cos: bool  # Google's installer for Container-Optimized OS offers it on current GKE versions
    on_ubuntu: str | None = None  # the exact version of Google's Ubuntu manifest
    note: str | None = None


class DriverFloor(Fact):
    """From Ollama `since` (up to but without `until`) a driver below `driver` has `outcome` on these cards.

    `compute_from` and `compute_below` bound the compute capability, inclusive and exclusive.
    """

    since: Version
    until: Version | None = None
    driver: int
    compute_from: Version | None = None
    compute_below: Version | None = None
    outcome: Literal["fails", "filtered"]  # filtered: CPU, or slowly through Vulkan where that is on


class Image(Fact):
    """An Ollama image: what its tags stand for and which cards it serves."""

    official: bool
    minimum_compute: Version
    maximum_compute: Version | None = None
    version: Version | None = None  # the Ollama version that a fork stands for, where its tags do not say
    drivers: tuple[int, ...] = ()  # the only driver branches it works with; empty: by the floors
    flash_attention: bool = True  # and with it a quantised KV cache
    missing_routes: tuple[str, ...] = ()
    maps_uvm: bool = False  # in Docker it finds no GPU unless /dev/nvidia-uvm* are mapped beside the runtime's devices
    variants: dict[str, str] = {}  # tags, or their last part, of builds for other hardware
    size_gb: float  # on disk, unpacked
    note: str | None = None


class Avoid(Fact):
    """One Ollama version that is known to be bad on some cards."""

    version: Version
    compute_below: Version | None = None
    reason: str


class Releases(Part):
    """Ollama and driver releases and how they go together."""

    default_image: str
    verified_until: Version  # the last version whose source was read for Maxwell, Pascal and Volta
    vulkan_since: Version  # from here on `filtered` means Vulkan unless OLLAMA_VULKAN=0
    images: dict[str, Image]
    drivers: dict[str, DriverBranch]
    floors: tuple[DriverFloor, ...]
    avoid: tuple[Avoid, ...] = ()
