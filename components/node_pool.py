"""A tainted node pool for one kind of GPU."""

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
from pulumi_gcp import container

from components import labels
from components.cluster import CLOUD_PLATFORM, NODE_POOL_TIMEOUT
from infra.plan.model import ClusterPlan, Nodes, PoolPlan


@dataclass(frozen=True, kw_only=True)
class NodePoolArgs:
    """What the component makes, and the cluster that it joins."""

    pool: PoolPlan
    nodes: Nodes
    cluster: ClusterPlan
    cluster_name: pulumi.Input[str]
    node_account_email: pulumi.Input[str]
    cluster_resource: pulumi.Resource
    after: Sequence[pulumi.Resource]


class NodePool(pulumi.ComponentResource):
    """`ollama-fleet:components:NodePool`: one `gcp:container:NodePool`, scaled between the plan's bounds."""

    resource: container.NodePool

    def __init__(self, name: str, args: NodePoolArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("ollama-fleet:components:NodePool", name, {}, opts)
        pool, nodes, cluster = args.pool, args.nodes, args.cluster
        self.resource = container.NodePool(
            f"{name}-nodes",
            name=pool.names.node_pool,
            project=cluster.project,
            location=cluster.location,
            cluster=args.cluster_name,
            node_locations=list(nodes.zones),
            # per zone, at creation only: a change of it would replace the pool
            initial_node_count=-(-nodes.minimum // len(nodes.zones)),
            autoscaling=container.NodePoolAutoscalingArgs(
                total_min_node_count=nodes.minimum,
                total_max_node_count=nodes.maximum,
                # GPUs are where there are some: BALANCED would wait for the zone that has none
                location_policy="ANY",
            ),
            management=container.NodePoolManagementArgs(auto_repair=True, auto_upgrade=True),
            # an upgrade replaces one node after the other, since there is no quota for a spare GPU
            upgrade_settings=container.NodePoolUpgradeSettingsArgs(strategy="SURGE", max_surge=0, max_unavailable=1),
            node_config=container.NodePoolNodeConfigArgs(
                machine_type=nodes.machine_type,
                guest_accelerators=_accelerators(pool, nodes),
                spot=nodes.spot,
                disk_size_gb=nodes.disk_gb,
                disk_type=nodes.disk_type,
                image_type="UBUNTU_CONTAINERD" if pool.driver.operating_system == "ubuntu" else "COS_CONTAINERD",
                # image streaming exists on Container-Optimized OS only
                gcfs_config=container.NodePoolNodeConfigGcfsConfigArgs(enabled=pool.driver.operating_system == "cos"),
                labels={labels.POOL: pool.name},
                resource_labels={**cluster.labels, "ollama-fleet-pool": pool.name},
                taints=_taints(pool),
                service_account=args.node_account_email,
                oauth_scopes=[CLOUD_PLATFORM],
                metadata={"disable-legacy-endpoints": "true"},
                workload_metadata_config=container.NodePoolNodeConfigWorkloadMetadataConfigArgs(mode="GKE_METADATA"),
                # secure boot loads signed kernel modules only, and a driver that is built on the node is not signed
                shielded_instance_config=container.NodePoolNodeConfigShieldedInstanceConfigArgs(
                    enable_secure_boot=False, enable_integrity_monitoring=True
                ),
            ),
            opts=pulumi.ResourceOptions(
                parent=self,
                depends_on=list(args.after),
                deleted_with=None if cluster.existing else args.cluster_resource,
                ignore_changes=["initialNodeCount"],
                custom_timeouts=pulumi.CustomTimeouts(
                    create=NODE_POOL_TIMEOUT, update=NODE_POOL_TIMEOUT, delete=NODE_POOL_TIMEOUT
                ),
            ),
        )
        self.register_outputs({"name": self.resource.name})


def _accelerators(pool: PoolPlan, nodes: Nodes) -> list[container.NodePoolNodeConfigGuestAcceleratorArgs] | None:
    if nodes.accelerator is None:
        return None
    return [
        container.NodePoolNodeConfigGuestAcceleratorArgs(
            type=nodes.accelerator,
            count=nodes.gpus_per_node,
            # always set: left out, GKE installs its own default, and a later change would replace the pool
            gpu_driver_installation_config=container.NodePoolNodeConfigGuestAcceleratorGpuDriverInstallationConfigArgs(
                gpu_driver_version="LATEST" if pool.driver.mode == "gke" else "INSTALLATION_DISABLED"
            ),
        )
    ]


def _taints(pool: PoolPlan) -> list[container.NodePoolNodeConfigTaintArgs]:
    own = container.NodePoolNodeConfigTaintArgs(key=labels.POOL, value=pool.name, effect="NO_SCHEDULE")
    # declared although GKE may add it by itself: it does so only beside a pool without GPUs, and never later
    any_gpu = container.NodePoolNodeConfigTaintArgs(
        key=labels.GPU_TAINT, value=labels.GPU_TAINT_VALUE, effect="NO_SCHEDULE"
    )
    return [own, any_gpu] if pool.gpus_per_replica else [own]
