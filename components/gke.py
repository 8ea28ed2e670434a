"""What the fleet has on GKE: cluster, namespaces, Router and KEDA; a NodePool, a Driver, a Server and a Scaler for each
pool."""

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
import pulumi_kubernetes as kubernetes
from pulumi_gcp import compute
from pulumi_kubernetes.apps.v1 import DaemonSet
from pulumi_kubernetes.core.v1 import ConfigMap, Namespace, ResourceQuota, Secret
from pulumi_kubernetes.meta.v1 import ObjectMetaArgs
from pulumi_kubernetes.scheduling.v1 import PriorityClass

from components import labels, namespaces
from components.api_keys import ApiKeys, ApiKeysArgs
from components.chat import Chat, ChatArgs
from components.cluster import Cluster, ClusterArgs
from components.driver import Driver, DriverArgs
from components.gpu_exporter import GpuExporter, GpuExporterArgs
from components.keda import Keda, KedaArgs
from components.load_test import LoadTest, LoadTestArgs
from components.monitoring import Monitoring, MonitoringArgs, annotations
from components.node_pool import NodePool, NodePoolArgs
from components.router import Router, RouterArgs
from components.scaler import Scaler, ScalerArgs
from components.server import Server, ServerArgs
from infra.plan.door import CHAT_KEY, LOAD_TEST_KEY
from infra.plan.model import ClusterPlan, FleetPlan, PoolPlan
from infra.plan.naming import ROUTER_METRICS, ROUTER_TOKENS
from prepare.definitions import scripts_hash

PRIORITY = 1_000_000
"""Over every pod without a priority, as the servers are, and far below the system's own 2,000,000,000."""


@dataclass(frozen=True, kw_only=True)
class Built:
    """What the fleet hands out of its cluster."""

    endpoint: pulumi.Output[str]
    kubeconfig: pulumi.Output[str]
    api_keys: pulumi.Output[Mapping[str, str]] | None
    """Secret; None where nobody needs one."""
    address: pulumi.Output[str] | None
    """Of a public door."""
    chat: pulumi.Output[Mapping[str, str]] | None
    """Address and first account of the chat. Secret; None without one."""


@dataclass(frozen=True, kw_only=True)
class _Base:
    """What everything in the cluster is made from and stands on."""

    fleet: pulumi.Resource
    name: str
    plan: FleetPlan
    planned: ClusterPlan
    cluster: Cluster
    namespace: Namespace
    prepare: ConfigMap
    inside: pulumi.ResourceOptions
    """Of an object in the cluster."""
    component: pulumi.ResourceOptions
    """Of a component whose objects are in the cluster."""


@dataclass(frozen=True, kw_only=True)
class _Door:
    """The router, and what the parts beside it need to know."""

    router: Router
    priority_class: pulumi.Output[str]
    keys: pulumi.Output[Mapping[str, str]] | None
    address: pulumi.Output[str] | None

    def key(self, name: str) -> pulumi.Output[str] | None:
        """None where nobody needs one."""
        return None if self.keys is None else self.keys.apply(lambda keys: keys[name])


def build(
    fleet: pulumi.Resource,
    name: str,
    plan: FleetPlan,
    planned: ClusterPlan,
    api_keys: Mapping[str, pulumi.Output[str]],
    site_tokens: Mapping[str, pulumi.Output[str]],
) -> Built:
    """The components of everything on GKE, as children of `fleet`; keys and tokens are those that the stack sets."""
    base = _base(fleet, name, plan, planned)
    # before the servers, which read its map
    door = _door(base, api_keys, site_tokens)
    keda = None
    if plan.keda is not None:
        args = KedaArgs(plan=plan.keda, priority_class=door.priority_class)
        keda = Keda(f"{name}-keda", args, opts=base.component)
    _pools(base, door.router, keda)
    return Built(
        endpoint=door.router.endpoint,
        kubeconfig=base.cluster.kubeconfig,
        api_keys=door.keys,
        address=door.address,
        chat=_clients(base, door),
    )


