"""The GKE cluster with its network and system nodes, or an existing one by name."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
from pulumi_gcp import compute, container, projects, serviceaccount

from infra.plan.model import ClusterPlan

CLUSTER_TIMEOUT = "90m"
NODE_POOL_TIMEOUT = "2h"
CLOUD_PLATFORM = "https://www.googleapis.com/auth/cloud-platform"
"""The one scope that leaves every decision to the account's roles; the driver installer reads its files with it."""


@dataclass(frozen=True, kw_only=True)
class ClusterArgs:
    """What the component makes."""

    plan: ClusterPlan


class Cluster(pulumi.ComponentResource):
    """`ollama-fleet:components:Cluster`: APIs, network, nodes' service account, cluster and system node pool.

    Of an existing cluster nothing is made but the service account of the pools that are added to it.
    """

    resource: container.Cluster
    """The cluster itself, for `deleted_with`."""
    name: pulumi.Output[str]
    kubeconfig: pulumi.Output[str]
    """Secret. Needs `gke-gcloud-auth-plugin` on PATH and carries no credential."""
    node_account_email: pulumi.Output[str]
    apis: Sequence[pulumi.Resource]
    """What anything of Google's waits for; none of an existing cluster."""
    ready: Sequence[pulumi.Resource]
    """What node pools with GPUs wait for: Google taints those by itself only beside a pool without."""

    def __init__(self, name: str, args: ClusterArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("ollama-fleet:components:Cluster", name, {}, opts)
        plan = args.plan
        apis = [] if plan.existing else self._apis(name, plan)
        self.apis = apis
        account, roles = self._node_account(name, plan, apis)
        self.node_account_email = account.email
        if plan.existing:
            self.resource = container.Cluster.get(
                f"{name}-cluster",
                f"projects/{plan.project}/locations/{plan.location}/clusters/{plan.name}",
                opts=pulumi.ResourceOptions(parent=self),
            )
            self.ready = roles
        else:
            self.resource = self._cluster(name, plan, apis, self._network(name, plan, apis))
            self.ready = [self._system_pool(name, plan, roles)]
        self.name = self.resource.name
        host = self.resource.control_plane_endpoints_config.apply(_dns_endpoint)
        self.kubeconfig = pulumi.Output.secret(host.apply(lambda endpoint: kubeconfig(plan.name, endpoint)))
        self.register_outputs({"name": self.name, "kubeconfig": self.kubeconfig})

    def _apis(self, name: str, plan: ClusterPlan) -> list[pulumi.Resource]:
        return [
            projects.Service(
                f"{name}-api-{api.removesuffix('.googleapis.com')}",
                project=plan.project,
                service=api,
                # others in the project may use them too
                disable_on_destroy=False,
                opts=pulumi.ResourceOptions(parent=self),
            )
            for api in plan.apis
        ]

    def _node_account(
        self, name: str, plan: ClusterPlan, apis: list[pulumi.Resource]
    ) -> tuple[serviceaccount.Account, list[pulumi.Resource]]:
        """Google's default account may edit the whole project; this one may do what a node needs."""
        account = serviceaccount.Account(
            f"{name}-nodes",
            account_id=plan.node_account,
            project=plan.project,
            display_name=f"Nodes of {plan.name} (ollama-fleet)",
            opts=pulumi.ResourceOptions(parent=self, depends_on=apis),
        )
        return account, [
            projects.IAMMember(
                f"{name}-nodes-{role.rpartition('/')[2]}",
                project=plan.project,
                role=role,
                member=account.member,
                opts=pulumi.ResourceOptions(parent=self),
            )
            for role in plan.node_roles
        ]

    def _network(
        self, name: str, plan: ClusterPlan, apis: list[pulumi.Resource]
    ) -> tuple[pulumi.Input[str], pulumi.Input[str], list[pulumi.Resource]]:
        """Network and subnetwork of the cluster, and what it has to wait for beside them."""
        planned = plan.network
        if not planned.create:
            prefix = f"projects/{planned.host_project}"
            return (
                f"{prefix}/global/networks/{planned.vpc}",
                f"{prefix}/regions/{plan.region}/subnetworks/{planned.subnet}",
                [],
            )
        child = pulumi.ResourceOptions(parent=self, depends_on=apis)
        network = compute.Network(
            f"{name}-network", name=planned.vpc, project=plan.project, auto_create_subnetworks=False, opts=child
        )
        subnetwork = compute.Subnetwork(
            f"{name}-subnetwork",
            name=planned.subnet,
            project=plan.project,
            region=plan.region,
            network=network.id,
            ip_cidr_range=planned.nodes_range,
            secondary_ip_ranges=[
                compute.SubnetworkSecondaryIpRangeArgs(range_name=planned.pods, ip_cidr_range=planned.pods_range),
                compute.SubnetworkSecondaryIpRangeArgs(
                    range_name=planned.services, ip_cidr_range=planned.services_range
                ),
            ],
            private_ip_google_access=True,
            opts=child,
        )
        router = compute.Router(
            f"{name}-nat-router",
            name=planned.vpc,
            project=plan.project,
            region=plan.region,
            network=network.id,
            opts=child,
        )
        # the nodes have no public address, and models come from a public registry
        nat = compute.RouterNat(
            f"{name}-nat",
            name=planned.vpc,
            project=plan.project,
            region=plan.region,
            router=router.name,
            nat_ip_allocate_option="AUTO_ONLY",
            source_subnetwork_ip_ranges_to_nat="ALL_SUBNETWORKS_ALL_IP_RANGES",
            opts=child,
        )
        return network.id, subnetwork.id, [nat]

    def _cluster(
        self,
        name: str,
        plan: ClusterPlan,
        apis: list[pulumi.Resource],
        network: tuple[pulumi.Input[str], pulumi.Input[str], list[pulumi.Resource]],
    ) -> container.Cluster:
        network_id, subnetwork_id, waits = network
        return container.Cluster(
            f"{name}-cluster",
            name=plan.name,
            project=plan.project,
            location=plan.location,
            network=network_id,
            subnetwork=subnetwork_id,
            # node pools of their own: with them inline every `up` would replace the cluster
            remove_default_node_pool=True,
            initial_node_count=1,
            networking_mode="VPC_NATIVE",
            ip_allocation_policy=container.ClusterIpAllocationPolicyArgs(
                cluster_secondary_range_name=plan.network.pods, services_secondary_range_name=plan.network.services
            ),
            private_cluster_config=container.ClusterPrivateClusterConfigArgs(enable_private_nodes=True),
            # the DNS name is reached from anywhere with IAM, and the addresses of the control plane by nobody
            control_plane_endpoints_config=container.ClusterControlPlaneEndpointsConfigArgs(
                dns_endpoint_config=container.ClusterControlPlaneEndpointsConfigDnsEndpointConfigArgs(
                    allow_external_traffic=True
                ),
                ip_endpoints_config=container.ClusterControlPlaneEndpointsConfigIpEndpointsConfigArgs(enabled=False),
            ),
            datapath_provider="ADVANCED_DATAPATH",
            enable_shielded_nodes=True,
            workload_identity_config=container.ClusterWorkloadIdentityConfigArgs(
                workload_pool=f"{plan.project}.svc.id.goog"
            ),
            release_channel=container.ClusterReleaseChannelArgs(channel=plan.release_channel),
            maintenance_policy=_maintenance(plan),
            resource_labels=dict(plan.labels),
            deletion_protection=plan.deletion_protection,
            opts=pulumi.ResourceOptions(
                parent=self,
                depends_on=[*apis, *waits],
                # Google refuses too late: by then Pulumi has forgotten all that would have gone with the cluster
                protect=plan.deletion_protection,
                custom_timeouts=pulumi.CustomTimeouts(
                    create=CLUSTER_TIMEOUT, update=CLUSTER_TIMEOUT, delete=CLUSTER_TIMEOUT
                ),
            ),
        )

    def _system_pool(self, name: str, plan: ClusterPlan, roles: list[pulumi.Resource]) -> container.NodePool:
        return container.NodePool(
            f"{name}-system",
            name="system",
            project=plan.project,
            location=plan.location,
            cluster=self.resource.name,
            node_locations=list(plan.system_zones),
            initial_node_count=plan.system_minimum,
            autoscaling=container.NodePoolAutoscalingArgs(
                total_min_node_count=plan.system_minimum, total_max_node_count=plan.system_maximum
            ),
            management=container.NodePoolManagementArgs(auto_repair=True, auto_upgrade=True),
            node_config=container.NodePoolNodeConfigArgs(
                machine_type=plan.system_machine,
                disk_size_gb=plan.system_disk_gb,
                disk_type=plan.disk_type,
                image_type="COS_CONTAINERD",
                service_account=self.node_account_email,
                oauth_scopes=[CLOUD_PLATFORM],
                resource_labels=dict(plan.labels),
                metadata={"disable-legacy-endpoints": "true"},
                workload_metadata_config=container.NodePoolNodeConfigWorkloadMetadataConfigArgs(mode="GKE_METADATA"),
                shielded_instance_config=container.NodePoolNodeConfigShieldedInstanceConfigArgs(
                    enable_secure_boot=True, enable_integrity_monitoring=True
                ),
            ),
            opts=pulumi.ResourceOptions(
                parent=self,
                depends_on=roles,
                deleted_with=self.resource,
                # it counts at creation only, and a change of it would replace the pool
                ignore_changes=["initialNodeCount"],
                custom_timeouts=pulumi.CustomTimeouts(
                    create=NODE_POOL_TIMEOUT, update=NODE_POOL_TIMEOUT, delete=NODE_POOL_TIMEOUT
                ),
            ),
        )


def _maintenance(plan: ClusterPlan) -> container.ClusterMaintenancePolicyArgs | None:
    """Holds node upgrades back while a pool pins an exact driver: a newer node image may not have it.

    See cos-gpu-installer#77.
    """
    if plan.pinned_drivers_since is None:
        return None
    return container.ClusterMaintenancePolicyArgs(
        daily_maintenance_window=container.ClusterMaintenancePolicyDailyMaintenanceWindowArgs(start_time="03:00"),
        maintenance_exclusions=[
            container.ClusterMaintenancePolicyMaintenanceExclusionArgs(
                exclusion_name="pinned-gpu-driver",
                start_time=f"{plan.pinned_drivers_since.isoformat()}T00:00:00Z",
                exclusion_options=container.ClusterMaintenancePolicyMaintenanceExclusionExclusionOptionsArgs(
                    scope="NO_MINOR_OR_NODE_UPGRADES", end_time_behavior="UNTIL_END_OF_SUPPORT"
                ),
            )
        ],
    )


def _dns_endpoint(endpoints: container.outputs.ClusterControlPlaneEndpointsConfig | None) -> str:
    dns = endpoints.dns_endpoint_config if endpoints else None
    if dns is None or not dns.endpoint:
        raise pulumi.RunError(
            "the cluster has no DNS endpoint: enable it with "
            "`gcloud container clusters update NAME --enable-dns-access`, then run this again"
        )
    return dns.endpoint


def kubeconfig(name: str, endpoint: str) -> str:
    """A kubeconfig for the DNS endpoint, whose certificate is a public one, so that no CA is named."""
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": name,
            "clusters": [{"name": name, "cluster": {"server": f"https://{endpoint}"}}],
            "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
            "users": [
                {
                    "name": name,
                    "user": {
                        "exec": {
                            "apiVersion": "client.authentication.k8s.io/v1beta1",
                            "command": "gke-gcloud-auth-plugin",
                            "installHint": "gcloud components install gke-gcloud-auth-plugin",
                            "provideClusterInfo": True,
                            "interactiveMode": "Never",
                        }
                    },
                }
            ],
        },
        sort_keys=True,
    )
