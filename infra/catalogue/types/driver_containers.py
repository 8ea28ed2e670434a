"""NVIDIA's driver in containers."""

from datetime import date
from typing import Annotated, Literal

from pydantic import Field

from infra.catalogue.types.fact import Fact, Part, Version


class DriverImage(Fact):
    """Where NVIDIA's driver containers come from."""

    repository: str


class DriverBuild(Fact):
    """The last version of a branch that is published as a container for some systems of machines."""

    branch: int
    version: Version
    systems: tuple[Annotated[str, Field(pattern=r"^[a-z]+[0-9.]+$")], ...] = Field(min_length=1)
    architectures: tuple[Literal["amd64", "arm64"], ...] = Field(min_length=1)
    dropped: date | None = None  # since when it is no longer built


class DriverContainers(Part):
    """NVIDIA's driver in containers."""

    image: DriverImage
    builds: tuple[DriverBuild, ...]
