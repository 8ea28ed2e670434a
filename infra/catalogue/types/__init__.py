"""The shape of every fact in the catalogue, a module for each of its files. Each entry names its source and the date on
which it was read."""

from infra.catalogue.types.driver_containers import DriverBuild, DriverContainers, DriverImage
from infra.catalogue.types.fact import Fact, Part
from infra.catalogue.types.gke import (
    GkeFacts,
    GpuExporterFacts,
    KedaFacts,
    MemoryFacts,
    NodeFacts,
    Reservation,
    ServerFacts,
    WakeFacts,
)
from infra.catalogue.types.gpus import Availability, Card, GoogleGpu, Gpu
from infra.catalogue.types.machines import AttachLimit, Machine
from infra.catalogue.types.models import Latest, Model, Shape, SlidingWindow
from infra.catalogue.types.prices import HostPrice, Price, RegionPrices
from infra.catalogue.types.releases import Avoid, DriverBranch, DriverFloor, Image, Releases

__all__ = [
    "AttachLimit",
    "Availability",
    "Avoid",
    "Card",
    "Catalogue",
    "DriverBranch",
    "DriverBuild",
    "DriverContainers",
    "DriverFloor",
    "DriverImage",
    "Fact",
    "GkeFacts",
    "GoogleGpu",
    "Gpu",
    "GpuExporterFacts",
    "HostPrice",
    "Image",
    "KedaFacts",
    "Latest",
    "Machine",
    "MemoryFacts",
    "Model",
    "NodeFacts",
    "Part",
    "Price",
    "RegionPrices",
    "Releases",
    "Reservation",
    "ServerFacts",
    "Shape",
    "SlidingWindow",
    "WakeFacts",
]


class Catalogue(Part):
    """Everything that the decisions know of the world."""

    gpus: dict[str, Gpu]
    machines: dict[str, Machine]
    attach: tuple[AttachLimit, ...]
    models: dict[str, Model]
    latest: Latest
    releases: Releases
    driver_containers: DriverContainers
    prices: dict[str, RegionPrices]
    gke: GkeFacts
