"""The typed file `ollama-fleet:fleet`: its keys, and how it is read."""

from infra.config.model import FleetConfig, Model, Pool, Proxy, Site
from infra.config.parse import Parsed, parse, tidy
from infra.config.places import place

__all__ = ["FleetConfig", "Model", "Parsed", "Pool", "Proxy", "Site", "parse", "place", "tidy"]
