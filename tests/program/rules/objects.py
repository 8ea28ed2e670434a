"""Rules about Services, ConfigMaps, policies, and what things are called."""

import re
from typing import Any

from infra.plan.model import OLLAMA_PORT
from prepare import scripts
from router.program import program
from tests.program.rules.view import (
    ACCOUNT,
    AUTOSCALER,
    BUDGET,
    CLUSTER,
    CONFIG_MAP,
    DAEMON_SET,
    DEPLOYMENT,
    MANAGED_BY,
    NAMESPACE,
    NETWORK_POLICY,
    NODE_POOL,
    POOL_KEY,
    PRIORITY_CLASS,
    ROUTER_POD,
    SERVICE,
    SERVICE_ACCOUNT,
    VOLUME_CLAIM,
    Complaints,
    View,
    at,
    expect,
    rule,
)

LABEL = r"[a-z]([-a-z0-9]*[a-z0-9])?"
SUBDOMAIN = r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?"
GOOGLE_LENGTHS = {CLUSTER: 40, NODE_POOL: 40}
KUBERNETES_LENGTHS = {CONFIG_MAP: 253, DEPLOYMENT: 63, DAEMON_SET: 63}
"""A Deployment may be longer, the labels and host names of its pods may not; every other name is a DNS label here."""
ODD_TAGS = {
    "cos-nvidia-installer:fixed": "preloaded on Google's nodes, which have exactly one",
    "gke-nvidia-installer:fixed": "preloaded on Google's nodes, which have exactly one",
}


def _server_pod(pool: str) -> dict[str, str]:
    return {"app.kubernetes.io/name": "ollama", POOL_KEY: pool}


@rule
def objects_are_called_by_their_fixed_names_and_labelled_as_ours(view: View) -> Complaints:
    for resource in view.objects:
        package, _, kind = resource.type.removeprefix("kubernetes:").rpartition(":")
        version = package.removeprefix("core/")
        if resource.inputs.get("kind") != kind or resource.inputs.get("apiVersion") != version:
            yield f"{resource.name} is a {resource.inputs.get('apiVersion')} {resource.inputs.get('kind')}"
        labels = at(resource.inputs, "metadata.labels") or {}
        if not MANAGED_BY.items() <= labels.items():
            yield f"{resource.name} does not say whose it is"
    for pool in view.pools:
        workload = pool.names.workload
        for type_, suffix, name in (
            (DEPLOYMENT, "deployment", workload),
            (SERVICE, "service", workload),
            (SERVICE_ACCOUNT, "account", workload),
            (BUDGET, "disruption-budget", workload),
            (NETWORK_POLICY, "network-policy", workload),
            (CONFIG_MAP, "models", pool.names.models),
        ):
            one = view.server(pool, type_, suffix)
            yield from _stands(one, name, view.plan.namespace, {**MANAGED_BY, **_server_pod(pool.name)})
        if pool.driver.mode in ("installer", "gke") and view.cluster_plan is not None:
            driver = view.named(DAEMON_SET, f"{pool.name}-driver-daemon-set")
            own = {"app.kubernetes.io/name": "nvidia-driver", POOL_KEY: pool.name}
            yield from _stands(driver, pool.names.driver, view.cluster_plan.driver_namespace, {**MANAGED_BY, **own})
            yield from expect(driver, {"spec.selector": {"matchLabels": own}, "spec.template.metadata.labels": own})
    if view.cluster_plan is None:
        return
    for type_, suffix, name in (
        (NETWORK_POLICY, "network-policy", "ollama-router"),
        (DEPLOYMENT, "deployment", "ollama-router"),
        (SERVICE, "service", "ollama-router"),
        (SERVICE_ACCOUNT, "account", "ollama-router"),
        (BUDGET, "disruption-budget", "ollama-router"),
        (CONFIG_MAP, "program", "ollama-router"),
        (AUTOSCALER, "autoscaler", "ollama-router"),
        (SERVICE, "metrics-service", "ollama-router-metrics"),
        (CONFIG_MAP, "routes", "ollama-routes"),
    ):
        one = view.named(type_, f"fleet-router-{suffix}")
        yield from _stands(one, name, view.plan.namespace, {**MANAGED_BY, **ROUTER_POD})
    prepare = view.named(CONFIG_MAP, "fleet-prepare")
    yield from _stands(prepare, "ollama-prepare", view.plan.namespace, MANAGED_BY)
    if view.drivers:
        quota = view.named("kubernetes:core/v1:ResourceQuota", "fleet-drivers-quota")
        yield from _stands(quota, "node-critical-pods", view.cluster_plan.driver_namespace, MANAGED_BY)


