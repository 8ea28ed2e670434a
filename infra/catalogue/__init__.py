"""Facts about GPUs, machines, models, releases, prices and GKE, each with its source and date."""

from infra.catalogue.load import load
from infra.catalogue.types import Catalogue

__all__ = ["Catalogue", "load"]
