"""The file: every key, its type and its default. camelCase in YAML, snake_case here.

Plain configuration only: no Pulumi type, no secret and no decision. A default that depends on facts (machine, driver,
image, disk) is None here and chosen by infra.plan, which prints what it chose.
"""

from typing import Annotated, Literal

from infra.config.model.cluster import Gke, Network
from infra.config.model.door import ApiKey, Router
from infra.config.model.models import Alias, AliasInput, Model, ModelInput
from infra.config.model.operating import Budget, Chat, LoadTest, Monitoring, MonitoringInput, Proxy
from infra.config.model.pool import Pool
from infra.config.model.scaling import Replicas, Scaling, ScheduleWindow
from infra.config.model.section import Section, SwitchInput
from infra.config.model.sites import DockerSite, KubernetesSite, Site, SiteNode
from infra.config.types import ModelName, PoolName, SiteName

__all__ = [
    "Alias",
    "ApiKey",
    "Budget",
    "Chat",
    "DockerSite",
    "FleetConfig",
    "Gke",
    "KubernetesSite",
    "LoadTest",
    "Model",
    "Monitoring",
    "Network",
    "Pool",
    "Proxy",
    "Replicas",
    "Router",
    "Scaling",
    "ScheduleWindow",
    "Section",
    "Site",
    "SiteNode",
]


class FleetConfig(Section):
    """The whole of `ollama-fleet:fleet`."""

    gke: Gke | None = None
    """The cluster at Google; left out: no cloud."""
    pools: dict[PoolName, Pool] = {}
    """Kinds of hardware by name."""
    models: dict[ModelName, Annotated[Model, ModelInput]] = {}
    """Models by the name that clients ask for; [t4, a100] is short for {pools: [t4, a100]}."""
    aliases: dict[ModelName, Annotated[Alias, AliasInput]] = {}
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
    monitoring: Annotated[Monitoring | None, MonitoringInput] = None
    """Metrics; true for the defaults."""
    load_test: Annotated[LoadTest | None, SwitchInput] = None
    """A load test; true for the defaults."""
