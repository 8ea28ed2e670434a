"""What GKE keeps of a node, what the fleet's own parts ask for, and defaults."""

from infra.catalogue.types.fact import Fact, Part, Version


class Reservation(Part):
    """`share` of what lies above the former bound and up to `up_to` (vCPUs or GiB; None: without end)."""

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


class GkeFacts(Part):
    """Google Kubernetes Engine: nodes, defaults and what the fleet adds to each cluster."""

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
