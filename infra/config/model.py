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
    PoolName,
    Quantity,
    RegistryName,
    ReplicasInput,
    SiteName,
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
    max: Annotated[int, Field(strict=True, ge=1, le=1000)]

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
    target: Count | None = None
    """Requests in flight per replica, or per cent of the request for `utilization`; default by the pool's parallel."""
    up_after: Duration = 30
    down_after: Duration = 600


def _scaling(value: Any) -> Any:
    return {"by": value} if isinstance(value, str) else value


class ScheduleWindow(Section):
    """Keeps `replicas` pods between two cron times (five fields)."""

    start: Annotated[str, Field(alias="from")]
    end: Annotated[str, Field(alias="to")]
    timezone: str = "UTC"
    replicas: Count = 1

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
    spot: Flag = False
    site: SiteName | None = None
    """Left out: GKE."""
    allow_withdrawn: Flag = False
    """Generate the pool although Google refuses the GPU at apply."""
    machine_type: MachineType | None = None
    gpus_per_node: Annotated[int, Field(strict=True, ge=1, le=16)] | None = None
    gpus_per_replica: Annotated[int, Field(strict=True, ge=1, le=16)] = 1
    context: Count | None = None
    """Tokens per request; left out, 8192, capped at the model's own maximum."""
    parallel: Annotated[int, Field(strict=True, ge=1, le=256)] = 1
    keep_alive: KeepAlive | None = None
    kv_cache: KvCache = "f16"
    flash_attention: Flag | None = None
    """Left out: on where the card and the image can."""
    image: ImageReference | None = None
    driver: Driver | None = None
    disk: Quantity | None = None
    """The node's boot disk on GKE."""
    storage: Literal["ephemeral", "node", "volume"] | None = None
    registry: RegistryName | None = None
    """host[/namespace] instead of Ollama's own; none: nothing is fetched, the models are on the volume."""
    pull_deadline: Duration = 3600
    drain_limit: Duration = 120
    verify_gpu: Flag = True
    startup_threshold: Count = 100
    loading: Literal["together", "onDemand"] | None = None
    scaling: Annotated[Scaling, BeforeValidator(_scaling, json_schema_input_type=str | dict[str, Any])] | None = None
    schedule: tuple[ScheduleWindow, ...] = ()
    wake: Literal["hold", "fallback"] = "hold"
    hold_for: Duration | None = None
    hold_limit: Count | None = None
    when_busy: Literal["wait", "spill"] = "wait"
    runtime_class: Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$")] | None = None
    zones: tuple[Zone, ...] = ()
    env: Environment = {}


class Model(Section):
    """A name that clients ask for, and the pools that serve it in order of preference."""

    pools: tuple[PoolName, ...] = ()
    context: Count | None = None
    digest: Digest | None = None
    modelfile: Annotated[str, Field(min_length=1)] | None = None
    inputs: dict[str, InputValue] = {}
    """What fills {inputs.NAME} in the modelfile."""
    registry: RegistryName | None = None
    """As the pool's, or a name in full: host/namespace/model:tag."""
    vram: Quantity | None = None
    """What the model needs on the GPU, for one that the catalogue does not know."""
    disk: Quantity | None = None

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

    gpus: dict[str, Count] = {}
    """GPU -> how many devices; a K80 or M60 board has two."""
    cpus: Count | None = None
    memory: Quantity
    """Main memory, such as 64Gi."""
    disk: Quantity
    """Room for images and models, such as 400Gi."""


class DockerSite(Section):
    """A Docker host, or several."""


class KubernetesSite(Section):
    """A Kubernetes cluster that is not the fleet's own."""

    context: str | None = None
    apply: Literal["manual", "pulumi"] = "manual"


class Site(Section):
    """Where pools outside GKE stand: exactly one of docker, kubernetes and endpoints."""

    docker: Annotated[DockerSite, BeforeValidator(_empty_is_default)] | None = None
    kubernetes: Annotated[KubernetesSite, BeforeValidator(_empty_is_default)] | None = None
    endpoints: tuple[Url, ...] = ()
    url: Url | None = None
    ca: str | None = None
    """PEM text or the path of a file: certificates are public."""
    nodes: dict[str, SiteNode] = {}

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
    subnet: str
    pods: str
    services: str


class Gke(Section):
    """The cluster on Google Cloud."""

    location: Location
    """A zone or a region."""
    cluster: Annotated[str, Field(min_length=1, pattern=r"^[a-z]([-a-z0-9]*[a-z0-9])?$")] | None = None
    """An existing cluster, to which only pools are added."""
    network: Network | None = None
    labels: dict[LabelKey, LabelValue] = {}
    namespace: Namespace = "ollama"
    release_channel: Literal["rapid", "regular", "stable"] = "regular"
    deletion_protection: Flag = True


class ApiKey(Section):
    """What the bearer of a key may do; nothing given: everything."""

    models: AllowedModels = ()
    requests_per_minute: Count | None = None


class Router(Section):
    """The door."""

    expose: Literal["cluster", "internal", "public"] = "cluster"
    auth: Literal["keys", "none"] = "keys"
    keys: dict[
        Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9_.]*[a-z0-9])?$", max_length=63)],
        Annotated[ApiKey, BeforeValidator(_empty_is_default)],
    ] = {}
    tls: str | None = None
    """The name of a kubernetes.io/tls Secret in the fleet's namespace."""
    client_options: Literal["refuse", "pass"] = "refuse"
    source_ranges: tuple[Cidr, ...] = ()
    origins: tuple[str, ...] = ()
    max_body: Quantity = 32 * 2**20
    site: SiteName | None = None
    insecure_public_access: Flag = False


class Budget(Section):
    """A check of the plan's figures, not a cap on the bill."""

    monthly_usd: Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Proxy(Section):
    """How pods reach model registries."""

    https: Url
    no: tuple[str, ...] = ()
    """Hosts that are reached without it."""
    ca: str | None = None
    """The proxy's own CA as PEM text: certificates are public."""


class Chat(Section):
    """Open WebUI beside the router."""

    disk: Quantity = 10 * 2**30


class Monitoring(Section):
    """Who scrapes the router."""

    kind: Literal["managed", "serviceMonitor", "annotations"] = "managed"
    dashboards: Flag = True


class LoadTest(Section):
    """A load test as a Job."""

    users: Count = 10
    minutes: Count = 5


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
    pools: dict[PoolName, Pool] = {}
    models: dict[
        ModelName,
        Annotated[Model, BeforeValidator(_model, json_schema_input_type=Model | list[str] | None)],
    ] = {}
    aliases: dict[
        ModelName, Annotated[Alias, BeforeValidator(_alias, json_schema_input_type=str | dict[str, int])]
    ] = {}
    sites: dict[SiteName, Site] = {}
    router: Router = Router()
    budget: Budget | None = None
    proxy: Proxy | None = None
    keda: Literal["install", "existing"] = "install"
    chat: Annotated[Chat | None, SwitchInput] = None
    monitoring: Annotated[
        Monitoring | None, BeforeValidator(_monitoring, json_schema_input_type=bool | str | dict[str, Any] | None)
    ] = None
    load_test: Annotated[LoadTest | None, SwitchInput] = None
