"""Hardware, and the Ollama server on it."""

from typing import Annotated, Literal

from pydantic import Field, field_validator

from infra.config.model.scaling import MOST_WINDOWS, Replicas, Scaling, ScalingInput, ScheduleWindow
from infra.config.model.section import Section
from infra.config.types import (
    Count,
    Driver,
    Duration,
    Environment,
    Flag,
    ImageReference,
    KeepAlive,
    KvCache,
    MachineType,
    Quantity,
    RegistryName,
    ReplicasInput,
    RuntimeClassName,
    SiteName,
    Zone,
    refuse,
)


class Pool(Section):
    """One kind of hardware at one site, and the Ollama server on it."""

    gpu: str
    """A GPU of the catalogue, such as t4 or a100-40gb; none for a CPU pool."""
    replicas: Annotated[Replicas, ReplicasInput] = Replicas(min=1, max=1)
    """How many pods: 2, 0..2 or {min: 0, max: 2}; a range scales."""
    spot: Flag = False
    """On GKE: machines that Google may take back at any time, for less money."""
    site: SiteName | None = None
    """Left out: GKE."""
    allow_withdrawn: Flag = False
    """Generate the pool although Google refuses the GPU at apply."""
    machine_type: MachineType | None = None
    """Left out: the cheapest machine of Google's that holds the pod."""
    gpus_per_node: Annotated[int, Field(strict=True, ge=1, le=16)] | None = None
    """Left out: as many as a replica needs."""
    gpus_per_replica: Annotated[int, Field(strict=True, ge=1, le=16)] = 1
    """GPUs that one server has; a model may be divided over them."""
    context: Count | None = None
    """Tokens per request; left out, 8192, capped at the model's own maximum."""
    parallel: Annotated[int, Field(strict=True, ge=1, le=256)] = 1
    """Requests that a server answers at once, each with a context of its own."""
    keep_alive: KeepAlive | None = None
    """How long a model stays loaded: 5m, 0, or -1 for ever. Left out: for ever under loading: together, else 5m."""
    kv_cache: KvCache = "f16"
    """How the context is kept in GPU memory; below f16 it takes less."""
    flash_attention: Flag | None = None
    """Left out: on where the card and the image can."""
    image: ImageReference | None = None
    """Left out: the Ollama that the catalogue knows best for the card."""
    driver: Driver | None = None
    """R580, 580.95.05, gke for Google's own choice, host or container. Left out: what the card needs."""
    disk: Quantity | None = None
    """The node's boot disk on GKE."""
    storage: Literal["ephemeral", "node", "volume"] | None = None
    """Where models are kept: with the pod, on the node, or on a volume. Left out: ephemeral on GKE, node at sites."""
    volume_size: Quantity | None = None
    """Such as 200Gi; a volume may grow later, and never shrink. Left out: what its models need, in steps of 50G."""
    registry: RegistryName | None = None
    """host[/namespace] instead of Ollama's own; none: nothing is fetched, the models are on the volume."""
    pull_deadline: Duration = 3600
    """For all downloads of a start: 90s, 45m, 2h."""
    drain_limit: Duration = 120
    """How long a pod that leaves waits for its last answers: 90s, 5m."""
    verify_gpu: Flag = True
    """Whether a pod has to prove that its models run on the GPU."""
    startup_threshold: Count = 100
    """Tries of that proof, three seconds apart, before Kubernetes starts the server anew."""
    loading: Literal["together", "onDemand"] | None = None
    """together: all models stay loaded; onDemand: they take turns. Left out: together on GKE, else onDemand."""
    scaling: Annotated[Scaling, ScalingInput] | None = None
    """What the replicas of a range follow: inFlight, utilization, fixed, or a mapping."""
    schedule: tuple[ScheduleWindow, ...] = ()
    """Times at which pods are kept whatever the load is."""
    wake: Literal["hold", "fallback"] = "hold"
    """What a request for a sleeping pool does: wait for it, or go to the next of the route."""
    hold_for: Duration | None = None
    """How long such a request waits, such as 10m."""
    hold_limit: Count | None = None
    """How many may wait at once, in each router pod. Left out: 200."""
    when_busy: Literal["wait", "spill"] = "wait"
    """What a request does when every replica answers as many as parallel: wait, or go to the next pool of the route."""
    runtime_class: RuntimeClassName | None = None
    """The RuntimeClass of the pods, for clusters that need one for GPUs."""
    zones: tuple[Zone, ...] = ()
    """Where the nodes may be. Left out: the zones of the location that have the card."""
    env: Environment = {}
    """More of Ollama's settings; those that the plan decides are refused."""

    @field_validator("schedule")
    @classmethod
    def _can_be_reckoned_with(cls, value: tuple[ScheduleWindow, ...]) -> tuple[ScheduleWindow, ...]:
        if len(value) > MOST_WINDOWS:
            raise refuse(
                f"a schedule of {len(value)} windows: each is held against each other",
                f"write {MOST_WINDOWS} or fewer: `0 8 * * 1-5` is five of them",
            )
        return value
