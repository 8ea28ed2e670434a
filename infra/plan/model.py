"""The plan: every decision, made from the file and the catalogue alone. Memory is in bytes, CPU in millicores, money in
USD, durations in seconds, unless a name says otherwise.

Everything behind the plan (report, components, local processes) only expresses it: whoever needs an `if` about
hardware, money or versions elsewhere adds a field here instead.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from functools import cached_property
from typing import Any, Literal

from infra.config.model import Replicas, Router
from infra.config.types import quantity
from infra.problem import Problem

OLLAMA_PORT = 11434
CONFIG_MAP_BYTES = 2**20
"""What a ConfigMap holds (pkg/apis/core/validation of Kubernetes 1.34.1, 2026-11-21)."""
PREPARE_FOLDER = "/etc/ollama-fleet/prepare"
"""Where the shell that prepares models is mounted, and the CA of a proxy."""


class Outcome(StrEnum):
    """What becomes of a card with a driver and an Ollama version."""

    WORKS = "works"
    FAILS = "fails on every request"
    CPU = "runs silently on the CPU"
    VULKAN = "runs slowly through Vulkan"
    UNKNOWN = "is not known"


class Verdict(StrEnum):
    """How a pool's models stand against its GPU memory."""

    FITS = "fits"
    TIGHT = "tight"
    TOO_LARGE = "does not fit"
    UNKNOWN = "unknown"


@dataclass(frozen=True, kw_only=True)
class Need:
    """Memory of one loaded model."""

    weights: int
    kv: int
    graph: int
    overhead: int
    """What a device holds beyond Ollama's own figure, the CUDA context above all."""

    @property
    def size(self) -> int:
        """As Ollama reports it (SIZE in `ollama ps`, 0.30 and newer)."""
        return self.weights + self.kv + self.graph

    @property
    def device(self) -> int:
        """As the device shows it."""
        return self.size + self.overhead


@dataclass(frozen=True, kw_only=True)
class Resident:
    """A model as it stands on one pool."""

    model: str
    context: int
    parallel: int
    need: Need
    disk: int
    shares: str | None = None
    """The resident that has the same weights and options loaded already: this one adds nothing."""


@dataclass(frozen=True, kw_only=True)
class GpuMemory:
    """A replica's GPU memory: what its devices report and what its models need at once."""

    devices: int
    per_device: int
    used: int
    verdict: Verdict
    busiest: int
    """Use of the fullest device."""

    @property
    def total(self) -> int:
        """Of all devices of one replica."""
        return self.devices * self.per_device

    @property
    def share(self) -> float:
        """Of the total, 1.0 being full."""
        return self.used / self.total if self.total else 0.0


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What a container asks for, and what it may take: millicores and bytes."""

    cpu: int = 0
    memory: int = 0
    """0: it asks for none."""
    memory_limit: int = 0
    """0: no bound."""


@dataclass(frozen=True, kw_only=True)
class DriverPlan:
    """Who installs which driver, and what must be loaded in the end."""

    mode: Literal["installer", "gke", "host", "container", "none"]
    branch: int | None = None
    exact: str | None = None
    operating_system: Literal["cos", "ubuntu"] = "cos"
    image: str = ""
    """The installer that Google preloads on its nodes."""
    pause_image: str = ""
    installer: Asked = Asked()
    verifier: Asked = Asked()
    pause: Asked = Asked()
    pinned: bool = False
    """An exact version, from the file or for want of a branch: a node upgrade could take it away."""
    assumed: bool = False
    """Nobody said what a site's host has: the plan reckons with the card's default."""

    @property
    def request(self) -> str:
        """What the installer is asked for: an exact version, or the branch's latest (`R580`)."""
        return self.exact or f"R{self.branch}"

    @property
    def expected(self) -> str:
        """How the loaded driver's version must begin."""
        return self.exact or f"{self.branch}."

    @property
    def checked_on_node(self) -> bool:
        """Whether the nodes have a driver of ours, or of Google's, that a pod of each node looks at."""
        return self.mode in ("installer", "gke")


@dataclass(frozen=True, kw_only=True)
class Cards:
    """GPUs of one kind that must be seen, and what they are known by there."""

    count: int
    title: str
    product: str
    """A regular expression for the whole name that nvidia-smi prints."""
    pci: tuple[str, ...]
    """Device ids; none where the catalogue has none."""


@dataclass(frozen=True, kw_only=True)
class HostNeeds:
    """What a server finds on its machine before it starts, or does not start. Without cards it needs nothing."""

    cards: tuple[Cards, ...] = ()
    driver: str = ""
    """How the loaded driver's version must begin, where the file says so of a site's machine."""
    least_driver: int = 0
    most_driver: int = 0
    """Else the branches that work with card and image; 0: no bound."""
    modules: str = ""
    """The only flavour of kernel modules that knows the cards: `proprietary` or `open`; empty: either."""
    driver_log: str = ""
    """The command that shows why a driver in a container is not there; empty where the machine has its own."""
    maps_uvm: bool = False
    """In Docker the devices of unified memory must be mapped beside those that the runtime brings."""


