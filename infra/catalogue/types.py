"""The shape of every fact in the catalogue. Each entry names its source and the date on which it was read."""

from datetime import date
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Version = Annotated[str, Field(pattern=r"^\d+(\.\d+)*$")]
Zone = Annotated[str, Field(pattern=r"^[a-z]+-[a-z]+\d+-[a-z]$")]


class Fact(BaseModel):
    """One entry: what somebody else says is so. `inferred` marks what no source states in so many words."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: str = Field(min_length=4)
    date: date
    inferred: bool = False


class Availability(StrEnum):
    """What Google Cloud does with a GPU: sells it, sells it until a day, sells it no more, or never did."""

    AVAILABLE = "available"
    ENDING = "ending"
    WITHDRAWN = "withdrawn"
    NEVER = "never"


class GoogleGpu(Fact):
    """How Google Cloud names and sells a GPU. `ends` is the day of the end, past or future."""

    state: Availability
    accelerator: str | None = None
    quota: str | None = None
    ends: date | None = None
    provisioning: str | None = None  # a restriction in words, "Spot or Dynamic Workload Scheduler only"
    zones: frozenset[Zone] = frozenset()
    minimum_gke: str | None = None  # the first version of GKE that has it

    @model_validator(mode="after")
    def _state_has_its_day(self) -> "GoogleGpu":
        if self.state in (Availability.ENDING, Availability.WITHDRAWN) and self.ends is None:
            raise ValueError(f"state {self.state} needs the day in `ends`")
        return self


class Card(Fact):
    """What a card is known by on its machine."""

    product: str = Field(min_length=2)  # its whole name as nvidia-smi writes it: an extended regular expression
    pci: tuple[Annotated[str, Field(pattern=r"^[0-9a-f]{4}$")], ...] = ()  # device ids below NVIDIA's 10de
    modules: Literal["proprietary", "open"] | None = None  # the only flavour of kernel modules that knows it


class Gpu(Fact):
    """One device (a K80 board has two). `memory_mib` is what the driver reports as usable, per device."""

    title: str
    memory_title: str
    compute: Version | None = None  # left out: no GPU
    memory_mib: int = Field(ge=0)
    first_driver: int | None = None  # the first driver branch that knows the card
    last_driver: int | None = None  # None: NVIDIA still supports it in the current branch
    default_driver: str | None = None  # branch (R580) or exact version
    default_image: str | None = None  # None: the catalogue's default image
    flash_attention: bool
    note: str | None = None
    google: GoogleGpu | None = None
    card: Card | None = None

    @property
    def compute_capability(self) -> tuple[int, int]:
        """(major, minor); (0, 0) for no GPU."""
        if self.compute is None:
            return (0, 0)
        major, minor = self.compute.split(".")
        return int(major), int(minor)


class Machine(Fact):
    """A Compute Engine machine type. `gpu`/`gpus` only where the GPU comes with the machine."""

    family: str
    vcpus: int = Field(ge=1)
    memory_gb: float = Field(gt=0)  # as Google writes it: 1 GB here is 1 GiB of the machine's memory
    gpu: str | None = None
    gpus: float = 0  # a fraction of one for the small g4 shapes

    @model_validator(mode="after")
    def _count_goes_with_kind(self) -> "Machine":
        if (self.gpu is None) != (self.gpus == 0):
            raise ValueError("`gpu` and `gpus` go together")
        return self


class AttachLimit(Fact):
    """How large an N1 machine may be beside `gpus` attached GPUs of one kind."""

    gpu: str
    gpus: int = Field(ge=1)
    max_vcpus: int
    max_memory_gb: float


class SlidingWindow(BaseModel):
    """Layers that keep only the last `window` tokens."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    layers: int = Field(ge=1)
    window: int = Field(ge=1)