def _stands(one: Any, name: str, namespace: str, labels: dict[str, str]) -> Complaints:
    if one is None:
        yield f"there is no {name}"
    else:
        yield from expect(one, {"metadata.name": name, "metadata.namespace": namespace, "metadata.labels": labels})


@rule
def a_selector_means_the_pods_of_its_workload_and_no_others(view: View) -> Complaints:
    for pool in view.pools:
        own = _server_pod(pool.name)
        yield from expect(
            view.server(pool, DEPLOYMENT, "deployment"),
            {"spec.selector": {"matchLabels": own}, "spec.template.metadata.labels": own},
        )
        yield from expect(
            view.server(pool, SERVICE, "service"),
            {
                "spec.selector": own,
                # headless: the router sees each pod
                "spec.clusterIP": "None",
                "spec.ports": [{"name": "http", "port": OLLAMA_PORT, "targetPort": "http"}],
            },
        )
        yield from expect(
            view.server(pool, BUDGET, "disruption-budget"),
            {
                "spec": {
                    "maxUnavailable": pool.nodes.replicas_per_node if pool.nodes else 1,
                    "selector": {"matchLabels": own},
                }
            },
        )
    if view.cluster_plan is not None:
        yield from expect(
            view.named(DEPLOYMENT, "fleet-router-deployment"),
            {"spec.selector": {"matchLabels": ROUTER_POD}, "spec.template.metadata.labels": ROUTER_POD},
        )
        yield from expect(
            view.named(BUDGET, "fleet-router-disruption-budget"),
            {"spec": {"maxUnavailable": 1, "selector": {"matchLabels": ROUTER_POD}}},
        )


@rule
def a_server_hears_the_router_alone_and_never_reads_the_nodes_credentials(view: View) -> Complaints:
    for pool in view.pools:
        policy = view.server(pool, NETWORK_POLICY, "network-policy")
        yield from expect(
            policy,
            {
                "spec.podSelector": {"matchLabels": _server_pod(pool.name)},
                "spec.policyTypes": ["Ingress", "Egress"],
                "spec.ingress": [
                    {
                        "from": [{"podSelector": {"matchLabels": ROUTER_POD}}],
                        "ports": [{"port": OLLAMA_PORT, "protocol": "TCP"}],
                    }
                ],
                "spec.egress": [
                    {"ports": [{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}]},
                    {"to": [{"ipBlock": {"cidr": "0.0.0.0/0", "except": ["169.254.169.254/32"]}}]},
                ],
            },
        )


@rule
def the_door_is_as_open_as_the_file_says(view: View) -> Complaints:
    if view.cluster_plan is None:
        return
    settings = view.plan.router.settings
    service = view.named(SERVICE, "fleet-router-service")
    yield from expect(
        service,
        {
            "spec.type": "ClusterIP" if settings.expose == "cluster" else "LoadBalancer",
            "spec.selector": ROUTER_POD,
            "spec.ports": [
                {"name": "https", "port": 443, "targetPort": "http"}
                if settings.tls
                else {"name": "http", "port": 80, "targetPort": "http"}
            ],
            **({} if settings.expose == "cluster" else {"spec.externalTrafficPolicy": "Local"}),
        },
    )
    ranges = [{"ipBlock": {"cidr": one}} for one in settings.source_ranges]
    inside: Any = {"namespaceSelector": {}}
    door = {"ports": [{"port": "http", "protocol": "TCP"}]} | ({"from": [*ranges, inside]} if ranges else {})
    yield from expect(
        view.named(NETWORK_POLICY, "fleet-router-network-policy"),
        {
            "metadata.name": "ollama-router",
            "spec.podSelector": {"matchLabels": ROUTER_POD},
            "spec.policyTypes": ["Ingress"],
            "spec.ingress": [door, {"ports": [{"port": "metrics", "protocol": "TCP"}], "from": [inside]}],
        },
    )
    if service is None:
        return
    annotations = at(service.inputs, "metadata.annotations") or {}
    if (annotations.get("networking.gke.io/load-balancer-type") == "Internal") != (settings.expose == "internal"):
        yield f"it is annotated with {annotations}"
    ranges = at(service.inputs, "spec.loadBalancerSourceRanges") or []
    if settings.expose != "cluster" and ranges != list(settings.source_ranges):
        yield f"it lets in {ranges}"


