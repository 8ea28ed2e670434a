"""The file: every key, its type and its default. camelCase in YAML, snake_case here.

Plain configuration only: no Pulumi type, no secret and no decision. A default that depends on facts (machine, driver,
image, disk) is None here and chosen by infra.plan, which prints what it chose.
"""

from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    field_validator,
    model_validator,
)
from pydantic.alias_generators import to_camel

from infra.config.types import (
    AllowedModels,
    Cidr,
    Count,
    Devices,
    Digest,
    Driver,
    Duration,
    Environment,
    Flag,
    ImageReference,
    InputValue,
    KeepAlive,
    KvCache,
    LabelKey,
    LabelValue,
    Location,
    MachineType,
    ModelName,
    Namespace,
    NodeName,
    PoolName,
    Quantity,
    RegistryName,
    ReplicasInput,
    SiteName,
    SystemName,
    Url,
    Zone,
    refuse,
    shown,
)


class Section(BaseModel):
    """Unknown keys are errors, values do not change, and no message repeats what the file holds."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        hide_input_in_errors=True,
        alias_generator=to_camel,
        use_attribute_docstrings=True,
        validate_default=False,
    )


def _empty_is_default(value: Any) -> Any:
    """`everyone:` with nothing behind it means the defaults, as `everyone: {}` does."""
    return {} if value is None else value


class Replicas(Section):
    """How many pods a pool has; different numbers mean that it scales between them."""

    min: Annotated[int, Field(strict=True, ge=0, le=1000)]
    """The fewest pods; 0 lets the pool sleep."""
    max: Annotated[int, Field(strict=True, ge=1, le=1000)]
    """The most pods."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.min > self.max:
            raise refuse(f"at least {self.min} and at most {self.max} cannot both hold", "put the smaller number first")
        return self

    @property
    def scales(self) -> bool:
        """Whether an autoscaler owns the number."""
        return self.min != self.max


class Scaling(Section):
    """What a pool's replicas follow."""

    by: Literal["inFlight", "utilization", "fixed"]
    """What is counted; fixed: nothing, and replicas is one number."""
    target: Count | None = None
    """Requests in flight per replica, or per cent of the request for `utilization`; default by the pool's parallel."""
    up_after: Duration = 30
    """How long the figure has to be above the target."""
    down_after: Duration = 600
    """How long it has to be below it."""


def _scaling(value: Any) -> Any:
    return {"by": value} if isinstance(value, str) else value


class ScheduleWindow(Section):
    """Keeps `replicas` pods between two cron times (five fields)."""

    start: Annotated[str, Field(alias="from")]
    """When it begins, as five cron fields: 0 8 * * 1-5."""
    end: Annotated[str, Field(alias="to")]
    """When it ends, as five cron fields."""
    timezone: str = "UTC"
    """A name of the IANA database, such as Europe/Berlin."""
    replicas: Count = 1
    """How many pods are kept meanwhile."""

    @field_validator("start", "end")
    @classmethod
    def _five_fields(cls, value: str) -> str:
        if len(value.split()) != 5:
            raise refuse(
                f"{shown(value)} is not a cron time",
                "write five fields, for instance '0 8 * * 1-5' for 8:00 on workdays",
            )
        return value


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
    scaling: Annotated[Scaling, BeforeValidator(_scaling, json_schema_input_type=str | dict[str, Any])] | None = None
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
    runtime_class: Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$")] | None = None
    """The RuntimeClass of the pods, for clusters that need one for GPUs."""
    zones: tuple[Zone, ...] = ()
    """Where the nodes may be. Left out: the zones of the location that have the card."""
    env: Environment = {}
    """More of Ollama's settings; those that the plan decides are refused."""


class Model(Section):
    """A name that clients ask for, and the pools that serve it in order of preference."""

    pools: tuple[PoolName, ...] = ()
    """The pools in order of preference."""
    context: Count | None = None
    """Tokens per request; left out, the smallest context of its pools."""
    digest: Digest | None = None
    """The sha256 of its manifest, 64 hex digits; with FROM a file or an address, that of the weights."""
    modelfile: Annotated[str, Field(min_length=1)] | None = None
    """Makes the model: FROM another model, ./FILE.gguf or https://HOST/FILE.gguf, and what is laid over it."""
    inputs: dict[str, InputValue] = {}
    """What fills {inputs.NAME} in the modelfile."""
    registry: RegistryName | None = None
    """As the pool's, or a name in full: host/namespace/model:tag."""
    vram: Quantity | None = None
    """What the model needs on the GPU, for one that the catalogue does not know."""
    disk: Quantity | None = None
    """What its files take, for one that the catalogue does not know."""

    @model_validator(mode="after")
    def _inputs_have_a_modelfile(self) -> Self:
        if self.inputs and self.modelfile is None:
            raise refuse("inputs fill a modelfile, and there is none", "add modelfile or take inputs out")
        return self


