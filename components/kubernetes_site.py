"""A Kubernetes cluster that is not the fleet's own: servers, a door, and labels on the nodes that the file names."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pulumi
from pulumi_kubernetes.apps.v1 import DaemonSet
from pulumi_kubernetes.core.v1 import ConfigMap, Namespace, NodePatch
from pulumi_kubernetes.meta.v1 import ObjectMetaArgs, ObjectMetaPatchArgs

from components import labels, namespaces
from components.api_keys import ApiKeys, ApiKeysArgs
from components.device_plugin import DevicePlugin, DevicePluginArgs
from components.driver_container import DriverContainer, DriverContainerArgs
from components.router import Router, RouterArgs
from components.server import Server, ServerArgs
from infra.plan.model import FleetPlan, SiteCluster, SitePlan
from infra.plan.naming import ROUTES
from prepare.definitions import scripts_hash
from router import maps


@dataclass(frozen=True, kw_only=True)
class KubernetesSiteArgs:
    """The plan, the site with its cluster, and the tokens or keys that its door lets in."""

    plan: FleetPlan
    site: SitePlan
    cluster: SiteCluster
    keys: Mapping[str, pulumi.Output[str]] | None = field(default_factory=dict)
    """None: whoever applies the objects makes the Secret."""


class KubernetesSite(pulumi.ComponentResource):
    """`ollama-fleet:components:KubernetesSite`: namespaces, a NodePatch for each named node, a Server for each pool,
    the Router with its ApiKeys, the DevicePlugin where the cluster has none, and DriverContainers where asked for.

    Nothing else of a node is touched, neither now nor when the site goes: a NodePatch owns its labels alone.
    """

    keys: pulumi.Output[Mapping[str, str]] | None = None
    """Every key of the door by name. Secret."""

    def __init__(self, name: str, args: KubernetesSiteArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("ollama-fleet:components:KubernetesSite", name, {}, opts)
        plan, cluster = args.plan, args.cluster
        child = pulumi.ResourceOptions(parent=self)
        pools = [plan.pool(pool) for pool in args.site.pools]
        namespace = namespaces.create(f"{name}-namespace", cluster.namespace, "restricted", child)
        patches = [
            NodePatch(
                f"{name}-{node}",
                metadata=ObjectMetaPatchArgs(name=node, labels={labels.of_site(pool): "true" for pool in there}),
                opts=child,
            )
            for node, there in cluster.nodes.items()
        ]
        prepare = namespaces.prepare(f"{name}-prepare", namespace, plan.certificates, child)
        drivers = self._drivers(name, cluster, [pool.name for pool in pools if pool.gpus_per_replica])
        routes = self._door(name, args, namespace)
        for pool in pools:
            Server(
                f"{pool.name}-server",
                ServerArgs(
                    pool=pool,
                    namespace=namespace.metadata.name,
                    prepare_config_map=prepare.metadata.name,
                    prepare_hash=scripts_hash(),
                    routes_config_map=routes,
                    after=[*patches, *drivers],
                ),
                opts=child,
            )
        self.register_outputs({"keys": self.keys})

    def _drivers(self, name: str, cluster: SiteCluster, pools: Sequence[str]) -> list[DaemonSet]:
        """What brings the driver and tells the cluster of its GPUs, each where asked for; gives the first."""
        if not cluster.device_plugin and not cluster.drivers:
            return []
        child = pulumi.ResourceOptions(parent=self)
        privileged = namespaces.create(f"{name}-drivers-namespace", cluster.driver_namespace, "privileged", child)
        if cluster.device_plugin:
            DevicePlugin(
                f"{name}-device-plugin",
                DevicePluginArgs(
                    pools=pools,
                    image=cluster.device_plugin,
                    asked=cluster.device_plugin_asks,
                    namespace=privileged.metadata.name,
                    runtime_class=cluster.runtime_class,
                ),
                opts=child,
            )
        if not cluster.drivers:
            return []
        quota = namespaces.node_critical(f"{name}-drivers-quota", privileged, child)
        return [
            DriverContainer(
                f"{name}-{driver.name}",
                DriverContainerArgs(driver=driver, namespace=privileged.metadata.name, after=[quota]),
                opts=child,
            ).daemon_set
            for driver in cluster.drivers
        ]

    def _door(self, name: str, args: KubernetesSiteArgs, namespace: Namespace) -> pulumi.Input[str]:
        """The router; gives the name of the ConfigMap with its map, which the servers follow too."""
        door = args.cluster.door
        child = pulumi.ResourceOptions(parent=self)
        if door is None:
            # nobody comes through a door: the servers' own list is all that they follow
            empty = ConfigMap(
                f"{name}-routes",
                metadata=ObjectMetaArgs(name=ROUTES, namespace=namespace.metadata.name, labels=labels.MANAGED_BY),
                data={maps.ROUTES: args.plan.router.routes},
                opts=child,
            )
            return empty.metadata.apply(lambda its: str(its.name))
        if door.keys and args.keys is not None:
            self.keys = ApiKeys(
                f"{name}-api-keys",
                ApiKeysArgs(names=door.keys, given=args.keys, namespace=namespace.metadata.name),
                opts=child,
            ).keys
        return Router(f"{name}-router", RouterArgs(plan=door, namespace=namespace.metadata.name), opts=child).routes
