"""What a GKE node leaves for pods and a boot disk for models: arithmetic, with the constants of catalogue/gke.toml."""

from collections.abc import Sequence
from dataclasses import dataclass

from infra.catalogue.types import Catalogue, Machine, NodeFacts, Reservation
from infra.plan.memory import MIB

GIB = 2**30
SMALLEST_DISK_GIB, LARGEST_DISK_GIB = 10, 64 * 1024
"""Of a Persistent Disk (diskSizeGb in Google's API references, 10 to 65536, 2026-11-21)."""


@dataclass(frozen=True, kw_only=True)
class Allocatable:
    """What the kubelet offers to pods: millicores and bytes."""

    cpu: int
    memory: int


def _reserved(amount: float, steps: Sequence[Reservation]) -> float:
    total, below = 0.0, 0.0
    for step in steps:
        above = amount if step.up_to is None else min(amount, step.up_to)
        total += max(0.0, above - below) * step.share
        below = max(below, above)
    return total


def allocatable(machine: Machine, facts: NodeFacts) -> Allocatable:
    """What GKE leaves of a machine, as its documents and the autoscaler's source reckon it."""
    physical = machine.memory_gb * 1024  # MiB
    kernel = (
        physical / facts.kernel_divisor
        + facts.kernel_fixed_mib
        + (facts.swiotlb_mib if machine.memory_gb > facts.swiotlb_above_gib else 0)
        + (facts.small_machine_mib if machine.memory_gb <= facts.small_machine_up_to_gib else 0)
        + min(facts.overhead_share * physical, facts.overhead_cap_mib)
    )
    kube = (
        facts.memory_small_mib if machine.memory_gb < 1 else _reserved(machine.memory_gb, facts.memory) * 1024
    ) + facts.eviction_mib
    return Allocatable(
        cpu=int(machine.vcpus * 1000 - _reserved(machine.vcpus, facts.cpu) * 1000),
        memory=int((physical - kernel - kube) * MIB),
    )


def pod_share(machine: Machine, facts: NodeFacts, *, replicas: int) -> Allocatable:
    """What each of `replicas` pods may ask for beside the system's own, rounded down to 50m and 64 MiB."""
    node = allocatable(machine, facts)
    cpu = (node.cpu - facts.system_cpu_millis) // replicas
    memory = (node.memory - facts.system_memory_mib * MIB) // replicas
    return Allocatable(cpu=cpu // 50 * 50, memory=memory // (64 * MIB) * (64 * MIB))


def usable_disk(disk_gb: int, facts: NodeFacts) -> int:
    """Bytes that a boot disk of `disk_gb` GiB leaves for images, logs and emptyDir volumes."""
    withheld = min(
        facts.disk_share * disk_gb, facts.disk_fixed_gib + facts.disk_fixed_share * disk_gb, facts.disk_cap_gib
    )
    capacity = disk_gb * (1 - facts.disk_partition_share) - facts.disk_partition_gib
    return max(0, int((capacity * (1 - facts.disk_capacity_share) - withheld) * GIB))


def host_memory(catalogue: Catalogue, *, loaded: int) -> int:
    """Bytes of main memory that a server with `loaded` runners needs beside its GPUs."""
    server = catalogue.gke.server
    return (server.minimum_memory_mib + server.memory_per_model_mib * loaded) * MIB


def smallest_disk(catalogue: Catalogue, needed: int, *, start: int) -> int | None:
    """GiB of the smallest boot disk, from `start` on, that leaves `needed` bytes; None where no disk is that large."""
    step = catalogue.gke.server.disk_step_gb
    sizes = range(max(step, -(-start // step) * step), LARGEST_DISK_GIB + 1, step)
    return next((size for size in sizes if usable_disk(size, catalogue.gke.node) >= needed), None)


@dataclass(frozen=True, kw_only=True)
class Load:
    """What one replica of a pool asks of its node."""

    cpu: int
    memory: int
    models: int
    """Bytes of model files."""
    image: int
    """Bytes of the container image, unpacked; once a node."""


def amount(cpu: int, memory: int) -> str:
    """Millicores and bytes for a message."""
    return f"{cpu / 1000:.1f} CPU and {memory / GIB:.1f} GiB"
