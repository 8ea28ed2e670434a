"""Whether models fit a GPU."""

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """How a pool's models stand against its GPU memory."""

    FITS = "fits"
    TIGHT = "tight"
    TOO_LARGE = "does not fit"
    UNKNOWN = "unknown"


@dataclass(frozen=True, kw_only=True)
class Need:
    """Memory of one loaded model."""

    weights: int
    kv: int
    graph: int
    overhead: int
    """What a device holds beyond Ollama's own figure, the CUDA context above all."""

    @property
    def size(self) -> int:
        """As Ollama reports it (SIZE in `ollama ps`, 0.30 and newer)."""
        return self.weights + self.kv + self.graph

    @property
    def device(self) -> int:
        """As the device shows it."""
        return self.size + self.overhead


@dataclass(frozen=True, kw_only=True)
class Resident:
    """A model as it stands on one pool."""

    model: str
    context: int
    parallel: int
    need: Need
    disk: int
    shares: str | None = None
    """The resident that has the same weights and options loaded already: this one adds nothing."""


@dataclass(frozen=True, kw_only=True)
class GpuMemory:
    """A replica's GPU memory: what its devices report and what its models need at once."""

    devices: int
    per_device: int
    used: int
    verdict: Verdict
    busiest: int
    """Use of the fullest device."""

    @property
    def total(self) -> int:
        """Of all devices of one replica."""
        return self.devices * self.per_device

    @property
    def share(self) -> float:
        """Of the total, 1.0 being full."""
        return self.used / self.total if self.total else 0.0