@dataclass(frozen=True, kw_only=True)
class Runtime:
    """The Ollama image and what is known of it on this card."""

    image: str
    version: str | None
    official: bool
    outcome: Outcome
    missing_routes: tuple[str, ...] = ()
    assumed: bool = False
    """Nobody said what runs at endpoints: the plan reckons with the default."""
    driver_floor: tuple[int, str] | None = None
    """The least driver branch for it on this card, and the Ollama since which that holds."""


@dataclass(frozen=True, kw_only=True)
class Nodes:
    """The machines of a pool on GKE."""

    machine_type: str
    accelerator: str | None
    gpus_per_node: int
    replicas_per_node: int
    minimum: int
    maximum: int
    zones: tuple[str, ...]
    spot: bool
    disk_gb: int
    disk_type: str
    hourly: float | None
    """USD of one node with its GPUs and boot disk; None where the catalogue has no price."""


@dataclass(frozen=True, kw_only=True)
class SitePlacement:
    """How many replicas stand on one machine of a site."""

    node: str
    replicas: int
    gpus_of_node: int
    devices: tuple[tuple[str, ...], ...] = ()
    """What nvidia-smi calls the GPUs of each replica; empty where there is none, or the file leaves open which."""


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
class WindowPlan:
    """Keeps `replicas` pods between two cron times."""

    start: str
    end: str
    timezone: str
    replicas: int


@dataclass(frozen=True, kw_only=True)
class KeptPlan:
    """What schedules keep up beyond the pool's minimum."""

    replicas: int
    hours: float
    """Of a month, in which they keep just as many."""
    machines: int
    """More than at the minimum of replicas."""
    monthly: float | None
    """USD of these machines in these hours; None without a price."""


@dataclass(frozen=True, kw_only=True)
class SleepPlan:
    """How a pool without a pod comes back, and what that costs."""

    wake: Literal["hold", "fallback"]
    hold_for: int
    """Seconds that a request waits for the pool at most."""
    held_at_most: int
    """Requests that wait at a time, in each router pod; one more is refused."""
    starts_within: int
    """Seconds that a wake should take."""
    idle_after: int
    """Seconds without a request after which the last pod goes."""
    billed_minutes: float
    """Node-minutes of a wake for one request; gaps longer than that are cheaper asleep."""
    wake_cost: float | None
    """USD of such a wake; None without a price."""
    saved_hourly: float | None
    """USD per hour asleep."""
    hours: float
    """Of a month, in which no schedule keeps it up."""


@dataclass(frozen=True, kw_only=True)
class ScalingPlan:
    """What a pool's replicas follow."""

    by: Literal["inFlight", "utilization", "fixed"]
    target: int
    """Requests in flight per replica, or per cent of the request."""
    up_after: int
    down_after: int
    up_every: int
    down_every: int
    """Seconds for one pod more, or fewer."""
    look_every: int
    """Seconds between two looks of KEDA."""
    windows: tuple[WindowPlan, ...]
    kept: tuple[KeptPlan, ...]
    """By these windows, the most replicas first."""
    sleep: SleepPlan | None

    @property
    def by_keda(self) -> bool:
        """Whether KEDA has to be there."""
        return self.by == "inFlight"


@dataclass(frozen=True, kw_only=True)
class KedaPlan:
    """KEDA as the program installs it."""

    chart: str
    version: str
    repository: str
    namespace: str
    metrics_port: int
    operator: Asked
    metrics_server: Asked


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

    @property
    def takes_turns(self) -> bool:
        """Whether its models push each other out of the GPU's memory."""
        return self.loading == "onDemand" and sum(one.shares is None for one in self.residents) > 1


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


@dataclass(frozen=True, kw_only=True)
class NetworkPlan:
    """The VPC of the cluster: our own, or one that exists."""

    create: bool
    host_project: str
    vpc: str
    subnet: str
    pods: str
    services: str
    nodes_range: str = "10.0.0.0/20"
    pods_range: str = "10.64.0.0/14"
    services_range: str = "10.4.0.0/20"


@dataclass(frozen=True, kw_only=True)
class ClusterPlan:
    """The cluster on Google Cloud."""

    name: str
    existing: bool
    project: str
    location: str
    region: str
    network: NetworkPlan
    namespace: str
    driver_namespace: str
    node_account: str
    labels: Mapping[str, str]
    release_channel: str
    deletion_protection: bool
    node_roles: tuple[str, ...]
    """What the nodes' own service account may do in the project."""
    system_machine: str
    system_zones: tuple[str, ...]
    system_minimum: int
    system_maximum: int
    system_disk_gb: int
    disk_type: str
    apis: tuple[str, ...]
    pinned_drivers_since: date | None
    """The day from which on node upgrades are held, since some pool pins an exact driver; None: not held."""