@rule
def the_autoscaler_of_the_door_follows_its_cpu_and_keeps_two(view: View) -> Complaints:
    if view.cluster_plan is None:
        return
    plan = view.plan.router
    target = {"type": "Utilization", "averageUtilization": plan.cpu_target}
    yield from expect(
        view.named(AUTOSCALER, "fleet-router-autoscaler"),
        {
            "spec.scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "ollama-router"},
            "spec.minReplicas": plan.replicas,
            "spec.maxReplicas": plan.most_replicas,
            "spec.metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": target}}],
        },
    )


@rule
def the_metrics_of_a_router_that_leaves_are_found_too_and_inside_the_cluster_only(view: View) -> Complaints:
    if view.cluster_plan is None:
        return
    yield from expect(
        view.named(SERVICE, "fleet-router-metrics-service"),
        {
            "spec.clusterIP": "None",
            "spec.publishNotReadyAddresses": True,
            "spec.selector": ROUTER_POD,
            "spec.ports": [{"name": "metrics", "port": view.plan.router.metrics_port, "targetPort": "metrics"}],
        },
    )


@rule
def every_map_holds_what_is_read_from_it_and_is_below_a_mebibyte(view: View) -> Complaints:
    for one in view.all(CONFIG_MAP):
        data = one.inputs.get("data") or {}
        if sum(len(key) + len(str(text).encode()) for key, text in data.items()) >= 2**20:
            yield f"{one.name} is too large"
    if view.cluster_plan is None:
        return
    router = view.plan.router
    wanted = {"routes.toml": router.routes, "facts.json": router.facts, "door.json": router.rules}
    wanted |= {f"ca-{site}.pem": text for site, text in router.authorities.items()}
    yield from expect(view.named(CONFIG_MAP, "fleet-router-routes"), {"data": wanted})
    yield from expect(view.named(CONFIG_MAP, "fleet-router-program"), {"data": program()})
    script = (view.named(CONFIG_MAP, "fleet-prepare") or view.resources[0]).inputs.get("data") or {}
    certificates = {"proxy-ca.pem": view.plan.certificates} if view.plan.certificates else {}
    if script != {**scripts(), **certificates}:
        yield f"pods find {sorted(script)}"
    for pool in view.pools:
        models = view.server(pool, CONFIG_MAP, "models")
        data = (models.inputs.get("data") if models else None) or {}
        lines = [line.split("\t") for line in data.get("models.tsv", "").splitlines()]
        others = [line.split("\t")[1:] for line in data.get("declared.tsv", "x\tnone\tnone").splitlines()]
        if [(one[0], one[1]) for one in others] != [(o.action, o.name) for s in pool.elsewhere.values() for o in s]:
            yield f"{pool.name} would make {others}"
        wanted = [(one.action, one.name) for one in pool.prepared]
        if [tuple(fields[:2]) for fields in lines] != wanted:
            yield f"{pool.name} is to prepare {lines}"
        files = {fields[2] for fields in [*lines, *others] if fields[0] == "create"}
        if set(data) - {"models.tsv", "declared.tsv"} != files or not all(data.get(name) for name in files):
            yield f"{pool.name} misses Modelfiles: {files} of {sorted(data)}"


@rule
def a_pool_with_a_volume_has_one_that_holds_its_models_and_waits_for_its_pod(view: View) -> Complaints:
    wanted = {f"{pool.name}-server-volume": pool for pool in view.pools if pool.volume}
    if {one.name for one in view.all(VOLUME_CLAIM)} - {"fleet-chat-volume"} != set(wanted):
        yield f"the volumes of {sorted(wanted)} are not what is there"
    for name, pool in wanted.items():
        yield from expect(
            view.named(VOLUME_CLAIM, name),
            {
                "metadata.name": pool.names.models,
                "metadata.labels": {**MANAGED_BY, **_server_pod(pool.name)},
                "metadata.annotations": {"pulumi.com/skipAwait": "true"},
                "spec.accessModes": ["ReadWriteOnce"],
                "spec.resources.requests.storage": pool.volume_request,
            },
        )


