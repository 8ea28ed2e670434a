"""Rules about the tree of resources and their options."""

from collections import Counter

from infra.recorder import Secret
from tests.program.rules.view import (
    ACCOUNT,
    CLUSTER,
    COMPONENT,
    CONFIG_MAP,
    DAEMON_SET,
    DEPLOYMENT,
    MEMBER,
    NAMESPACE,
    NODE_POOL,
    PRIORITY_CLASS,
    PROVIDER,
    QUOTA,
    SERVICE_OF_GOOGLE,
    Complaints,
    View,
    expect,
    rule,
    seconds,
)

OUTPUTS = {
    "ApiKeys": {"keys"},
    "Keda": {"version"},
    "Scaler": {"by"},
    "Fleet": {"endpoint", "kubeconfig", "apiKeys"},
    "Cluster": {"name", "kubeconfig"},
    "NodePool": {"name"},
    "Driver": {"name"},
    "Server": {"deployment", "service"},
    "Router": {"endpoint"},
    "Monitoring": set(),
    "GpuExporter": set(),
    "LoadTest": set(),
    "Chat": {"account", "deployment"},
}


IN_CLUSTER = (
    "ApiKeys",
    "Chat",
    "Driver",
    "GpuExporter",
    "Keda",
    "LoadTest",
    "Monitoring",
    "Router",
    "Scaler",
    "Server",
)


@rule
def nothing_but_the_fleet_hangs_off_the_stack(view: View) -> Complaints:
    for resource in view.recording.children():
        if resource.type != COMPONENT + "Fleet":
            yield resource.urn


@rule
def every_child_stands_under_the_component_that_it_is_named_after(view: View) -> Complaints:
    for resource in view.resources:
        parent = view.by_urn.get(resource.parent)
        if parent is None and resource.parent != view.recording.root:
            yield f"{resource.urn} has no parent"
        elif parent is not None and not parent.type.startswith(COMPONENT):
            yield f"{resource.name} hangs under {parent.type}"
        elif parent is not None and resource.custom and not resource.name.startswith(parent.name + "-"):
            yield f"{resource.name} hangs under {parent.name}"


@rule
def no_two_resources_share_parent_type_and_name(view: View) -> Complaints:
    counted = Counter((resource.parent, resource.type, resource.name) for resource in view.resources)
    yield from (str(key) for key, count in counted.items() if count > 1)


@rule
def no_two_objects_of_the_cluster_share_kind_namespace_and_name(view: View) -> Complaints:
    counted = Counter(
        (one.inputs.get("kind"), metadata.get("namespace"), metadata.get("name"))
        for one in view.objects
        for metadata in [one.inputs.get("metadata") or {}]
    )
    yield from (str(key) for key, count in counted.items() if count > 1)


@rule
def every_component_registers_its_outputs(view: View) -> Complaints:
    for resource in view.resources:
        if not resource.custom:
            wanted = OUTPUTS[resource.type.removeprefix(COMPONENT)]
            there = {key for key, value in (resource.registered_outputs or {}).items() if value is not None}
            if resource.registered_outputs is None or (view.cluster_plan and not wanted <= there):
                yield f"{resource.urn} registered {sorted(there)}"


@rule
def every_object_of_the_cluster_goes_through_our_provider(view: View) -> Complaints:
    ours = {one.urn for one in view.all(PROVIDER)}
    for resource in view.kubernetes:
        if resource.provider not in ours:
            yield f"{resource.name} goes through {resource.provider}"


@rule
def components_in_the_cluster_are_handed_our_provider(view: View) -> Complaints:
    ours = [one.urn for one in view.all(PROVIDER)]
    for kind in IN_CLUSTER:
        for resource in view.all(COMPONENT + kind):
            if list((resource.providers or {}).values()) != ours:
                yield f"{resource.name} hands down {resource.providers}"