@dataclass(frozen=True, kw_only=True)
class RouterPlan:
    """The door and the map that it follows."""

    image: str
    """Envoy's."""
    control_image: str
    """The Python of the process beside it."""
    replicas: int
    most_replicas: int
    cpu_target: int
    """Per cent of the CPU that its containers ask for, above which there are more of them."""
    port: int
    admin_port: int
    """Loopback only, as `beside_port` and `spill_port`."""
    metrics_port: int
    beside_port: int
    spill_port: int
    threads: int
    """Of Envoy, each of which reads one body at a time."""
    cpu_request: int
    memory_request: int
    memory_limit: int
    control_cpu_request: int
    control_memory_request: int
    control_memory_limit: int
    leave_seconds: int
    drain_limit: int
    """Seconds that open requests are waited for when a router stops, after `leave_seconds`."""
    priority_class: str
    settings: Router
    routes: str
    """The text of routes.toml."""
    facts: str
    """The text of facts.json."""
    rules: str
    """The text of door.json, in which no key stands."""
    keys: tuple[str, ...]
    """The names of the keys; none where nobody needs one."""
    sites: tuple[str, ...] = ()
    """The sites that it reaches by a URL, each with a token where the stack has one."""
    authorities: Mapping[str, str] = field(default_factory=dict)
    """Site -> whom its certificate is from, as PEM text; any other is believed as the system does."""


@dataclass(frozen=True, kw_only=True)
class GpuExporterPlan:
    """NVIDIA's exporter of what the GPUs themselves show, on every node of some pools."""

    image: str
    port: int
    counters: str
    """The text of its list of figures."""
    pools: tuple[str, ...]
    left_out: Mapping[str, str]
    """The other pools, and why each has none."""
    cpu_request: int
    memory_request: int
    memory_limit: int


@dataclass(frozen=True, kw_only=True)
class MonitoringPlan:
    """Who scrapes the routers, and what is made of it."""

    kind: Literal["managed", "serviceMonitor", "annotations"]
    rules: tuple[Mapping[str, Any], ...]
    """Groups of recording and alert rules, as Prometheus has them."""
    dashboards: Mapping[str, str]
    """Grafana's JSON by file name."""
    gpus: GpuExporterPlan | None = None
    """None where the file does not ask for it."""


@dataclass(frozen=True, kw_only=True)
class DoorWithTls:
    """How a client in the cluster reaches a door that speaks TLS, by an Envoy of its own pod."""

    listen: int
    """On loopback, in clear."""
    address: str
    port: int
    host: str | None
    """What the certificate must be for; None: nobody knows."""
    secret: str
    """Of the certificate."""


@dataclass(frozen=True, kw_only=True)
class ChatPlan:
    """Open WebUI beside the router."""

    image: str
    port: int
    volume_gb: int
    tls: str | None
    """The Secret of its certificate."""
    door: DoorWithTls | None
    """None: the door speaks no TLS, and is asked by its own address."""
    embedding: str | None
    """The model that reads documents for it; None: documents are not read."""
    memory_request: int
    memory_limit: int
    cpu_request: int
    envoy_cpu_request: int
    """Of the Envoy that holds the certificate."""
    envoy_memory_request: int
    envoy_memory_limit: int


@dataclass(frozen=True, kw_only=True)
class LoadTestPlan:
    """A load test that waits for somebody to start it."""

    image: str
    tls: str | None
    """The Secret of the door's certificate."""
    host: str | None
    """What that must be for; None: nobody knows."""
    users: int
    seconds: int
    memory_request: int
    memory_limit: int
    cpu_request: int


@dataclass(frozen=True, kw_only=True)
class SiteServer:
    """One Ollama on a machine of a Docker site: a replica of a pool."""

    name: str
    """Of its service, and of its host name in the machine's own network."""
    pool: str
    devices: tuple[str, ...]
    """Its GPUs as nvidia-smi calls them."""


@dataclass(frozen=True, kw_only=True)
class Machine:
    """A machine of a Docker site: what runs on it."""

    name: str
    servers: tuple[SiteServer, ...]
    needs: HostNeeds
    """Of all its servers together."""
    door: RouterPlan
    """That of the whole fleet where `router.site` says so, else one for the site's token."""
    port: int
    """At which the machine's door is reached."""
    tls: bool
    holder_image: str
    """Of the container that does nothing but hold the network of the door."""
    tokens: tuple[str, ...] = ()
    """The sites whose token its door sends."""


