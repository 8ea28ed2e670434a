"""Pools and what they serve."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from infra.config.model import Replicas
from infra.config.types import quantity
from infra.plan.model.hardware import DriverPlan, HostNeeds, Nodes, Runtime, SitePlacement
from infra.plan.model.memory import GpuMemory, Resident
from infra.plan.model.scaling import ScalingPlan


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A model that must be in place before a pod of the pool is ready: pulled, created from a Modelfile, or copied."""

    name: str
    action: Literal["pull", "create", "copy", "verify"]
    """`verify` fetches nothing: the model is on the volume already."""
    source: str = ""
    """The registry's name for a pull, the Modelfile's text for a create, the copied model for a copy."""
    digest: str | None = None
    """Of the manifest; of the weights for a create from a file."""


@dataclass(frozen=True, kw_only=True)
class PoolNames:
    """Names of a pool's objects, fixed on purpose: people and policies refer to them."""

    workload: str
    """Deployment, Service, ServiceAccount, PodDisruptionBudget and NetworkPolicy."""
    node_pool: str
    driver: str
    gpu_exporter: str
    models: str
    """The ConfigMap of model definitions."""


@dataclass(frozen=True, kw_only=True)
class PoolPlan:
    """All decisions about one pool."""

    name: str
    gpu: str
    gpu_title: str
    gpu_memory_title: str
    site: str | None
    replicas: Replicas
    scaling: ScalingPlan
    gpus_per_replica: int
    names: PoolNames
    memory: GpuMemory
    residents: tuple[Resident, ...]
    prepared: tuple[Prepared, ...]
    elsewhere: Mapping[str, tuple[Prepared, ...]]
    """The fleet's other models and how each is made: a hand edit of the map may route them here."""
    driver: DriverPlan
    runtime: Runtime
    nodes: Nodes | None
    placements: tuple[SitePlacement, ...]
    loading: Literal["together", "onDemand"]
    storage: Literal["ephemeral", "node", "volume"]
    leave_together: int
    """How many replicas a drain may take at once: those of one machine, since elsewhere there is no room for them."""
    volume: int
    """Bytes of the pool's volume; 0 without one."""
    gpu_proof: Literal["none", "start", "always"]
    """Whether a pod has to prove that its models run on the GPU: never, before it is ready, and then all the time."""
    context: int
    parallel: int
    cpu_request: int
    """Of the server; the init container and the companion that prepare models have their own."""
    memory_request: int
    prepare_cpu: int
    prepare_memory: int
    prepare_memory_limit: int
    companion_cpu: int
    companion_memory: int
    companion_memory_limit: int
    model_storage: int
    """Bytes that the models of one replica take on disk."""
    environment: Mapping[str, str]
    """Of the server."""
    pull_environment: Mapping[str, str]
    """Of whoever reaches a registry: the proxy."""
    pull_deadline: int
    drain_limit: int
    grace_period: int
    """Seconds from the signal to leave to the kill."""
    startup_threshold: int
    startup_period: int
    """Seconds between two questions of the startup probe."""
    rollout_deadline: int
    """Seconds that a replica may take to become ready before the rollout has failed."""
    runtime_class: str | None
    needs: HostNeeds
    address: str
    """host:port or URL at which the router finds it."""
    google_refuses: bool = False
    """The GPU is withdrawn: generated all the same, refused at apply."""

    @property
    def sleeps(self) -> bool:
        """Whether it may have no pod and no node."""
        return self.replicas.min == 0

    @property
    def volume_request(self) -> str:
        """What its volume is claimed with, as Kubernetes writes it: `50G`."""
        return quantity(self.volume)

    @cached_property
    def takes_turns(self) -> bool:
        """Whether its models push each other out of the GPU's memory."""
        return self.loading == "onDemand" and sum(one.shares is None for one in self.residents) > 1

    def resident(self, model: str) -> Resident | None:
        """The model of that name as it stands here."""
        return self._by_model.get(model)

    @cached_property
    def _by_model(self) -> dict[str, Resident]:
        return {one.model: one for one in self.residents}  # a thousand models are asked for one by one


@dataclass(frozen=True, kw_only=True)
class ModelPlan:
    """Where a model is served, and with which context."""

    name: str
    route: tuple[str, ...]
    context: int
    pinned: bool
    known: bool
    """Whether the catalogue has its shape; else the file's own `vram` and `disk` are taken at their word."""
    need: int
    """Bytes on the device of the first pool of its route; 0 where it shares another's."""
    shares: str | None
    embedding: bool = False
    """An encoder: it answers no chat."""


@dataclass(frozen=True, kw_only=True)
class AliasPlan:
    """Another name for one model, or a split by weight."""

    name: str
    targets: Mapping[str, int]
