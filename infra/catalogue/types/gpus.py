"""GPUs, their cards, and how Google sells them."""

from datetime import date
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field, model_validator

from infra.catalogue.types.fact import Fact, Version, Zone


class Availability(StrEnum):
    """What Google Cloud does with a GPU: sells it, sells it until a day, sells it no more, or never did."""

    AVAILABLE = "available"
    ENDING = "ending"
    WITHDRAWN = "withdrawn"
    NEVER = "never"


class GoogleGpu(Fact):
    """How Google Cloud names and sells a GPU. `ends` is the day of the end, past or future."""

    state: Availability
    accelerator: str | None = None
    quota: str | None = None
    ends: date | None = None
    provisioning: str | None = None  # a restriction in words, "Spot or Dynamic Workload Scheduler only"
    zones: frozenset[Zone] = frozenset()
    minimum_gke: str | None = None  # the first version of GKE that has it

    @model_validator(mode="after")
    def _state_has_its_day(self) -> "GoogleGpu":
        if self.state in (Availability.ENDING, Availability.WITHDRAWN) and self.ends is None:
            raise ValueError(f"state {self.state} needs the day in `ends`")
        return self


class Card(Fact):
    """What a card is known by on its machine."""

    product: str = Field(min_length=2)  # its whole name as nvidia-smi writes it: an extended regular expression
    pci: tuple[Annotated[str, Field(pattern=r"^[0-9a-f]{4}$")], ...] = ()  # device ids below NVIDIA's 10de
    modules: Literal["proprietary", "open"] | None = None  # the only flavour of kernel modules that knows it


class Gpu(Fact):
    """One device (a K80 board has two). `memory_mib` is what the driver reports as usable, per device."""

    title: str
    memory_title: str
    compute: Version | None = None  # left out: no GPU
    memory_mib: int = Field(ge=0)
    first_driver: int | None = None  # the first driver branch that knows the card
    last_driver: int | None = None  # None: NVIDIA still supports it in the current branch
    default_driver: str | None = None  # branch (R580) or exact version
    default_image: str | None = None  # None: the catalogue's default image
    flash_attention: bool
    note: str | None = None
    google: GoogleGpu | None = None
    card: Card | None = None

    @property
    def compute_capability(self) -> tuple[int, int]:
        """(major, minor); (0, 0) for no GPU."""
        if self.compute is None:
            return (0, 0)
        major, minor = self.compute.split(".")
        return int(major), int(minor)