@dataclass(frozen=True, kw_only=True)
class SiteDriver:
    """NVIDIA's driver container on those machines of a Kubernetes site that take the same one."""

    name: str
    image: str
    version: str
    """What must be loaded."""
    architectures: tuple[str, ...]
    modules: str
    """The only flavour of kernel modules that knows the cards; empty: the container chooses."""
    nodes: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class SiteCluster:
    """A Kubernetes cluster that is not the fleet's own."""

    applied: bool
    """By `up`; else its objects are printed for kubectl."""
    context: str | None
    namespace: str
    driver_namespace: str
    door: RouterPlan | None
    """That of the whole fleet, or one for the site's token; None where nobody comes that way."""
    nodes: Mapping[str, tuple[str, ...]]
    """Its named nodes, and the pools whose pods may stand there."""
    device_plugin: str
    """The image of NVIDIA's device plugin; empty where the cluster has one, or needs none."""
    device_plugin_asks: Asked
    runtime_class: str | None
    drivers: tuple[SiteDriver, ...] = ()


@dataclass(frozen=True, kw_only=True)
class SitePlan:
    """What the fleet sets up at a site, or at least routes to."""

    name: str
    kind: Literal["docker", "kubernetes", "endpoints"]
    pools: tuple[str, ...]
    hosts: tuple[str, ...] = ()
    """Names and addresses that the certificate of its doors is for."""
    machines: tuple[Machine, ...] = ()
    """Of a Docker site. The first one's door leads to the others."""
    cluster: SiteCluster | None = None
    """Of a Kubernetes site."""


@dataclass(frozen=True, kw_only=True)
class Money:
    """USD per hour at the minimum and at the maximum of replicas. The minimum is the mean of a month: it includes the
    hours in which schedules keep more replicas up."""

    minimum: float
    maximum: float

    def __add__(self, other: "Money") -> "Money":
        return Money(minimum=self.minimum + other.minimum, maximum=self.maximum + other.maximum)


@dataclass(frozen=True, kw_only=True)
class CostLine:
    """One line of the bill. `pool` is None for what stands whether or not any pool does."""

    title: str
    pool: str | None
    hourly: Money


@dataclass(frozen=True, kw_only=True)
class CostPlan:
    """What the fleet costs by list price."""

    region: str
    priced_in: str
    """The region whose prices were used; not `region` where the catalogue has none for it."""
    date: date
    """The oldest price used."""
    hours_per_month: int
    lines: tuple[CostLine, ...]
    not_counted: tuple[str, ...]
    budget: float | None = None
    """USD per month that the file allows; a check, not a cap."""

    @property
    def total(self) -> Money:
        """Of all lines."""
        return sum((line.hourly for line in self.lines), Money(minimum=0.0, maximum=0.0))

    def pool(self, name: str) -> Money:
        """Of one pool."""
        return sum((line.hourly for line in self.lines if line.pool == name), Money(minimum=0.0, maximum=0.0))

    @property
    def base(self) -> Money:
        """Of what stands without any pool."""
        return sum((line.hourly for line in self.lines if line.pool is None), Money(minimum=0.0, maximum=0.0))

    def monthly(self, hourly: float) -> float:
        """`hourly` for a month."""
        return hourly * self.hours_per_month


@dataclass(frozen=True, kw_only=True)
class Quota:
    """What a project must be allowed to have at once, by Google's own name for it."""

    name: str
    where: str
    """A region, or `global`."""
    needed: int


@dataclass(frozen=True, kw_only=True)
class FleetPlan:
    """All decisions. Pools, models and aliases are in order of their names; equal files give equal plans."""

    stack: str
    cluster: ClusterPlan | None
    pools: tuple[PoolPlan, ...]
    models: tuple[ModelPlan, ...]
    aliases: tuple[AliasPlan, ...]
    namespace: str
    router: RouterPlan
    cost: CostPlan | None
    wake_minutes: tuple[float, float]
    keda: KedaPlan | None
    """None where no pool needs it, or the cluster has it."""
    certificates: str
    """The CA of the proxy in PEM form, if there is one."""
    problems: tuple[Problem, ...]
    monitoring: MonitoringPlan | None = None
    chat: ChatPlan | None = None
    load_test: LoadTestPlan | None = None
    sites: tuple[SitePlan, ...] = ()
    quotas: tuple[Quota, ...] = ()
    """Needed at the maximum of replicas."""
    checked: tuple[str, ...] = ()
    not_checked: tuple[str, ...] = ()

    def pool(self, name: str) -> PoolPlan:
        """The pool of that name; raises KeyError."""
        return self._by_name[name]

    def site(self, name: str) -> SitePlan:
        """The site of that name; raises KeyError."""
        return {site.name: site for site in self.sites}[name]

    @cached_property
    def _by_name(self) -> Mapping[str, PoolPlan]:
        return {pool.name: pool for pool in self.pools}