class Shape(BaseModel):
    """What the memory formula needs of a transformer. `kv_heads * head_dim` is the width of K and of V."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    layers: int = Field(ge=1)
    heads: int = Field(ge=1)
    kv_heads: int = Field(ge=1)
    head_dim: int = Field(ge=1)
    embedding: int = Field(ge=1)
    vocabulary: int = Field(ge=1)
    sliding: SlidingWindow | None = None


class Model(Fact):
    """A model of the Ollama library: its default tag's file and its shape."""

    family: str
    kind: Literal["chat", "embedding"] = "chat"
    size_gb: float = Field(gt=0)  # decimal GB of the weights on disk
    quantization: str  # of that file: says which one the size is of
    max_context: int = Field(ge=1)
    shape: Shape
    single_parallel: bool = False  # Ollama forces OLLAMA_NUM_PARALLEL to 1 for this family
    minimum_ollama: Version | None = None


class Latest(Fact):
    """The library's bare names, and the tag that each stands for."""

    tags: dict[str, str]


class DriverBranch(Fact):
    """A branch of NVIDIA's driver, with the exact version pinned where one is."""

    branch: int
    exact: str | None = None
    ends: date | None = None
    on_cos: bool  # Google's installer for Container-Optimized OS offers it on current GKE versions
    on_ubuntu: str | None = None  # the exact version of Google's Ubuntu manifest
    note: str | None = None


class DriverImage(Fact):
    """Where NVIDIA's driver containers come from."""

    repository: str


class DriverBuild(Fact):
    """The last version of a branch that is published as a container for some systems of machines."""

    branch: int
    version: Version
    systems: tuple[Annotated[str, Field(pattern=r"^[a-z]+[0-9.]+$")], ...] = Field(min_length=1)
    architectures: tuple[Literal["amd64", "arm64"], ...] = Field(min_length=1)
    dropped: date | None = None  # since when it is no longer built


class DriverContainers(BaseModel):
    """NVIDIA's driver in containers."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    image: DriverImage
    builds: tuple[DriverBuild, ...]


class DriverFloor(Fact):
    """From Ollama `since` (up to but without `until`) a driver below `driver` has `outcome` on these cards.

    `compute_from` and `compute_below` bound the compute capability, inclusive and exclusive.
    """

    since: Version
    until: Version | None = None
    driver: int
    compute_from: Version | None = None
    compute_below: Version | None = None
    outcome: Literal["fails", "filtered"]  # filtered: CPU, or slowly through Vulkan where that is on


class Image(Fact):
    """An Ollama image: what its tags stand for and which cards it serves."""

    official: bool
    minimum_compute: Version
    maximum_compute: Version | None = None
    version: Version | None = None  # the Ollama version that a fork stands for, where its tags do not say
    drivers: tuple[int, ...] = ()  # the only driver branches it works with; empty: by the floors
    flash_attention: bool = True  # and with it a quantised KV cache
    missing_routes: tuple[str, ...] = ()
    maps_uvm: bool = False  # in Docker it finds no GPU unless /dev/nvidia-uvm* are mapped beside the runtime's devices
    variants: dict[str, str] = {}  # tags, or their last part, of builds for other hardware
    size_gb: float  # on disk, unpacked
    note: str | None = None


class Avoid(Fact):
    """One Ollama version that is known to be bad on some cards."""

    version: Version
    compute_below: Version | None = None
    reason: str


class Releases(BaseModel):
    """Ollama and driver releases and how they go together."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    default_image: str
    verified_until: Version  # the last version whose source was read for Maxwell, Pascal and Volta
    vulkan_since: Version  # from here on `filtered` means Vulkan unless OLLAMA_VULKAN=0
    images: dict[str, Image]
    drivers: dict[str, DriverBranch]
    floors: tuple[DriverFloor, ...]
    avoid: tuple[Avoid, ...] = ()


class Price(Fact):
    """USD; per hour unless the key says otherwise. `spot` is None where no spot price was found."""

    on_demand: float = Field(ge=0)
    spot: float | None = Field(default=None, ge=0)


class HostPrice(Fact):
    """USD per vCPU-hour and GiB-hour of a machine family."""

    vcpu: float
    gb: float
    spot_vcpu: float | None = None
    spot_gb: float | None = None


class RegionPrices(BaseModel):
    """List prices of one region."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    machines: dict[str, Price] = {}  # with their GPUs, where Google sells both as one
    gpus: dict[str, Price] = {}
    families: dict[str, HostPrice] = {}
    disks: dict[str, Price] = {}  # USD per GiB and month
    cluster: Price
    nat_gateway: Price  # per hour and VM, up to 32 VMs
    load_balancer: Price
    address: Price


class Reservation(BaseModel):
    """`share` of what lies above the former bound and up to `up_to` (vCPUs or GiB; None: without end)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    up_to: float | None = None
    share: float


