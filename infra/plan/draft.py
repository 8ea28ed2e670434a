"""A pool whose server is decided and whose machines are not."""

from dataclasses import dataclass

from infra.catalogue.types import Gpu
from infra.config import Pool
from infra.plan.capacity import Load
from infra.plan.model import DriverPlan, GpuMemory, Prepared, Resident, Runtime
from infra.plan.placement import ServerSettings


@dataclass(frozen=True, kw_only=True)
class Draft:
    """A pool with everything but its place: what the machines are then chosen for."""

    name: str
    pool: Pool
    gpu: Gpu
    driver: DriverPlan
    runtime: Runtime
    settings: ServerSettings
    residents: tuple[Resident, ...]
    prepared: tuple[Prepared, ...]
    memory: GpuMemory
    together: bool
    load: Load
