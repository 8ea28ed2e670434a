"""Reads the catalogue: TOML files beside this module, checked against infra.catalogue.types."""

import tomllib
from functools import cache
from pathlib import Path
from typing import Any

from infra.catalogue.types import Catalogue

FOLDER = Path(__file__).parent


def read(name: str) -> dict[str, Any]:
    """The content of `name`.toml as plain values."""
    with (FOLDER / f"{name}.toml").open("rb") as file:
        return tomllib.load(file)


@cache
def load() -> Catalogue:
    """The whole catalogue. Read once a process; raises pydantic's ValidationError on a malformed entry."""
    machines = read("machines")
    return Catalogue.model_validate(
        {
            "gpus": read("gpus"),
            "machines": machines["machines"],
            "attach": machines["attach"],
            **read("models"),
            "releases": read("releases"),
            "driver_containers": read("driver_containers"),
            "prices": read("prices"),
            "gke": read("gke"),
        }
    )
