"""What a container asks for and may take, as Kubernetes writes it."""

from pulumi_kubernetes.core.v1 import ResourceRequirementsArgs

from infra.config.types import quantity
from infra.plan.model import Asked


def requests(asked: Asked) -> dict[str, str]:
    """Its requests."""
    return {"cpu": f"{asked.cpu}m", **({"memory": quantity(asked.memory)} if asked.memory else {})}


def limits(asked: Asked) -> dict[str, str]:
    """Its limits."""
    return {"memory": quantity(asked.memory_limit)} if asked.memory_limit else {}


def unbounded(asked: Asked) -> ResourceRequirementsArgs:
    """Its requests alone."""
    return ResourceRequirementsArgs(requests=requests(asked))


def bounded(*, cpu: int, memory: int, limit: int) -> ResourceRequirementsArgs:
    """Millicores and bytes that it asks for, and bytes that it may take."""
    return ResourceRequirementsArgs(requests={"cpu": f"{cpu}m", "memory": str(memory)}, limits={"memory": str(limit)})
