"""What the fleet has on GKE: cluster, namespaces, Router and KEDA; a NodePool, a Driver, a Server and a Scaler for each
pool."""

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
import pulumi_kubernetes as kubernetes
from pulumi_gcp import compute
from pulumi_kubernetes.core.v1 import (
    Namespace,
    ResourceQuota,
    Secret,
)
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
from infra.plan import door
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


def build(
    fleet: pulumi.Resource,
    name: str,
    plan: FleetPlan,
    planned: ClusterPlan,
    api_keys: Mapping[str, pulumi.Output[str]],
    site_tokens: Mapping[str, pulumi.Output[str]],
) -> Built:
    """The components of everything on GKE, as children of `fleet`; keys and tokens are those that the stack sets."""
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
    component = pulumi.ResourceOptions(parent=fleet, providers=[provider], deleted_with=gone_with)
    namespace = namespaces.create(f"{name}-namespace", planned.namespace, "restricted", inside)
    prepare = namespaces.prepare(f"{name}-prepare", namespace, plan.certificates, inside)
    keys = None
    if plan.router.keys:
        keys = ApiKeys(
            f"{name}-api-keys",
            ApiKeysArgs(names=plan.router.keys, given=api_keys, namespace=namespace.metadata.name),
            opts=component,
        )
    priority = PriorityClass(
        f"{name}-priority",
        metadata=ObjectMetaArgs(name=plan.router.priority_class, labels=labels.MANAGED_BY),
        value=PRIORITY,
        global_default=False,
        description="What every pool of the fleet needs: its door, and what scales it",
        opts=inside,
    )
    if site_tokens:
        Secret(
            f"{name}-site-tokens",
            metadata=ObjectMetaArgs(
                name=ROUTER_TOKENS,
                namespace=namespace.metadata.name,
                labels={**labels.router(), **labels.MANAGED_BY},
            ),
            string_data=site_tokens,
            opts=inside,
        )
    address = _address(fleet, f"{name}-router-address", plan, planned, cluster)
    # before the servers, which read its map
    router = Router(
        f"{name}-router",
        RouterArgs(
            plan=plan.router,
            namespace=namespace.metadata.name,
            priority_class=priority.metadata.name,
            address=address,
            metrics_annotations=annotations(plan.monitoring, plan.router.metrics_port),
        ),
        opts=component,
    )
    keda = None
    if plan.keda is not None:
        keda = Keda(f"{name}-keda", KedaArgs(plan=plan.keda, priority_class=priority.metadata.name), opts=component)
    in_cluster = [pool for pool in plan.pools if pool.nodes is not None]
    with_driver = [pool for pool in in_cluster if pool.driver.checked_on_node]
    drivers = _driver_namespace(name, planned, inside) if with_driver else None
    installed: dict[str, Driver] = {}
    for pool in in_cluster:
        node_pool = _node_pool(fleet, pool, planned, cluster)
        if drivers is not None and pool in with_driver:
            installed[pool.name] = Driver(
                f"{pool.name}-driver",
                DriverArgs(pool=pool, namespace=drivers.namespace.metadata.name, after=[node_pool, drivers.quota]),
                opts=component,
            )
        server = Server(
            f"{pool.name}-server",
            ServerArgs(
                pool=pool,
                namespace=namespace.metadata.name,
                prepare_config_map=prepare.metadata.name,
                prepare_hash=scripts_hash(),
                routes_config_map=router.routes,
                after=[node_pool],
            ),
            opts=component,
        )
        if pool.replicas.scales and pool.scaling.by != "fixed":
            Scaler(
                f"{pool.name}-scaler",
                ScalerArgs(
                    pool=pool,
                    namespace=namespace.metadata.name,
                    deployment=server.deployment.metadata.apply(lambda its: str(its.name)),
                    metrics_port=plan.router.metrics_port,
                    after=[keda] if keda else [],
                ),
                opts=component,
            )
    gpus = plan.monitoring.gpus if plan.monitoring else None
    if plan.monitoring is not None and gpus is not None and gpus.pools and drivers is not None:
        GpuExporter(
            f"{name}-gpu-exporter",
            GpuExporterArgs(
                plan=gpus,
                kind=plan.monitoring.kind,
                pools=[plan.pool(pool) for pool in gpus.pools],
                namespace=drivers.namespace.metadata.name,
                after=[installed[pool].daemon_set for pool in gpus.pools],
            ),
            opts=component,
        )
    beside = _Beside(namespace=namespace, cluster=cluster, router=router, keys=None if keys is None else keys.keys)
    chat = _clients(fleet, name, plan, planned, beside, component)
    return Built(
        endpoint=router.endpoint,
        kubeconfig=cluster.kubeconfig,
        api_keys=None if keys is None else keys.keys,
        address=address,
        chat=chat,
    )


