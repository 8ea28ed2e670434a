"""Rules about the resources of Google Cloud."""

from ipaddress import ip_network
from itertools import combinations

from infra.plan.model import PoolPlan
from tests.program.rules.view import (
    ACCOUNT,
    CLUSTER,
    GPU,
    MEMBER,
    NODE_POOL,
    POOL_KEY,
    SERVICE_OF_GOOGLE,
    Complaints,
    View,
    at,
    expect,
    rule,
)

SUBNETWORK = "gcp:compute/subnetwork:Subnetwork"
NETWORK = "gcp:compute/network:Network"
NAT_ROUTER = "gcp:compute/router:Router"
NAT = "gcp:compute/routerNat:RouterNat"


@rule
def every_google_resource_names_its_project(view: View) -> Complaints:
    if (plan := view.cluster_plan) is None:
        yield from (one.name for one in view.google)
        return
    for resource in view.google:
        if resource.read_id is None:
            yield from expect(resource, {"project": plan.project})


@rule
def the_cluster_stands_where_the_plan_says_in_its_network(view: View) -> Complaints:
    plan = view.cluster_plan
    if plan is None or plan.existing:
        return
    network = plan.network
    prefix = f"projects/{network.host_project}"
    yield from expect(
        view.own_cluster,
        {
            "name": plan.name,
            "location": plan.location,
            "network": f"{prefix}/global/networks/{network.vpc}",
            "subnetwork": f"{prefix}/regions/{plan.region}/subnetworks/{network.subnet}",
            "networkingMode": "VPC_NATIVE",
            "ipAllocationPolicy": {
                "clusterSecondaryRangeName": network.pods,
                "servicesSecondaryRangeName": network.services,
            },
            "datapathProvider": "ADVANCED_DATAPATH",
            "resourceLabels": dict(plan.labels),
        },
    )


@rule
def the_cluster_has_no_node_pool_inline_which_would_replace_it_at_every_up(view: View) -> Complaints:
    if view.own_cluster is None:
        return
    yield from expect(view.own_cluster, {"removeDefaultNodePool": True, "initialNodeCount": 1})
    yield from (key for key in ("nodeConfig", "nodePools", "nodeLocations") if key in view.own_cluster.inputs)


@rule
def nodes_are_private_and_the_control_plane_is_reached_by_its_dns_name_alone(view: View) -> Complaints:
    if view.own_cluster is not None:
        yield from expect(
            view.own_cluster,
            {
                "privateClusterConfig": {"enablePrivateNodes": True},
                "controlPlaneEndpointsConfig": {
                    "dnsEndpointConfig": {"allowExternalTraffic": True},
                    "ipEndpointsConfig": {"enabled": False},
                },
            },
        )


@rule
def the_cluster_is_shielded_has_workload_identity_and_is_not_deleted_by_accident(view: View) -> Complaints:
    if view.own_cluster is not None and (plan := view.cluster_plan):
        yield from expect(
            view.own_cluster,
            {
                "enableShieldedNodes": True,
                "workloadIdentityConfig": {"workloadPool": f"{plan.project}.svc.id.goog"},
                "releaseChannel": {"channel": plan.release_channel},
                "deletionProtection": plan.deletion_protection,
            },
        )


@rule
def node_upgrades_are_held_while_an_exact_driver_is_pinned_and_only_then(view: View) -> Complaints:
    if view.own_cluster is None or (plan := view.cluster_plan) is None:
        return
    since = plan.pinned_drivers_since
    if since is None:
        if "maintenancePolicy" in view.own_cluster.inputs:
            yield "they are held for nothing"
        return
    exclusions = at(view.own_cluster.inputs, "maintenancePolicy.maintenanceExclusions") or [{}]
    options = {"scope": "NO_MINOR_OR_NODE_UPGRADES", "endTimeBehavior": "UNTIL_END_OF_SUPPORT"}
    if exclusions[0].get("exclusionOptions") != options or not exclusions[0].get("exclusionName"):
        yield f"the exclusion is {exclusions[0]}"
    if exclusions[0].get("startTime") != f"{since.isoformat()}T00:00:00Z":
        yield f"it begins {exclusions[0].get('startTime')}"
    # the provider asks for a window beside an exclusion
    yield from expect(view.own_cluster, {"maintenancePolicy.dailyMaintenanceWindow": {"startTime": "03:00"}})