def _model(value: Any) -> Any:
    """`[t4, a100]` is short for `{pools: [t4, a100]}`; nothing at all is a model without pools."""
    if value is None:
        return {}
    if isinstance(value, str):
        raise refuse("the pools of a model are a list", "write them in brackets, for instance [t4]")
    return {"pools": value} if isinstance(value, list) else value


class Alias(Section):
    """Another name for a model, or a split between models by weight."""

    targets: dict[ModelName, Annotated[int, Field(strict=True, ge=1, le=10_000)]]


def _alias(value: Any) -> Any:
    if isinstance(value, str):
        return {"targets": {value: 1}}
    if isinstance(value, dict) and value:
        return {"targets": value}
    raise refuse("an alias names a model or a split", "write a model's name, or {model-a: 90, model-b: 10}")


class SiteNode(Section):
    """One machine of a site."""

    gpus: dict[str, Devices] = {}
    """GPU -> how many devices, or which: [0, 1] or UUIDs as `nvidia-smi -L` lists them. A K80 or M60 board has two."""
    cpus: Count | None = None
    """Its CPUs."""
    memory: Quantity
    """Main memory, such as 64Gi."""
    disk: Quantity
    """Room for images and models, such as 400Gi."""
    os: SystemName | None = None
    """What it runs, for a driver in a container; left out, that of the site."""

    def count(self, gpu: str) -> int:
        """How many devices of a kind it has."""
        listed = self.gpus.get(gpu, 0)
        return listed if isinstance(listed, int) else len(listed)

    def devices(self, gpu: str) -> tuple[str, ...] | None:
        """What nvidia-smi calls them; None where the file does not say which of several kinds is which."""
        listed = self.gpus.get(gpu, 0)
        if isinstance(listed, tuple):
            return listed
        return tuple(map(str, range(listed))) if len(self.gpus) == 1 else None


class DockerSite(Section):
    """A Docker host, or several."""


class KubernetesSite(Section):
    """A Kubernetes cluster that is not the fleet's own."""

    context: Annotated[str, Field(min_length=1)] | None = None
    """The context of the kubeconfig that leads there."""
    apply: Literal["manual", "pulumi"] = "manual"
    """manual: `fleet manifests --site NAME` prints what kubectl applies; pulumi: the program applies it."""
    distribution: Literal["k3s", "other"] = "other"
    """k3s has the runtime class nvidia where it finds NVIDIA's container runtime."""
    device_plugin: Literal["install", "existing"] = "install"
    """What tells the cluster of its GPUs; existing: it is there, by the GPU operator for instance."""
    os: SystemName | None = None
    """What its machines run, such as ubuntu22.04: NVIDIA's driver container is built for one system."""


class Site(Section):
    """Where pools outside GKE stand: exactly one of docker, kubernetes and endpoints."""

    docker: Annotated[DockerSite, BeforeValidator(_empty_is_default)] | None = None
    """A Docker host: docker: {}."""
    kubernetes: Annotated[KubernetesSite, BeforeValidator(_empty_is_default)] | None = None
    """Another Kubernetes cluster."""
    endpoints: tuple[Url, ...] = ()
    """Addresses of Ollama servers that run already."""
    url: Url | None = None
    """Where the router reaches the site's servers."""
    ca: str | None = None
    """PEM text or the path of a file: certificates are public."""
    nodes: dict[NodeName, SiteNode] = {}
    """Its machines by name, and what each has."""

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        kinds = [self.docker is not None, self.kubernetes is not None, bool(self.endpoints)]
        if sum(kinds) != 1:
            raise refuse(
                "a site is exactly one of docker, kubernetes and endpoints",
                "write docker: {}, kubernetes: {context: NAME} or endpoints: [URL]",
            )
        return self

    @property
    def kind(self) -> Literal["docker", "kubernetes", "endpoints"]:
        """Which of the three it is."""
        if self.endpoints:
            return "endpoints"
        return "docker" if self.docker is not None else "kubernetes"


class Network(Section):
    """An existing VPC-native network; `vpc` may be `host-project/name`."""

    vpc: str
    """Its name, or host-project/name."""
    subnet: str
    """The subnet of the nodes."""
    pods: str
    """The name of the secondary range for pods."""
    services: str
    """The name of the secondary range for Services."""


class Gke(Section):
    """The cluster on Google Cloud."""

    location: Location
    """A zone or a region."""
    cluster: Annotated[str, Field(min_length=1, pattern=r"^[a-z]([-a-z0-9]*[a-z0-9])?$")] | None = None
    """An existing cluster, to which only pools are added."""
    network: Network | None = None
    """Left out: a network of the fleet's own."""
    labels: dict[LabelKey, LabelValue] = {}
    """Labels of everything at Google."""
    namespace: Namespace = "ollama"
    """Of the servers and the router."""
    release_channel: Literal["rapid", "regular", "stable"] = "regular"
    """How soon the cluster gets new versions of Kubernetes."""
    deletion_protection: Flag = True
    """Whether make destroy is refused; write false and make up first."""