def _base(fleet: pulumi.Resource, name: str, plan: FleetPlan, planned: ClusterPlan) -> _Base:
    """The cluster with its namespace, and what all servers share there."""
    cluster = Cluster(name, ClusterArgs(plan=planned), opts=pulumi.ResourceOptions(parent=fleet))
    provider = kubernetes.Provider(
        f"{name}-kubernetes",
        kubeconfig=cluster.kubeconfig,
        # while the kubeconfig is unknown, the name says that it is the same cluster: without it a small edit of the
        # cluster previews as the replacement of everything in it
        cluster_identifier=f"{planned.project}/{planned.location}/{planned.name}",
        enable_server_side_apply=True,
        # names are fixed on purpose, so an edit must not replace the object
        enable_config_map_mutable=True,
        enable_secret_mutable=True,
        opts=pulumi.ResourceOptions(parent=fleet, depends_on=cluster.ready),
    )
    # what goes down with the cluster need not be deleted first, nor can it be once the cluster is gone
    gone_with = None if planned.existing else cluster.resource
    inside = pulumi.ResourceOptions(parent=fleet, provider=provider, deleted_with=gone_with)
    namespace = namespaces.create(f"{name}-namespace", planned.namespace, "restricted", inside)
    return _Base(
        fleet=fleet,
        name=name,
        plan=plan,
        planned=planned,
        cluster=cluster,
        namespace=namespace,
        prepare=namespaces.prepare(f"{name}-prepare", namespace, plan.certificates, inside),
        inside=inside,
        component=pulumi.ResourceOptions(parent=fleet, providers=[provider], deleted_with=gone_with),
    )


def _door(
    base: _Base, api_keys: Mapping[str, pulumi.Output[str]], site_tokens: Mapping[str, pulumi.Output[str]]
) -> _Door:
    """The router with its keys, its tokens and its rank among pods."""
    name, plan, namespace = base.name, base.plan, base.namespace.metadata.name
    keys = None
    if plan.router.keys:
        keys = ApiKeys(
            f"{name}-api-keys",
            ApiKeysArgs(names=plan.router.keys, given=api_keys, namespace=namespace),
            opts=base.component,
        ).keys
    priority = PriorityClass(
        f"{name}-priority",
        metadata=ObjectMetaArgs(name=plan.router.priority_class, labels=labels.MANAGED_BY),
        value=PRIORITY,
        global_default=False,
        description="What every pool of the fleet needs: its door, and what scales it",
        opts=base.inside,
    )
    if site_tokens:
        Secret(
            f"{name}-site-tokens",
            metadata=ObjectMetaArgs(
                name=ROUTER_TOKENS, namespace=namespace, labels={**labels.router(), **labels.MANAGED_BY}
            ),
            string_data=site_tokens,
            opts=base.inside,
        )
    address = _address(base, f"{name}-router-address")
    router = Router(
        f"{name}-router",
        RouterArgs(
            plan=plan.router,
            namespace=namespace,
            priority_class=priority.metadata.name,
            address=address,
            metrics_annotations=annotations(plan.monitoring, plan.router.metrics_port),
        ),
        opts=base.component,
    )
    return _Door(router=router, priority_class=priority.metadata.name, keys=keys, address=address)


def _pools(base: _Base, router: Router, keda: Keda | None) -> None:
    """Every pool on GKE, and what reads the GPUs of those that have it."""
    in_cluster = [pool for pool in base.plan.pools if pool.nodes is not None]
    with_driver = [pool for pool in in_cluster if pool.driver.checked_on_node]
    drivers = _driver_namespace(base) if with_driver else None
    installed: dict[str, DaemonSet] = {}
    for pool in in_cluster:
        node_pool = _node_pool(base, pool)
        if drivers is not None and pool in with_driver:
            installed[pool.name] = Driver(
                f"{pool.name}-driver",
                DriverArgs(pool=pool, namespace=drivers.namespace.metadata.name, after=[node_pool, drivers.quota]),
                opts=base.component,
            ).daemon_set
        _server(base, pool, node_pool, router, keda)
    if drivers is not None:
        _gpu_exporter(base, drivers.namespace, installed)