@dataclass(frozen=True, kw_only=True)
class _Beside:
    """What the fleet's own clients need to know."""

    namespace: Namespace
    cluster: Cluster
    router: Router
    keys: pulumi.Output[Mapping[str, str]] | None


def _clients(
    fleet: pulumi.Resource,
    name: str,
    plan: FleetPlan,
    planned: ClusterPlan,
    beside: _Beside,
    component: pulumi.ResourceOptions,
) -> pulumi.Output[Mapping[str, str]] | None:
    """What stands beside the router where the file asks for it; gives the account of the chat."""

    def key(of: str) -> pulumi.Output[str] | None:
        return None if beside.keys is None else beside.keys.apply(lambda keys: keys[of])

    here, url = beside.namespace.metadata.name, beside.router.endpoint
    if plan.monitoring is not None:
        Monitoring(f"{name}-monitoring", MonitoringArgs(plan=plan.monitoring, namespace=here), opts=component)
    if plan.load_test is not None:
        metrics = pulumi.Output.concat(f"http://{ROUTER_METRICS}.", here, f":{plan.router.metrics_port}/metrics")
        LoadTest(
            f"{name}-load-test",
            LoadTestArgs(
                plan=plan.load_test,
                namespace=here,
                url=url,
                metrics=metrics,
                key=key(door.LOAD_TEST_KEY),
            ),
            opts=component,
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
            key=key(door.CHAT_KEY),
            address=_address(fleet, f"{name}-chat-address", plan, planned, beside.cluster),
        ),
        opts=component,
    ).account


def _address(
    fleet: pulumi.Resource, name: str, plan: FleetPlan, planned: ClusterPlan, cluster: Cluster
) -> pulumi.Output[str] | None:
    """Of a public door: reserved, so that the name that clients use leads to it when the Service is made anew."""
    if plan.router.settings.expose != "public":
        return None
    return compute.Address(
        name,
        project=planned.project,
        region=planned.region,
        opts=pulumi.ResourceOptions(parent=fleet, depends_on=list(cluster.apis)),
    ).address


def _node_pool(fleet: pulumi.Resource, pool: PoolPlan, planned: ClusterPlan, cluster: Cluster) -> NodePool:
    if pool.nodes is None:
        raise ValueError(f"pool {pool.name} has no nodes")
    return NodePool(
        f"{pool.name}-pool",
        NodePoolArgs(
            pool=pool,
            nodes=pool.nodes,
            cluster=planned,
            cluster_name=cluster.name,
            node_account_email=cluster.node_account_email,
            cluster_resource=cluster.resource,
            after=cluster.ready,
        ),
        opts=pulumi.ResourceOptions(parent=fleet),
    )


@dataclass(frozen=True, kw_only=True)
class _Drivers:
    """The drivers' own namespace: they are privileged, and nothing else shall be."""

    namespace: Namespace
    quota: ResourceQuota


def _driver_namespace(name: str, planned: ClusterPlan, inside: pulumi.ResourceOptions) -> _Drivers:
    namespace = namespaces.create(f"{name}-drivers-namespace", planned.driver_namespace, "privileged", inside)
    return _Drivers(namespace=namespace, quota=namespaces.node_critical(f"{name}-drivers-quota", namespace, inside))