@rule
def the_network_is_made_by_us_with_a_way_out_or_not_at_all(view: View) -> Complaints:
    plan = view.cluster_plan
    made = plan is not None and not plan.existing and plan.network.create
    for type_ in (NETWORK, SUBNETWORK, NAT_ROUTER, NAT):
        if len(view.all(type_)) != (1 if made else 0):
            yield f"{len(view.all(type_))} of {type_}"
    if plan is None or not made:
        return
    name = f"projects/{plan.project}/global/networks/{plan.network.vpc}"
    here = {"region": plan.region}
    for one in view.all(NETWORK):
        yield from expect(one, {"name": plan.network.vpc, "autoCreateSubnetworks": False})
    for one in view.all(NAT_ROUTER):
        yield from expect(one, {"name": plan.network.vpc, "network": name, **here})
    for one in view.all(NAT):
        yield from expect(
            one,
            {
                "name": plan.network.vpc,
                "router": plan.network.vpc,
                "natIpAllocateOption": "AUTO_ONLY",
                "sourceSubnetworkIpRangesToNat": "ALL_SUBNETWORKS_ALL_IP_RANGES",
                **here,
            },
        )
    for one in view.all(SUBNETWORK):
        yield from expect(one, {"name": plan.network.subnet, "network": name, "privateIpGoogleAccess": True, **here})
        ranges = one.inputs.get("secondaryIpRanges") or []
        names = [entry.get("rangeName") for entry in ranges]
        if names != [plan.network.pods, plan.network.services]:
            yield f"its ranges are {names}"
        every = [one.inputs.get("ipCidrRange"), *(entry.get("ipCidrRange") for entry in ranges)]
        if not all(every) or any(ip_network(a).overlaps(ip_network(b)) for a, b in combinations(every, 2)):
            yield f"the ranges are {every}"


@rule
def apis_are_switched_on_and_stay_on_for_others(view: View) -> Complaints:
    if (plan := view.cluster_plan) is None:
        return
    apis = view.all(SERVICE_OF_GOOGLE)
    wanted = set() if plan.existing else set(plan.apis)
    if {one.inputs.get("service") for one in apis} != wanted:
        yield f"on are {[one.inputs.get('service') for one in apis]}"
    for one in apis:
        yield from expect(one, {"disableOnDestroy": False})


@rule
def nodes_have_an_account_of_their_own_with_the_least_roles(view: View) -> Complaints:
    if (plan := view.cluster_plan) is None:
        return
    email = f"{plan.node_account}@{plan.project}.iam.gserviceaccount.com"
    account = view.named(ACCOUNT, "fleet-nodes")
    yield from expect(account, {"accountId": plan.node_account})
    if account is not None and plan.name not in str(account.inputs.get("displayName")):
        yield "nobody can tell whose account it is"
    if {one.inputs.get("role") for one in view.all(MEMBER)} != set(plan.node_roles):
        yield f"its roles are {[one.inputs.get('role') for one in view.all(MEMBER)]}"
    for member in view.all(MEMBER):
        yield from expect(member, {"member": f"serviceAccount:{email}"})
    for nodes in view.node_pools:
        yield from expect(
            nodes,
            {
                "nodeConfig.serviceAccount": email,
                "nodeConfig.oauthScopes": ["https://www.googleapis.com/auth/cloud-platform"],
                "nodeConfig.workloadMetadataConfig": {"mode": "GKE_METADATA"},
                "nodeConfig.metadata": {"disable-legacy-endpoints": "true"},
            },
        )


@rule
def nodes_join_the_cluster_and_are_kept_healthy(view: View) -> Complaints:
    if (plan := view.cluster_plan) is None:
        return
    for nodes in view.node_pools:
        yield from expect(
            nodes,
            {
                "cluster": plan.name,
                "location": plan.location,
                "management": {"autoRepair": True, "autoUpgrade": True},
                "nodeConfig.shieldedInstanceConfig.enableIntegrityMonitoring": True,
            },
        )
        if "nodeCount" in nodes.inputs:
            yield f"{nodes.name} has a node count beside its autoscaler"


@rule
def the_system_nodes_carry_no_taint_and_no_gpu(view: View) -> Complaints:
    plan = view.cluster_plan
    if plan is None or plan.existing:
        if view.named(NODE_POOL, "fleet-system") is not None:
            yield "an existing cluster has system nodes of its own"
        return
    system = view.named(NODE_POOL, "fleet-system")
    yield from expect(
        system,
        {
            "name": "system",
            "nodeLocations": list(plan.system_zones),
            "initialNodeCount": plan.system_minimum,
            "autoscaling": {
                "totalMinNodeCount": plan.system_minimum,
                "totalMaxNodeCount": plan.system_maximum,
            },
            "nodeConfig.machineType": plan.system_machine,
            "nodeConfig.diskSizeGb": plan.system_disk_gb,
            "nodeConfig.diskType": plan.disk_type,
            "nodeConfig.imageType": "COS_CONTAINERD",
            "nodeConfig.resourceLabels": dict(plan.labels),
            "nodeConfig.shieldedInstanceConfig.enableSecureBoot": True,
        },
    )
    node_config = system.inputs.get("nodeConfig", {}) if system else {}
    yield from (key for key in ("taints", "guestAccelerators") if node_config.get(key))


