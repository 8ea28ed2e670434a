"""What is known of the file before its pools are decided."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from infra.catalogue.types import Catalogue
from infra.config import FleetConfig
from infra.plan.modelfile import Derived
from infra.plan.placement import Known
from infra.plan.shared import Shared


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """What all pools are decided from."""

    catalogue: Catalogue
    config: FleetConfig
    known: Mapping[str, Known]
    contexts: Mapping[str, int]
    derived: Mapping[str, Derived]
    shared: Mapping[str, Shared] = field(default_factory=dict)
    """Of pools whose machine has its driver for other cards' sake."""
