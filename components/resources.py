"""What a container asks for and may take, as Kubernetes writes it."""

from infra.config.types import quantity
from infra.plan.model import Asked


def requests(asked: Asked) -> dict[str, str]:
    """Its requests."""
    return {"cpu": f"{asked.cpu}m", **({"memory": quantity(asked.memory)} if asked.memory else {})}


def limits(asked: Asked) -> dict[str, str]:
    """Its limits."""
    return {"memory": quantity(asked.memory_limit)} if asked.memory_limit else {}
