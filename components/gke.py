"""What the fleet has on GKE: cluster, namespaces, a NodePool, a Driver and a Server for each pool, and the Router."""

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
import pulumi_kubernetes as kubernetes
from pulumi_gcp import compute
from pulumi_kubernetes.core.v1 import (
    ConfigMap,
    Namespace,
    ResourceQuota,
    ResourceQuotaSpecArgs,
    ScopedResourceSelectorRequirementArgs,
    ScopeSelectorArgs,
    Secret,
)
from pulumi_kubernetes.meta.v1 import ObjectMetaArgs

from components import labels
from components.api_keys import ApiKeys, ApiKeysArgs
from components.cluster import Cluster, ClusterArgs
from components.driver import Driver, DriverArgs
from components.node_pool import NodePool, NodePoolArgs
from components.router import Router, RouterArgs
from components.server import Server, ServerArgs
from infra.plan.model import ClusterPlan, FleetPlan, PoolPlan
from infra.plan.naming import PREPARE, ROUTER_TOKENS
from prepare.definitions import scripts, scripts_hash

MOST_DRIVER_PODS = "1000"


@dataclass(frozen=True, kw_only=True)
class Built:
    """What the fleet hands out of its cluster."""

    endpoint: pulumi.Output[str]
    kubeconfig: pulumi.Output[str]
    api_keys: pulumi.Output[Mapping[str, str]] | None
    """Secret; None where nobody needs one."""
    address: pulumi.Output[str] | None
    """Of a public door."""


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
    namespace = _namespace(name, planned.namespace, "restricted", inside)
    prepare = _prepare(name, namespace, plan.certificates, inside)
    keys = None
    if plan.router.keys:
        keys = ApiKeys(
            f"{name}-api-keys",
            ApiKeysArgs(names=plan.router.keys, given=api_keys, namespace=namespace.metadata.name),
            opts=component,
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
    address = None
    if plan.router.settings.expose == "public":
        # reserved, so that the name that clients use leads to the same address when the Service is made anew
        address = compute.Address(
            f"{name}-router-address",
            project=planned.project,
            region=planned.region,
            opts=pulumi.ResourceOptions(parent=fleet),
        ).address
    # before the servers, which read its map
    router = Router(
        f"{name}-router",
        RouterArgs(plan=plan.router, namespace=namespace.metadata.name, address=address),
        opts=component,
    )
    in_cluster = [pool for pool in plan.pools if pool.nodes is not None]
    with_driver = [pool for pool in in_cluster if pool.driver.mode in ("installer", "gke")]
    drivers = _driver_namespace(name, planned, inside) if with_driver else None
    for pool in in_cluster:
        node_pool = _node_pool(fleet, pool, planned, cluster)
        if drivers is not None and pool in with_driver:
            Driver(
                f"{pool.name}-driver",
                DriverArgs(pool=pool, namespace=drivers.namespace.metadata.name, after=[node_pool, drivers.quota]),
                opts=component,
            )
        Server(
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
    return Built(
        endpoint=router.endpoint,
        kubeconfig=cluster.kubeconfig,
        api_keys=None if keys is None else keys.keys,
        address=address,
    )


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
    namespace = _namespace(f"{name}-drivers", planned.driver_namespace, "privileged", inside)
    # GKE refuses pods of this priority class outside kube-system unless a quota speaks of it:
    # "insufficient quota to match these scopes" (gatekeeper#1120)
    quota = ResourceQuota(
        f"{name}-drivers-quota",
        metadata=ObjectMetaArgs(name="node-critical-pods", namespace=namespace.metadata.name, labels=labels.MANAGED_BY),
        spec=ResourceQuotaSpecArgs(
            hard={"pods": MOST_DRIVER_PODS},
            scope_selector=ScopeSelectorArgs(
                match_expressions=[
                    ScopedResourceSelectorRequirementArgs(
                        scope_name="PriorityClass", operator="In", values=["system-node-critical"]
                    )
                ]
            ),
        ),
        opts=inside,
    )
    return _Drivers(namespace=namespace, quota=quota)


def _namespace(name: str, namespace: str, level: str, opts: pulumi.ResourceOptions) -> Namespace:
    return Namespace(
        f"{name}-namespace",
        metadata=ObjectMetaArgs(
            name=namespace,
            labels={
                **labels.MANAGED_BY,
                "pod-security.kubernetes.io/enforce": level,
                "pod-security.kubernetes.io/warn": level,
            },
        ),
        opts=opts,
    )


def _prepare(name: str, namespace: Namespace, certificates: str, opts: pulumi.ResourceOptions) -> ConfigMap:
    """The shell that brings models into place, once for all pools, and the CA of the proxy that it meets."""
    return ConfigMap(
        f"{name}-prepare",
        metadata=ObjectMetaArgs(name=PREPARE, namespace=namespace.metadata.name, labels=labels.MANAGED_BY),
        data={**scripts(), **({"proxy-ca.pem": certificates} if certificates else {})},
        opts=opts,
    )
