"""How a message names a place in the file."""

from collections.abc import Sequence

from infra.config.types import looks_secret

ROOT = "fleet"


def path(location: Sequence[str | int]) -> str:
    """A place as the file spells it, in Pulumi's own notation: `fleet.models["llama3.1:8b"].pools[0]`."""
    text = ROOT
    for part in location:
        if isinstance(part, int):
            text += f"[{part}]"
        elif len(part) > 80 or looks_secret(part):
            text += '["..."]'
        elif part.replace("-", "").replace("_", "").isalnum() and part.isascii():
            text += f".{part}"
        else:
            text += f'["{part}"]' if part.isprintable() else '["..."]'
    return text


def place(*location: str | int) -> str:
    """`path` with its parts as arguments: `place("pools", "t4", "gpu")`."""
    return path(location)
