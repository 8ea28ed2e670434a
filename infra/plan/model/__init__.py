"""The plan: every decision, made from the file and the catalogue alone. Memory is in bytes, CPU in millicores, money in
USD, durations in seconds, unless a name says otherwise.

Everything behind the plan (report, components, local processes) only expresses it: whoever needs an `if` about
hardware, money or versions elsewhere adds a field here instead.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from infra.plan.model.cluster import CONFIG_MAP_BYTES, ClusterPlan, NetworkPlan, Quota
from infra.plan.model.door import OLLAMA_PORT, RouterPlan
from infra.plan.model.hardware import Asked, Cards, DriverPlan, HostNeeds, Nodes, Outcome, Runtime, SitePlacement
from infra.plan.model.memory import GpuMemory, Need, Resident, Verdict
from infra.plan.model.money import CostLine, CostPlan, Money
from infra.plan.model.operating import ChatPlan, DoorWithTls, GpuExporterPlan, LoadTestPlan, MonitoringPlan
from infra.plan.model.pool import AliasPlan, ModelPlan, PoolNames, PoolPlan, Prepared
from infra.plan.model.scaling import KedaPlan, KeptPlan, ScalingPlan, SleepPlan, WindowPlan
from infra.plan.model.sites import Machine, SiteCluster, SiteDriver, SitePlan, SiteServer
from infra.problem import Problem

__all__ = [
    "CONFIG_MAP_BYTES",
    "OLLAMA_PORT",
    "AliasPlan",
    "Asked",
    "Cards",
    "ChatPlan",
    "ClusterPlan",
    "CostLine",
    "CostPlan",
    "DoorWithTls",
    "DriverPlan",
    "FleetPlan",
    "GpuExporterPlan",
    "GpuMemory",
    "HostNeeds",
    "KedaPlan",
    "KeptPlan",
    "LoadTestPlan",
    "Machine",
    "ModelPlan",
    "Money",
    "MonitoringPlan",
    "Need",
    "NetworkPlan",
    "Nodes",
    "Outcome",
    "PoolNames",
    "PoolPlan",
    "Prepared",
    "Quota",
    "Resident",
    "RouterPlan",
    "Runtime",
    "ScalingPlan",
    "SiteCluster",
    "SiteDriver",
    "SitePlacement",
    "SitePlan",
    "SiteServer",
    "SleepPlan",
    "Verdict",
    "WindowPlan",
]


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