class ApiKey(Section):
    """What the bearer of a key may do; nothing given: everything."""

    models: AllowedModels = ()
    """What its bearer may ask for; left out: everything."""
    requests_per_minute: Count | None = None
    """Of each router pod; left out: no limit."""


class Router(Section):
    """The door."""

    expose: Literal["cluster", "internal", "public"] = "cluster"
    """cluster: inside only; internal: the network; public: a reserved address, which needs keys and TLS."""
    auth: Literal["keys", "none"] = "keys"
    """none: nobody is asked for a key; never for a public door."""
    keys: dict[
        Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9_.]*[a-z0-9])?$", max_length=63)],
        Annotated[ApiKey, BeforeValidator(_empty_is_default)],
    ] = {}
    """Names of keys, and what each may do. Left out: one, everyone, for everything."""
    tls: str | None = None
    """The name of a kubernetes.io/tls Secret in the fleet's namespace."""
    host: Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$", max_length=253)] | None = None
    """The name that the certificate is for, llm.example.org: chat and load test then believe no other."""
    client_options: Literal["refuse", "pass"] = "refuse"
    """refuse: num_ctx other than the plan's, num_gpu and main_gpu are 400; pass: memory is not guaranteed."""
    source_ranges: tuple[Cidr, ...] = ()
    """Who may come, as address ranges: 203.0.113.0/24."""
    origins: tuple[str, ...] = ()
    """Web pages that may call from a browser: https://chat.example.org."""
    max_body: Quantity = 32 * 2**20
    """The largest request, such as 32Mi."""
    site: SiteName | None = None
    """Where the door stands without gke."""
    insecure_public_access: Flag = False
    """A public door without keys or TLS, all the same."""


class Budget(Section):
    """A check of the plan's figures, not a cap on the bill."""

    monthly_usd: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    """A warning where the maximum of replicas costs more, an error where the minimum does."""


class Proxy(Section):
    """How pods reach model registries."""

    https: Url
    """Its address: http://proxy.example.org:3128."""
    no: tuple[str, ...] = ()
    """Hosts that are reached without it."""
    ca: str | None = None
    """The proxy's own CA as PEM text: certificates are public."""


class Chat(Section):
    """Open WebUI beside the router, exposed as it is."""

    disk: Quantity = 10 * 2**30
    """Of its volume, such as 10Gi."""
    tls: Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$", max_length=253)] | None = None
    """The name of a kubernetes.io/tls Secret for its own name; left out, the router's."""


class Monitoring(Section):
    """Who scrapes the router."""

    kind: Literal["managed", "serviceMonitor", "annotations"] = "managed"
    """Who scrapes: Google's managed Prometheus, a ServiceMonitor, or whoever reads annotations."""
    dashboards: Flag = True
    """Whether dashboards are made."""
    gpus: Flag = False
    """Whether use, memory and temperature of the GPUs are read: by NVIDIA's exporter, a privileged pod on each of their
    nodes on GKE."""


class LoadTest(Section):
    """A load test that is there and does not run: a suspended CronJob, of which one makes a Job."""

    users: Count = 10
    """How many ask at once."""
    minutes: Count = 5
    """For how long."""


def _switch(value: Any) -> Any:
    """`chat: true` is short for `chat: {}`, and `chat: false` for leaving it out."""
    if value is True:
        return {}
    return None if value is False else value


def _monitoring(value: Any) -> Any:
    return {"kind": value} if isinstance(value, str) else _switch(value)


SwitchInput = BeforeValidator(_switch, json_schema_input_type=bool | dict[str, Any] | None)


class FleetConfig(Section):
    """The whole of `ollama-fleet:fleet`."""

    gke: Gke | None = None
    """The cluster at Google; left out: no cloud."""
    pools: dict[PoolName, Pool] = {}
    """Kinds of hardware by name."""
    models: dict[
        ModelName,
        Annotated[Model, BeforeValidator(_model, json_schema_input_type=Model | list[str] | None)],
    ] = {}
    """Models by the name that clients ask for; [t4, a100] is short for {pools: [t4, a100]}."""
    aliases: dict[
        ModelName, Annotated[Alias, BeforeValidator(_alias, json_schema_input_type=str | dict[str, int])]
    ] = {}
    """Other names: a model's name, or a split by weight, {model-a: 90, model-b: 10}."""
    sites: dict[SiteName, Site] = {}
    """Places outside GKE by name."""
    router: Router = Router()
    """The door."""
    budget: Budget | None = None
    """What the fleet may cost."""
    proxy: Proxy | None = None
    """How pods reach registries; left out: directly."""
    keda: Literal["install", "existing"] = "install"
    """Whether KEDA is installed, or there already."""
    chat: Annotated[Chat | None, SwitchInput] = None
    """A chat page; true for the defaults."""
    monitoring: Annotated[
        Monitoring | None, BeforeValidator(_monitoring, json_schema_input_type=bool | str | dict[str, Any] | None)
    ] = None
    """Metrics; true for the defaults."""
    load_test: Annotated[LoadTest | None, SwitchInput] = None
    """A load test; true for the defaults."""
