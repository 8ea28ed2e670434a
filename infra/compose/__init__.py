"""A machine of a Docker site as a Compose file: its servers, and the door before them."""

from infra.compose.document import document
from infra.compose.text import render

__all__ = ["document", "render"]
