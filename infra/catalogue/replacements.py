"""What a provider cannot change in place: Google's as it answered itself, and what replacements.toml adds to it."""

import json
from functools import cache
from typing import Any

from pydantic import BaseModel, ConfigDict

from infra.catalogue.load import FOLDER, read
from infra.catalogue.types import Fact


class Computed(Fact):
    """By type, the inputs that Google fills in where they are left out."""

    computed: dict[str, frozenset[str]]


class Recreates(Fact):
    """By type, the inputs whose change makes Google recreate the nodes of a pool that stays."""

    paths: dict[str, frozenset[str]]


class Data(BaseModel):
    """Paths that replace unless the provider has an option on."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    option: str
    paths: tuple[str, ...]


class Immutable(Fact):
    """The fields that Kubernetes does not let change: of every object, and by type."""

    identity: tuple[str, ...]
    immutable: dict[str, tuple[str, ...]]
    data: dict[str, Data]


class Anew(Fact):
    """The types of which every change of an input makes another resource."""

    types: frozenset[str]


class Replacements(BaseModel):
    """The providers' facts."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    google_types: dict[str, dict[str, tuple[str, ...]]]
    """By type, the paths below `replace`, and those below `inPlace` that do not although an ancestor does."""
    google: Computed
    google_recreates: Recreates
    kubernetes: Immutable
    random: Anew


@cache
def replacements() -> Replacements:
    """The facts, read once a process."""
    asked: dict[str, Any] = json.loads((FOLDER / "google_replaces.json").read_text(encoding="utf-8"))
    return Replacements.model_validate({"google_types": asked["types"], **read("replacements")})