@rule
def the_limits_of_a_node_pool_follow_its_replicas(view: View) -> Complaints:
    for pool in view.pools:
        if (planned := pool.nodes) is None:
            continue
        for bound, replicas in (("minimum", pool.replicas.min), ("maximum", pool.replicas.max)):
            nodes = getattr(planned, bound)
            if not nodes * planned.replicas_per_node >= replicas > (nodes - 1) * planned.replicas_per_node:
                yield f"{pool.name}: {nodes} nodes for {replicas} replicas"
        yield from expect(
            view.nodes(pool),
            {
                "autoscaling": {
                    "totalMinNodeCount": planned.minimum,
                    "totalMaxNodeCount": planned.maximum,
                    "locationPolicy": "ANY",
                },
                "initialNodeCount": -(-planned.minimum // len(planned.zones)),
                "nodeLocations": list(planned.zones),
            },
        )


@rule
def a_node_pool_is_the_planned_hardware(view: View) -> Complaints:
    for pool in view.pools:
        if (planned := pool.nodes) is None or (plan := view.cluster_plan) is None:
            continue
        cos = pool.driver.operating_system == "cos"
        yield from expect(
            view.nodes(pool),
            {
                "name": pool.names.node_pool,
                "nodeConfig.machineType": planned.machine_type,
                "nodeConfig.spot": planned.spot,
                "nodeConfig.diskSizeGb": planned.disk_gb,
                "nodeConfig.diskType": planned.disk_type,
                "nodeConfig.imageType": "COS_CONTAINERD" if cos else "UBUNTU_CONTAINERD",
                "nodeConfig.gcfsConfig": {"enabled": cos},
                "nodeConfig.labels": {POOL_KEY: pool.name},
                "nodeConfig.resourceLabels": {**plan.labels, "ollama-fleet-pool": pool.name},
                "nodeConfig.shieldedInstanceConfig.enableSecureBoot": False,
                "nodeConfig.guestAccelerators": _accelerators(pool),
            },
        )


def _accelerators(pool: PoolPlan) -> object:
    """One driver mode always: left out, GKE installs its own, and a later change replaces the pool."""
    if pool.nodes is None or not pool.nodes.gpus_per_node:
        return None
    mode = "LATEST" if pool.driver.mode == "gke" else "INSTALLATION_DISABLED"
    return [
        {
            "type": pool.nodes.accelerator,
            "count": pool.nodes.gpus_per_node,
            "gpuDriverInstallationConfig": {"gpuDriverVersion": mode},
        }
    ]


@rule
def a_pool_is_tainted_as_its_own_and_as_gpu_nodes_where_it_has_gpus(view: View) -> Complaints:
    for pool in view.pools:
        own = {"key": POOL_KEY, "value": pool.name, "effect": "NO_SCHEDULE"}
        any_gpu = {"key": GPU, "value": "present", "effect": "NO_SCHEDULE"}
        yield from expect(view.nodes(pool), {"nodeConfig.taints": [own, any_gpu] if pool.gpus_per_replica else [own]})


@rule
def an_upgrade_needs_no_spare_gpu(view: View) -> Complaints:
    for pool in view.pools:
        yield from expect(
            view.nodes(pool), {"upgradeSettings": {"strategy": "SURGE", "maxSurge": 0, "maxUnavailable": 1}}
        )


@rule
def an_existing_cluster_is_read_and_nothing_of_it_is_made(view: View) -> Complaints:
    plan = view.cluster_plan
    if plan is None:
        yield from (one.name for one in [*view.google, *view.kubernetes])
        return
    if len(view.all(CLUSTER)) != 1:
        yield f"there are {len(view.all(CLUSTER))} clusters"
    expected = f"projects/{plan.project}/locations/{plan.location}/clusters/{plan.name}" if plan.existing else None
    for cluster in view.all(CLUSTER):
        if cluster.read_id != expected:
            yield f"it is read by {cluster.read_id}"