def _server(base: _Base, pool: PoolPlan, node_pool: NodePool, router: Router, keda: Keda | None) -> None:
    """The servers of a pool on its nodes, and what scales them."""
    namespace = base.namespace.metadata.name
    server = Server(
        f"{pool.name}-server",
        ServerArgs(
            pool=pool,
            namespace=namespace,
            prepare_config_map=base.prepare.metadata.name,
            prepare_hash=scripts_hash(),
            routes_config_map=router.routes,
            after=[node_pool],
        ),
        opts=base.component,
    )
    if pool.replicas.scales and pool.scaling.by != "fixed":
        Scaler(
            f"{pool.name}-scaler",
            ScalerArgs(
                pool=pool,
                namespace=namespace,
                deployment=server.deployment.metadata.apply(lambda its: str(its.name)),
                metrics_port=base.plan.router.metrics_port,
                after=[keda] if keda else [],
            ),
            opts=base.component,
        )


def _gpu_exporter(base: _Base, namespace: Namespace, drivers: Mapping[str, DaemonSet]) -> None:
    """Where the file asks for it; `drivers` are those of the pools by name."""
    monitoring = base.plan.monitoring
    if monitoring is None or monitoring.gpus is None or not monitoring.gpus.pools:
        return
    GpuExporter(
        f"{base.name}-gpu-exporter",
        GpuExporterArgs(
            plan=monitoring.gpus,
            kind=monitoring.kind,
            pools=[base.plan.pool(pool) for pool in monitoring.gpus.pools],
            namespace=namespace.metadata.name,
            after=[drivers[pool] for pool in monitoring.gpus.pools],
        ),
        opts=base.component,
    )


def _clients(base: _Base, door: _Door) -> pulumi.Output[Mapping[str, str]] | None:
    """What stands beside the router where the file asks for it; gives the account of the chat."""
    name, plan = base.name, base.plan
    here, url = base.namespace.metadata.name, door.router.endpoint
    if plan.monitoring is not None:
        Monitoring(f"{name}-monitoring", MonitoringArgs(plan=plan.monitoring, namespace=here), opts=base.component)
    if plan.load_test is not None:
        metrics = pulumi.Output.concat(f"http://{ROUTER_METRICS}.", here, f":{plan.router.metrics_port}/metrics")
        LoadTest(
            f"{name}-load-test",
            LoadTestArgs(plan=plan.load_test, namespace=here, url=url, metrics=metrics, key=door.key(LOAD_TEST_KEY)),
            opts=base.component,
        )
    if plan.chat is None:
        return None
    return Chat(
        f"{name}-chat",
        ChatArgs(
            plan=plan.chat,
            router=plan.router,
            namespace=here,
            url=url,
            key=door.key(CHAT_KEY),
            address=_address(base, f"{name}-chat-address"),
        ),
        opts=base.component,
    ).account


def _address(base: _Base, name: str) -> pulumi.Output[str] | None:
    """Of a public door: reserved, so that the name that clients use leads to it when the Service is made anew."""
    if base.plan.router.settings.expose != "public":
        return None
    return compute.Address(
        name,
        project=base.planned.project,
        region=base.planned.region,
        opts=pulumi.ResourceOptions(parent=base.fleet, depends_on=list(base.cluster.apis)),
    ).address


def _node_pool(base: _Base, pool: PoolPlan) -> NodePool:
    if pool.nodes is None:
        raise ValueError(f"pool {pool.name} has no nodes")
    return NodePool(
        f"{pool.name}-pool",
        NodePoolArgs(
            pool=pool,
            nodes=pool.nodes,
            cluster=base.planned,
            cluster_name=base.cluster.name,
            node_account_email=base.cluster.node_account_email,
            cluster_resource=base.cluster.resource,
            after=base.cluster.ready,
        ),
        opts=pulumi.ResourceOptions(parent=base.fleet),
    )


@dataclass(frozen=True, kw_only=True)
class _Drivers:
    """The drivers' own namespace: they are privileged, and nothing else shall be."""

    namespace: Namespace
    quota: ResourceQuota


def _driver_namespace(base: _Base) -> _Drivers:
    name, called = f"{base.name}-drivers", base.planned.driver_namespace
    namespace = namespaces.create(f"{name}-namespace", called, "privileged", base.inside)
    return _Drivers(namespace=namespace, quota=namespaces.node_critical(f"{name}-quota", namespace, base.inside))
