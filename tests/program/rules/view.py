"""A recording beside the plan that it should express, and the register of the rules about the two."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from infra.plan.model import ClusterPlan, PoolPlan
from infra.plan.model import FleetPlan as Plan
from infra.recorder import RecordedResource, Recording, reveal

CLUSTER = "gcp:container/cluster:Cluster"
NODE_POOL = "gcp:container/nodePool:NodePool"
SERVICE_OF_GOOGLE = "gcp:projects/service:Service"
MEMBER = "gcp:projects/iAMMember:IAMMember"
ACCOUNT = "gcp:serviceaccount/account:Account"
PROVIDER = "pulumi:providers:kubernetes"
DEPLOYMENT = "kubernetes:apps/v1:Deployment"
DAEMON_SET = "kubernetes:apps/v1:DaemonSet"
CONFIG_MAP = "kubernetes:core/v1:ConfigMap"
VOLUME_CLAIM = "kubernetes:core/v1:PersistentVolumeClaim"
NAMESPACE = "kubernetes:core/v1:Namespace"
QUOTA = "kubernetes:core/v1:ResourceQuota"
SERVICE = "kubernetes:core/v1:Service"
SERVICE_ACCOUNT = "kubernetes:core/v1:ServiceAccount"
BUDGET = "kubernetes:policy/v1:PodDisruptionBudget"
AUTOSCALER = "kubernetes:autoscaling/v2:HorizontalPodAutoscaler"
PRIORITY_CLASS = "kubernetes:scheduling.k8s.io/v1:PriorityClass"
SCALED_OBJECT = "kubernetes:keda.sh/v1alpha1:ScaledObject"
RELEASE = "kubernetes:helm.sh/v3:Release"
NETWORK_POLICY = "kubernetes:networking.k8s.io/v1:NetworkPolicy"
COMPONENT = "ollama-fleet:components:"

POOL_KEY = "ollama-fleet/pool"
GPU = "nvidia.com/gpu"
ROUTER_POD = {"app.kubernetes.io/name": "ollama-router"}
MANAGED_BY = {"app.kubernetes.io/managed-by": "ollama-fleet"}

Complaints = Iterator[str]
Rule = Callable[["View"], Complaints]
RULES: list[Rule] = []


def rule(function: Rule) -> Rule:
    """Registers a rule, whose name is its sentence: it yields what contradicts it."""
    RULES.append(function)
    return function


def sentence(function: Rule) -> str:
    """The name of a rule as one reads it."""
    return function.__name__.replace("_", " ")


@dataclass(frozen=True)
class Pod:
    """The template of pods in a Deployment or DaemonSet."""

    owner: RecordedResource
    pool: PoolPlan | None
    """Whose server or driver it is; None for the router."""

    @property
    def name(self) -> str:
        return self.owner.name

    @property
    def is_driver(self) -> bool:
        return self.owner.type == DAEMON_SET

    @cached_property
    def template(self) -> Mapping[str, Any]:
        return at(self.owner.inputs, "spec.template") or {}

    @cached_property
    def spec(self) -> Mapping[str, Any]:
        return self.template.get("spec") or {}

    @cached_property
    def containers(self) -> list[Mapping[str, Any]]:
        return [*(self.spec.get("initContainers") or []), *(self.spec.get("containers") or [])]

    def container(self, name: str) -> Mapping[str, Any]:
        """The container of that name, or an empty mapping."""
        return next((one for one in self.containers if one.get("name") == name), {})


class View:
    """A recording beside its plan."""

    def __init__(self, plan: Plan, recording: Recording) -> None:
        self.plan = plan
        self.recording = recording
        self.resources = recording.resources

    @cached_property
    def by_type(self) -> dict[str, list[RecordedResource]]:
        found: dict[str, list[RecordedResource]] = {}
        for resource in self.resources:
            found.setdefault(resource.type, []).append(resource)
        return found

    @cached_property
    def by_urn(self) -> dict[str, RecordedResource]:
        return {resource.urn: resource for resource in self.resources}

    def all(self, type_: str) -> list[RecordedResource]:
        """The resources of a type."""
        return self.by_type.get(type_, [])

    def named(self, type_: str, name: str) -> RecordedResource | None:
        """The resource of this type and logical name."""
        return next((one for one in self.all(type_) if one.name == name), None)

    @cached_property
    def kubernetes(self) -> list[RecordedResource]:
        return [one for one in self.resources if one.type.startswith("kubernetes:")]

    @cached_property
    def objects(self) -> list[RecordedResource]:
        """Those of Kubernetes itself: a chart's are made by Helm."""
        return [one for one in self.kubernetes if one.type != RELEASE]

    @property
    def scaled(self) -> list[PoolPlan]:
        """The pools on GKE whose replicas somebody else counts."""
        return [pool for pool in self.pools if pool.replicas.scales]

    @cached_property
    def google(self) -> list[RecordedResource]:
        return [one for one in self.resources if one.type.startswith("gcp:")]

    @property
    def cluster_plan(self) -> ClusterPlan | None:
        return self.plan.cluster

    @cached_property
    def pools(self) -> list[PoolPlan]:
        """Those on GKE."""
        return [pool for pool in self.plan.pools if pool.nodes is not None]

    @cached_property
    def own_cluster(self) -> RecordedResource | None:
        """The cluster, if it is not somebody else's."""
        found = self.named(CLUSTER, "fleet-cluster")
        return None if self.plan.cluster is None or self.plan.cluster.existing else found

    def server(self, pool: PoolPlan, type_: str, suffix: str) -> RecordedResource | None:
        """An object of the pool's server."""
        return self.named(type_, f"{pool.name}-server-{suffix}")

    def nodes(self, pool: PoolPlan) -> RecordedResource | None:
        """The node pool of a pool."""
        return self.named(NODE_POOL, f"{pool.name}-pool-nodes")

    @cached_property
    def node_pools(self) -> list[RecordedResource]:
        return self.all(NODE_POOL)

    @cached_property
    def pods(self) -> list[Pod]:
        pools = {pool.name: pool for pool in self.pools}
        return [
            Pod(owner, pools.get(owner.name.removesuffix("-server-deployment").removesuffix("-driver-daemon-set")))
            for owner in [*self.all(DEPLOYMENT), *self.all(DAEMON_SET)]
        ]

    @cached_property
    def servers(self) -> list[tuple[Pod, PoolPlan]]:
        return [(pod, pod.pool) for pod in self.pods if pod.pool is not None and not pod.is_driver]

    @cached_property
    def drivers(self) -> list[tuple[Pod, PoolPlan]]:
        return [(pod, pod.pool) for pod in self.pods if pod.pool is not None and pod.is_driver]

    @cached_property
    def routers(self) -> list[Pod]:
        return [pod for pod in self.pods if pod.owner.name == "fleet-router-deployment"]