class NodeFacts(Fact):
    """What a GKE node keeps for itself. Shares are of 1; memory in MiB, CPU in millicores."""

    cpu: tuple[Reservation, ...]
    memory: tuple[Reservation, ...]
    memory_small_mib: int  # reserved on machines below 1 GiB
    eviction_mib: int
    # the kernel: physical / kernel_divisor + kernel_fixed_mib
    kernel_divisor: int
    kernel_fixed_mib: int
    # software IO TLB above a size, crash kernel below another
    swiotlb_mib: int
    swiotlb_above_gib: float
    small_machine_mib: int
    small_machine_up_to_gib: float
    # page tables and the like: share, capped
    overhead_share: float
    overhead_cap_mib: int
    system_cpu_millis: int  # what system DaemonSets ask of a GPU node
    system_memory_mib: int
    # the operating system's partitions: the boot disk's capacity is what they leave
    disk_partition_gib: float
    disk_partition_share: float
    disk_capacity_share: float  # kept for eviction, a share of that capacity
    # kept for the system: the least of a share of the disk, a fixed part with a share, and the cap
    disk_share: float
    disk_fixed_gib: float
    disk_fixed_share: float
    disk_cap_gib: float


class ServerFacts(Fact):
    """What one Ollama pod asks of its host beside the GPU."""

    minimum_cpu_millis: int
    minimum_memory_mib: int  # of the server itself
    memory_per_model_mib: int  # of each loaded model's runner
    disk_overhead_gb: float  # logs, the image's copy while it unpacks, room for one pull
    default_disk_gb: int  # the smallest boot disk that we propose
    disk_step_gb: int
    prepare_cpu_millis: int
    prepare_memory_mib: int
    companion_cpu_millis: int  # of the container that brings later models into the running server
    companion_memory_mib: int


class MemoryFacts(Fact):
    """Constants of the memory formula and of its verdict."""

    batch: int
    overhead_mib_per_gpu: int  # predicted on the device beyond SIZE: CUDA context and allocator
    fits_up_to: float  # share of what the device reports


class WakeFacts(Fact):
    """How long an isolated wake takes and how many node-minutes it costs beside the time to cool down."""

    minimum_minutes: float
    maximum_minutes: float
    seconds_per_gb: float  # models that are pulled and loaded
    boot_minutes: float
    unneeded_minutes: float  # until the autoscaler removes a node without pods
    patience: float  # times what a wake should take


class KedaFacts(Fact):
    """Where KEDA comes from."""

    version: str
    chart: str
    repository: str
    namespace: str
    metrics_port: int


class GpuExporterFacts(Fact):
    """Which cards and drivers NVIDIA's exporter reads, and what it asks of a node."""

    minimum_compute: Version
    minimum_driver: int
    port: int
    cpu_millis: int
    memory_mib: int
    memory_limit_mib: int


class GkeFacts(BaseModel):
    """Google Kubernetes Engine: nodes, defaults and what the fleet adds to each cluster."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    node: NodeFacts
    system_machine: str
    system_nodes_min: int
    system_nodes_max: int
    system_disk_gb: int
    disk_type: str
    # machine families whose boot disk must be of another type
    disk_type_by_family: dict[str, str] = {}
    apis: tuple[str, ...]
    node_roles: tuple[str, ...]
    images: dict[str, str]  # name -> reference of every image that the program itself runs
    server: ServerFacts
    memory: MemoryFacts
    wake: WakeFacts
    keda: KedaFacts
    gpu_exporter: GpuExporterFacts
    # decisions of the house, dated like any other fact
    context: int
    hours_per_month: int


class Catalogue(BaseModel):
    """Everything that the decisions know of the world."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    gpus: dict[str, Gpu]
    machines: dict[str, Machine]
    attach: tuple[AttachLimit, ...]
    models: dict[str, Model]
    latest: Latest
    releases: Releases
    driver_containers: DriverContainers
    prices: dict[str, RegionPrices]
    gke: GkeFacts