@rule
def there_is_one_provider_that_edits_in_place_and_knows_its_cluster_by_name(view: View) -> Complaints:
    if (plan := view.cluster_plan) is None:
        return
    if len(view.all(PROVIDER)) != 1:
        yield f"there are {len(view.all(PROVIDER))}"
    for provider in view.all(PROVIDER):
        yield from expect(
            provider,
            {
                "clusterIdentifier": f"{plan.project}/{plan.location}/{plan.name}",
                "enableConfigMapMutable": "true",
                "enableSecretMutable": "true",
                "enableServerSideApply": "true",
            },
        )
        if not isinstance(provider.inputs.get("kubeconfig"), Secret):
            yield "its kubeconfig is not a secret"


@rule
def what_stands_in_our_cluster_goes_down_with_it_and_what_joins_another_does_not(view: View) -> Complaints:
    ours = view.own_cluster.urn if view.own_cluster else None
    components = [one for kind in IN_CLUSTER for one in view.all(COMPONENT + kind)]
    keys = view.all("random:index/randomPassword:RandomPassword")
    for resource in [*view.kubernetes, *view.node_pools, *components, *keys]:
        if resource.deleted_with != ours:
            yield f"{resource.name} is deleted with {resource.deleted_with}"


@rule
def everything_waits_for_what_its_inputs_come_from(view: View) -> Complaints:
    for resource in view.resources:
        sources = {urn for urns in resource.property_dependencies.values() for urn in urns}
        if missing := sources - set(resource.depends_on):
            yield f"{resource.name} does not wait for {sorted(missing)}"


@rule
def google_resources_wait_for_their_apis(view: View) -> Complaints:
    apis = {one.urn for one in view.all(SERVICE_OF_GOOGLE)}
    first = (ACCOUNT, CLUSTER)
    for resource in view.google:
        if (resource.type in first or resource.type.startswith("gcp:compute/")) and apis - set(resource.depends_on):
            yield f"{resource.name} does not wait for {sorted(apis - set(resource.depends_on))}"


@rule
def the_cluster_waits_for_the_way_out(view: View) -> Complaints:
    if view.own_cluster is not None:
        for nat in view.all("gcp:compute/routerNat:RouterNat"):
            if nat.urn not in view.own_cluster.depends_on:
                yield "its nodes would find no registry"


@rule
def system_nodes_wait_for_their_roles_and_gpu_nodes_for_the_system_nodes(view: View) -> Complaints:
    roles = {one.urn for one in view.all(MEMBER)}
    system = view.named(NODE_POOL, "fleet-system")
    for nodes in view.node_pools:
        waits_for = {system.urn} if system is not None and nodes is not system else roles
        if waits_for - set(nodes.depends_on):
            yield f"{nodes.name} does not wait for {sorted(waits_for - set(nodes.depends_on))}"
    for provider in view.all(PROVIDER):
        if ({system.urn} if system else roles) - set(provider.depends_on):
            yield "nothing that the cluster runs may come before the system nodes"


@rule
def servers_and_drivers_wait_for_the_nodes_of_their_pool(view: View) -> Complaints:
    for pod in view.pods:
        if pod.pool is not None:
            nodes = view.nodes(pod.pool)
            if nodes is None or nodes.urn not in pod.owner.depends_on:
                yield f"{pod.name} does not"


@rule
def drivers_wait_for_the_quota_without_which_gke_refuses_them(view: View) -> Complaints:
    quotas = {one.urn for one in view.all(QUOTA)}
    for driver, _ in view.drivers:
        if not quotas or quotas - set(driver.owner.depends_on):
            yield f"{driver.name} does not"


@rule
def objects_wait_for_their_namespace_and_pods_for_what_they_mount(view: View) -> Complaints:
    namespaces = {(one.inputs.get("metadata") or {}).get("name"): one.urn for one in view.all(NAMESPACE)}
    maps = {(one.inputs.get("metadata") or {}).get("name"): one.urn for one in view.all(CONFIG_MAP)}
    for resource in view.objects:
        namespace = (resource.inputs.get("metadata") or {}).get("namespace")
        if resource.type not in (NAMESPACE, PRIORITY_CLASS) and namespaces.get(namespace) not in resource.depends_on:
            yield f"{resource.name} does not wait for the namespace {namespace}"
    for pod in view.pods:
        for volume in pod.spec.get("volumes") or []:
            mounted = volume.get("configMap") or {}
            name = mounted.get("name")
            # what may be absent is somebody else's
            if name is not None and not mounted.get("optional") and maps.get(name) not in pod.owner.depends_on:
                yield f"{pod.name} does not wait for {name}"