def at(value: Any, path: str) -> Any:
    """What stands at a dotted path; None where there is nothing. A number is the place in a list."""
    for step in path.split("."):
        if isinstance(value, Mapping):
            value = value.get(step)
        elif isinstance(value, list) and step.isdecimal() and int(step) < len(value):
            value = value[int(step)]
        else:
            return None
    return value


def expect(resource: RecordedResource | None, wanted: Mapping[str, Any]) -> Complaints:
    """Complains of every path at which something else stands than is wanted."""
    if resource is None:
        yield f"there is no resource with {dict(wanted)}"
        return
    inputs = reveal(resource.inputs)
    for path, value in wanted.items():
        found = at(inputs, path)
        if found != value or type(found) is not type(value):
            yield f"{resource.name}: {path} is {found!r} and should be {value!r}"


def bytes_of(quantity: Any) -> int:
    """A Kubernetes quantity of memory in bytes; 0 for none."""
    text = str(quantity or 0)
    for unit, factor in (("Ki", 2**10), ("Mi", 2**20), ("Gi", 2**30), ("Ti", 2**40)):
        if text.endswith(unit):
            return int(text.removesuffix(unit)) * factor
    return int(text)


def millis(quantity: Any) -> int:
    """A Kubernetes quantity of CPU in thousandths; 0 for none."""
    text = str(quantity or 0)
    return int(text.removesuffix("m")) if text.endswith("m") else int(text) * 1000


def seconds(duration: Any) -> int:
    """A Pulumi duration such as 2h, 30m or 90s; 0 for none."""
    text = str(duration or "0s")
    return int(text[:-1]) * {"h": 3600, "m": 60, "s": 1}[text[-1]]
