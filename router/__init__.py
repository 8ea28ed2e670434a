"""The door: what Envoy and the process beside it run from.

Standard library only, and nothing from `infra`: the package is mounted from a ConfigMap into a stock Python image.
"""

from router.envoy import render
from router.reading import MapError, parse
from router.routing import RouteMap

__all__ = ["MapError", "RouteMap", "parse", "render"]