@rule
def a_number_that_an_autoscaler_owns_is_0_at_creation_or_not_given_and_then_left_alone(view: View) -> Complaints:
    for pod, pool in view.servers:
        replicas = pod.owner.inputs.get("spec", {}).get("replicas")
        wanted = None if pool.replicas.scales and pool.replicas.min else pool.replicas.min
        if replicas != wanted:
            yield f"{pod.name} has {replicas} replicas, not {wanted}"
        annotations = (pod.owner.inputs.get("metadata") or {}).get("annotations") or {}
        if (annotations.get("pulumi.com/patchForce") == "true") == pool.replicas.scales:
            yield f"{pod.name} is annotated with {annotations}: a number of ours is set back, another's is left alone"
        ignored = ("spec.replicas",) if pool.replicas.scales else ()
        if pod.owner.ignore_changes != ignored:
            yield f"{pod.name} ignores changes of {pod.owner.ignore_changes}"


@rule
def no_timeout_is_shorter_than_a_pull_and_the_start_of_a_node(view: View) -> Complaints:
    for pod, pool in view.servers:
        timeouts = pod.owner.custom_timeouts or {}
        for operation in ("create", "update"):
            if seconds(timeouts.get(operation)) != pool.rollout_deadline:
                yield f"{pod.name} may {operation} for {timeouts.get(operation)}"
        deadline = pod.owner.inputs.get("spec", {}).get("progressDeadlineSeconds") or 0
        if deadline != pool.rollout_deadline:
            yield f"{pod.name} gives its progress {deadline} s"
    for pod, _ in view.drivers:
        timeouts = pod.owner.custom_timeouts or {}
        yield from (f"{pod.name} has no timeout" for one in ("create", "update") if seconds(timeouts.get(one)) < 1200)


@rule
def clusters_and_node_pools_may_take_their_time(view: View) -> Complaints:
    for resource in [*view.node_pools, *([view.own_cluster] if view.own_cluster else [])]:
        least = 5400 if resource.type == CLUSTER else 7200
        for operation in ("create", "update", "delete"):
            if seconds((resource.custom_timeouts or {}).get(operation)) < least:
                yield f"{resource.name} may {operation} for {resource.custom_timeouts}"


@rule
def the_count_of_nodes_at_creation_is_ignored_afterwards(view: View) -> Complaints:
    for nodes in view.node_pools:
        if nodes.ignore_changes != ("initialNodeCount",):
            yield f"{nodes.name} ignores {nodes.ignore_changes}"


@rule
def the_cluster_alone_is_protected_as_the_file_says_and_nothing_is_kept(view: View) -> Complaints:
    for resource in view.resources:
        wanted = (
            resource is view.own_cluster and view.cluster_plan is not None and view.cluster_plan.deletion_protection
        )
        if resource.protect != wanted or resource.retain_on_delete:
            yield f"{resource.name}: protect {resource.protect}, retain {resource.retain_on_delete}"


@rule
def every_pool_has_its_nodes_its_server_and_where_needed_its_driver(view: View) -> Complaints:
    for pool in view.pools:
        if view.nodes(pool) is None or view.server(pool, DEPLOYMENT, "deployment") is None:
            yield f"{pool.name} lacks nodes or server"
        has_driver = view.named(DAEMON_SET, f"{pool.name}-driver-daemon-set") is not None
        if has_driver != (pool.driver.mode in ("installer", "gke")):
            yield f"{pool.name} has a driver: {has_driver}, mode {pool.driver.mode}"
        for kind, suffix in (("NodePool", "pool"), ("Server", "server"), *([("Driver", "driver")] * has_driver)):
            if view.named(COMPONENT + kind, f"{pool.name}-{suffix}") is None:
                yield f"{pool.name} has no component {kind}"
    expected = (view.cluster_plan is not None) * 1
    for kind in ("Cluster", "Router"):
        if len(view.all(COMPONENT + kind)) != expected:
            yield f"there are {len(view.all(COMPONENT + kind))} of {kind}"
    if len(view.all(COMPONENT + "Fleet")) != 1:
        yield "there is not one Fleet"