@rule
def names_are_safe_and_short_enough_for_kubernetes(view: View) -> Complaints:
    for resource in view.objects:
        name = at(resource.inputs, "metadata.name")
        pattern = SUBDOMAIN if resource.type == CONFIG_MAP else LABEL
        length = KUBERNETES_LENGTHS.get(resource.type, 63)
        if not isinstance(name, str) or not re.fullmatch(pattern, name) or len(name) > length:
            yield f"{resource.name} is called {name}"
        if resource.type not in (NAMESPACE, PRIORITY_CLASS) and not at(resource.inputs, "metadata.namespace"):
            yield f"{resource.name} has no namespace"


@rule
def labels_are_short_enough_for_kubernetes_and_google(view: View) -> Complaints:
    for resource in view.objects:
        for path in ("metadata.labels", "spec.template.metadata.labels"):
            for value in (at(resource.inputs, path) or {}).values():
                if not re.fullmatch(r"([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?", value) or len(value) > 63:
                    yield f"{resource.name} is labelled {value}"
    for resource in view.google:
        for path in ("resourceLabels", "nodeConfig.resourceLabels"):
            for key, value in (at(resource.inputs, path) or {}).items():
                if not re.fullmatch(r"[a-z][a-z0-9_-]{0,62}", key) or not re.fullmatch(r"[a-z0-9_-]{0,63}", value):
                    yield f"{resource.name} is labelled {key}={value}"


@rule
def names_are_safe_and_short_enough_for_google(view: View) -> Complaints:
    for resource in view.google:
        name = resource.inputs.get("name")
        if name is not None and (not re.fullmatch(LABEL, name) or len(name) > GOOGLE_LENGTHS.get(resource.type, 63)):
            yield f"{resource.name} is called {name}"
    for account in view.all(ACCOUNT):
        if not re.fullmatch(r"[a-z][-a-z0-9]{4,28}[a-z0-9]", account.inputs.get("accountId") or ""):
            yield f"the account is called {account.inputs.get('accountId')}"


@rule
def ports_are_found_by_names_that_containers_have(view: View) -> Complaints:
    for pod in view.pods:
        names = [port.get("name") for one in pod.containers for port in one.get("ports") or []]
        if len(set(names)) != len(names) or any(not name or len(name) > 15 for name in names):
            yield f"{pod.name} has the ports {names}"


@rule
def every_image_is_pinned_by_a_version(view: View) -> Complaints:
    for pod in view.pods:
        for container in pod.containers:
            image = str(container.get("image"))
            tag = image.rpartition("/")[2].partition(":")[2]
            if image not in ODD_TAGS and not re.search(r"\d+\.\d+", tag) and "@sha256:" not in image:
                yield f"{pod.name}/{container.get('name')} runs {image}"


@rule
def the_summary_tells_pools_routes_and_money(view: View) -> Complaints:
    summary = view.recording.stack_outputs.get("plan") or {}
    if set(summary.get("pools") or ()) != {pool.name for pool in view.plan.pools}:
        yield f"it has the pools {summary.get('pools')}"
    if summary.get("routes") != {model.name: list(model.route) for model in view.plan.models}:
        yield f"it has the routes {summary.get('routes')}"
    if not isinstance(summary.get("warnings"), int):
        yield "it does not count its warnings"
    money = summary.get("monthlyUsd", {})
    if view.plan.cost is None:
        if money is not None:
            yield f"it asks for {money}"
    elif set(money) != {"minimum", "maximum", "pricesOf"} or money["minimum"] > money["maximum"]:
        yield f"it asks for {money}"


@rule
def the_stack_tells_where_to_go_and_what_to_try(view: View) -> Complaints:
    outputs = view.recording.stack_outputs
    at_home = view.cluster_plan is None
    endpoint = None if at_home else f"http://ollama-router.{view.plan.namespace}.svc.cluster.local"
    if outputs.get("endpoint") != endpoint:
        yield f"the endpoint is {outputs.get('endpoint')}"
    commands = outputs.get("commands", ["none"])
    router = view.plan.router
    wanted = [
        ("gcloud container clusters", *(["--show-secrets --json apiKeys"] if router.keys else [])),
        (f"FLEET_URL={'https' if router.settings.tls else 'http'}://", "$FLEET_URL/api/chat"),
        ("describe pods",),
    ]
    if len(commands) != (0 if at_home else len(wanted)):
        yield f"there are the commands {commands}"
    for command, parts in zip(commands, wanted, strict=False):
        for part in parts:
            if part not in command:
                yield f"{command} does not {part}"
