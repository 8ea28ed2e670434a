"""Rules about where pods run, and with what."""

from collections.abc import Set as AbstractSet
from typing import Any

from infra.catalogue import load
from infra.plan.capacity import pod_share
from infra.plan.model import OLLAMA_PORT
from prepare.definitions import verification
from tests.program.rules.view import (
    DAEMON_SET,
    DEPLOYMENT,
    GPU,
    POOL_KEY,
    ROUTER_POD,
    Complaints,
    View,
    at,
    bytes_of,
    expect,
    millis,
    rule,
)

SCRIPT = "/etc/ollama-fleet/prepare/prepare.sh"
MODELS = "/etc/ollama-fleet/models"


def tolerates(toleration: dict[str, Any], taint: dict[str, Any]) -> bool:
    """As Kubernetes decides it (`ToleratesTaint` of k8s.io/component-helpers)."""
    effect = {"NO_SCHEDULE": "NoSchedule", "NO_EXECUTE": "NoExecute"}.get(taint["effect"], taint["effect"])
    if toleration.get("effect") not in (None, "", effect):
        return False
    if not toleration.get("key"):
        return toleration.get("operator") == "Exists"
    if toleration["key"] != taint["key"]:
        return False
    return toleration.get("operator") == "Exists" or toleration.get("value", "") == taint.get("value", "")


def _taints(view: View, pool: Any) -> list[dict[str, Any]]:
    nodes = view.nodes(pool)
    taints = at(nodes.inputs, "nodeConfig.taints") if nodes else None
    return [taint for taint in taints or [] if {"key", "effect"} <= set(taint)]


@rule
def a_server_tolerates_the_taints_of_its_own_pool_and_of_no_other(view: View) -> Complaints:
    for pod, pool in view.servers:
        tolerations = pod.spec.get("tolerations") or []
        for taint in _taints(view, pool):
            if not any(tolerates(one, taint) for one in tolerations):
                yield f"{pod.name} does not tolerate {taint}"
        for other in view.pools:
            foreign = [taint for taint in _taints(view, other) if taint["key"] == POOL_KEY and other is not pool]
            if any(tolerates(one, taint) for taint in foreign for one in tolerations):
                yield f"{pod.name} tolerates {other.name}"
        bound = [one for one in tolerations if one.get("operator") and one.get("effect") == "NoSchedule"]
        if len(bound) != len(tolerations) or len(tolerations) != (2 if pool.gpus_per_replica else 1):
            yield f"{pod.name} tolerates more than it has to: {tolerations}"


@rule
def the_router_tolerates_nothing_and_so_never_takes_the_place_of_a_gpu_pod(view: View) -> Complaints:
    if view.cluster_plan is not None and len(view.routers) != 1:
        yield f"there are {len(view.routers)} routers"
    for pod in view.routers:
        yield from (f"{pod.name}: {key}" for key in ("tolerations", "nodeSelector") if pod.spec.get(key))


@rule
def a_server_stands_on_the_nodes_of_its_pool(view: View) -> Complaints:
    for pod, pool in view.servers:
        nodes = view.nodes(pool)
        if not pod.spec.get("nodeSelector") or pod.spec["nodeSelector"] != at(
            nodes and nodes.inputs, "nodeConfig.labels"
        ):
            yield f"{pod.name} is sent to {pod.spec.get('nodeSelector')}"


@rule
def a_server_asks_for_the_planned_gpus_and_nothing_else_does(view: View) -> Complaints:
    for pod in view.pods:
        for container in pod.containers:
            is_server = pod.pool is not None and container.get("name") == "ollama"
            wanted = str(pod.pool.gpus_per_replica) if is_server and pod.pool and pod.pool.gpus_per_replica else None
            for side in ("requests", "limits"):
                found = ((container.get("resources") or {}).get(side) or {}).get(GPU)
                if found != wanted:
                    yield f"{pod.name}/{container.get('name')} {side} {found} GPUs, not {wanted}"


@rule
def the_gpus_of_a_node_carry_its_replicas(view: View) -> Complaints:
    for pod, pool in view.servers:
        nodes = view.nodes(pool)
        there = at(nodes and nodes.inputs, "nodeConfig.guestAccelerators.0.count") or 0
        asked = int((at(pod.container("ollama"), "resources.limits") or {}).get(GPU, 0))
        if pool.nodes is not None and asked * pool.nodes.replicas_per_node > there:
            yield f"{pod.name}: {pool.nodes.replicas_per_node} replicas with {asked} GPUs each on {there}"


@rule
def the_requests_of_the_pods_of_a_node_fit_what_the_node_leaves(view: View) -> Complaints:
    catalogue = load()
    for pod, pool in view.servers:
        if pool.nodes is None or pool.google_refuses:
            continue
        machine = catalogue.machines[pool.nodes.machine_type]
        share = pod_share(machine, catalogue.gke.node, replicas=pool.nodes.replicas_per_node)
        for name, read, left in (("cpu", millis, share.cpu), ("memory", bytes_of, share.memory)):
            asked = {
                kind: [
                    read(((one.get("resources") or {}).get("requests") or {}).get(name))
                    for one in pod.spec.get(kind) or []
                ]
                for kind in ("initContainers", "containers")
            }
            most = max(sum(asked["containers"]), max(asked["initContainers"], default=0))
            if most > left:
                yield f"{pod.name} asks for {most} of {name}, and a node leaves {left}"


@rule
def every_container_asks_for_cpu_and_memory_and_no_memory_is_without_bound(view: View) -> Complaints:
    for pod in view.pods:
        for container in pod.containers:
            resources = container.get("resources") or {}
            requests, limits = resources.get("requests") or {}, resources.get("limits") or {}
            if not millis(requests.get("cpu")):
                yield f"{pod.name}/{container.get('name')} asks for no CPU"
            # Google's installer asks for CPU alone: what it compiles and unpacks is not to be killed for memory
            if not bytes_of(requests.get("memory")) and container.get("name") != "install":
                yield f"{pod.name}/{container.get('name')} asks for no memory"
            if not pod.is_driver and bytes_of(limits.get("memory")) < max(1, bytes_of(requests.get("memory"))):
                yield f"{pod.name}/{container.get('name')} is limited to {limits.get('memory')}"
            if "cpu" in limits:
                yield f"{pod.name}/{container.get('name')} is throttled"


@rule
def servers_ask_for_what_the_plan_says(view: View) -> Complaints:
    for pod, pool in view.servers:
        planned = {
            "ollama": (pool.cpu_request, pool.memory_request),
            "prepare": (pool.prepare_cpu, pool.prepare_memory),
            "companion": (pool.companion_cpu, pool.companion_memory),
        }
        limits = {"prepare": pool.prepare_memory_limit, "companion": pool.companion_memory_limit}
        for name, limit in limits.items():
            if at(pod.container(name), "resources.limits") != {"memory": str(limit)}:
                yield f"{pod.name}/{name} is limited to {at(pod.container(name), 'resources.limits')}"
        if {one.get("name") for one in pod.containers} != set(planned):
            yield f"{pod.name} has {[one.get('name') for one in pod.containers]}"
        for name, (cpu, memory) in planned.items():
            container = pod.container(name)
            requests = at(container, "resources.requests") or {}
            if (requests.get("cpu"), requests.get("memory")) != (f"{cpu}m", str(memory)):
                yield f"{pod.name}/{name} asks for {requests}"
            if container.get("image") != pool.runtime.image:
                yield f"{pod.name}/{name} runs {container.get('image')}"


@rule
def a_server_runs_in_the_planned_environment(view: View) -> Complaints:
    for pod, pool in view.servers:
        home = {"HOME": "/ollama", "OLLAMA_MODELS": "/ollama/models"}
        floor = pool.runtime.driver_floor
        probes = {"FLEET_PROOF": pool.gpu_proof, **verification(pool.needs)}
        if floor and pool.gpu_proof != "none":
            probes["FLEET_DRIVER_FLOOR"] = f"{floor[0]} {floor[1]}"
        beside = {
            **pool.pull_environment,
            "FLEET_LOADING": pool.loading,
            "FLEET_OVERRIDE": "/etc/ollama-fleet/override",
            "FLEET_POOL": pool.name,
            "FLEET_PROOF": pool.gpu_proof,
            "FLEET_ROUTES": "/etc/ollama-fleet/routes",
            "FLEET_MODELS": MODELS,
            "OLLAMA_HOST": f"127.0.0.1:{OLLAMA_PORT}",
            "OLLAMA_NO_CLOUD": "1",
            "PULL_DEADLINE": str(pool.pull_deadline),
        }
        for name, wanted in (("ollama", {**pool.environment, **probes}), ("prepare", beside), ("companion", beside)):
            found = {one.get("name"): one.get("value") for one in pod.container(name).get("env") or []}
            if found != {**home, **wanted}:
                yield f"{pod.name}/{name} has {set(found.items()) ^ set({**home, **wanted}.items())}"


@rule
def models_are_brought_before_the_server_beside_it_and_drained_after_it(view: View) -> Complaints:
    for pod, pool in view.servers:
        for name, mode in (("prepare", "init"), ("companion", "watch"), ("ollama", "serve")):
            if pod.container(name).get("command") != ["/bin/sh", SCRIPT, mode]:
                yield f"{pod.name}/{name} runs {pod.container(name).get('command')}"
        if [one.get("name") for one in pod.spec.get("initContainers") or []] != ["prepare"]:
            yield f"{pod.name} does not prepare first"
        command = at(pod.container("ollama"), "lifecycle.preStop.exec.command")
        if command != ["/bin/sh", SCRIPT, "drain", str(pool.drain_limit)]:
            yield f"{pod.name} drains by {command}"
        if (pod.spec.get("terminationGracePeriodSeconds") or 0) != pool.grace_period:
            yield f"{pod.name} is killed while it drains"


@rule
def every_container_of_a_server_sees_the_models_and_the_script(view: View) -> Complaints:
    for pod, pool in view.servers:
        mounted = {
            "/ollama": {"name": "ollama", "emptyDir": {}},
            "/tmp": {"name": "tmp", "emptyDir": {}},
            "/etc/ollama-fleet/prepare": {"name": "prepare", "configMap": {"name": "ollama-prepare"}},
        }
        if pool.volume:
            mounted["/ollama/models"] = {"name": "store", "persistentVolumeClaim": {"claimName": pool.names.models}}
        beside = {
            MODELS: {"name": "models", "configMap": {"name": pool.names.models}},
            "/etc/ollama-fleet/routes": {"name": "routes", "configMap": {"name": "ollama-routes"}},
            "/etc/ollama-fleet/override": {
                "name": "override",
                "configMap": {"name": "ollama-routes-override", "optional": True},
            },
        }
        for container in pod.containers:
            wanted = mounted if container.get("name") == "ollama" else {**mounted, **beside}
            yield from _mounts(pod.name, pod.spec, container, wanted)


@rule
def the_router_reads_program_map_and_hand_edits_and_envoy_what_is_made_of_them(view: View) -> Complaints:
    memory = {"name": "memory", "emptyDir": {"medium": "Memory", "sizeLimit": "64Mi"}}
    edits = {"name": "ollama-routes-override", "optional": True}
    beside = {
        "/run/ollama-fleet": memory,
        "/opt/ollama-fleet/router": {"name": "program", "configMap": {"name": "ollama-router"}},
        "/etc/ollama-fleet/routes": {"name": "routes", "configMap": {"name": "ollama-routes"}},
        "/etc/ollama-fleet/override": {"name": "override", "configMap": edits},
    }
    secrets: dict[str, Any] = {}
    if view.plan.router.keys:
        keys = {"secretName": "ollama-router-keys", "defaultMode": 0o440}
        beside["/etc/ollama-fleet/keys"] = {"name": "keys", "secret": keys}
    if view.plan.router.sites:
        tokens = {"secretName": "ollama-router-tokens", "defaultMode": 0o440, "optional": True}
        beside["/etc/ollama-fleet/tokens"] = {"name": "tokens", "secret": tokens}
    if (pair := view.plan.router.settings.tls) is not None:
        secrets["/etc/ollama-fleet/tls"] = {"name": "tls", "secret": {"secretName": pair, "defaultMode": 0o440}}
    for pod in view.routers:
        envoy = pod.container("envoy")
        yield from _mounts(
            pod.name,
            pod.spec,
            envoy,
            {"/run/ollama-fleet": memory, "/tmp": {"name": "tmp", "emptyDir": {}}, **secrets},
            written={"/tmp"},
        )
        for name in ("configure", "control"):
            yield from _mounts(pod.name, pod.spec, pod.container(name), {**beside, **secrets})
        plan = view.plan.router
        wanted = ["--config-path", "/run/ollama-fleet/bootstrap.json", "--disable-hot-restart"]
        wanted += ["--concurrency", str(plan.threads), "--drain-time-s", str(plan.leave_seconds)]
        if envoy.get("args") != [*wanted, "--log-level", "warning", "--file-flush-interval-msec", "1000"]:
            yield f"it starts with {envoy.get('args')}"


@rule
def the_process_beside_envoy_is_started_and_stopped_with_the_options_of_the_plan(view: View) -> Complaints:
    plan = view.plan.router
    options = [
        *("--map=/etc/ollama-fleet/routes", "--override=/etc/ollama-fleet/override"),
        *(["--keys=/etc/ollama-fleet/keys"] if plan.keys else []),
        *(["--tls=/etc/ollama-fleet/tls"] if plan.settings.tls else []),
        *(["--tokens=/etc/ollama-fleet/tokens"] if plan.sites else []),
        "--directory=/run/ollama-fleet",
        *(f"--port={plan.port}", f"--admin-port={plan.admin_port}", f"--beside-port={plan.beside_port}"),
        f"--spill-port={plan.spill_port}",
        *(f"--metrics-port={plan.metrics_port}", f"--memory={plan.memory_limit}", f"--leave={plan.leave_seconds}"),
        f"--drain-limit={plan.drain_limit}",
    ]
    for pod in view.routers:
        control = pod.container("control")
        for command, mode in (
            (pod.container("configure").get("command"), "init"),
            (control.get("command"), "run"),
            (at(control, "lifecycle.preStop.exec.command"), "drain"),
        ):
            if command != ["python", "-m", "router", mode, *options]:
                yield f"{mode} is {command}"
        for name in ("configure", "control"):
            found = {one.get("name"): one.get("value") for one in pod.container(name).get("env") or []}
            if found != {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": "/opt/ollama-fleet"}:
                yield f"{name} runs with {found}"


def _mounts(
    pod: str, spec: Any, container: Any, wanted: dict[str, Any], *, written: AbstractSet[str] | None = None
) -> Complaints:
    """`written` are the paths that may be written; left out: all but those of ConfigMaps."""
    volumes = {one.get("name"): one for one in spec.get("volumes") or []}
    mounts = {one.get("mountPath"): one for one in container.get("volumeMounts") or []}
    if set(mounts) != set(wanted):
        yield f"{pod}/{container.get('name')} mounts {sorted(map(str, mounts))}"
    for path, volume in wanted.items():
        mount = mounts.get(path, {})
        if volumes.get(mount.get("name")) != volume:
            yield f"{pod}/{container.get('name')}: at {path} stands {volumes.get(mount.get('name'))}"
        fixed = bool(volume.keys() & {"configMap", "secret"}) if written is None else path not in written
        if bool(mount.get("readOnly")) != fixed:
            yield f"{pod}/{container.get('name')}: {path} can be written, or cannot"


@rule
def probes_ask_what_the_server_answers_and_have_patience(view: View) -> Complaints:
    for pod, pool in view.servers:
        server = pod.container("ollama")
        if at(server, "ports") != [{"name": "http", "containerPort": OLLAMA_PORT}]:
            yield f"{pod.name} listens at {at(server, 'ports')}"
        period = at(server, "startupProbe.periodSeconds") or 0
        if at(server, "startupProbe.failureThreshold") != pool.startup_threshold or period != pool.startup_period:
            yield f"{pod.name} has {at(server, 'startupProbe')} to start"
        # a server that loads a model answers late: three minutes at least before it is killed for that
        if (at(server, "livenessProbe.periodSeconds") or 0) * (at(server, "livenessProbe.failureThreshold") or 0) < 180:
            yield f"{pod.name} is killed after {at(server, 'livenessProbe')}"
        if (at(server, "livenessProbe.timeoutSeconds") or 0) < 10:
            yield f"{pod.name} has no time to answer"
        if at(server, "livenessProbe.httpGet") != {"path": "/", "port": "http"}:
            yield f"{pod.name} livenessProbe asks {at(server, 'livenessProbe.httpGet')}"


@rule
def the_script_says_when_a_server_is_started_and_ready(view: View) -> Complaints:
    for pod, _ in view.servers:
        server = pod.container("ollama")
        for probe, mode, seconds in (("startupProbe", "started", 30), ("readinessProbe", "ready", 10)):
            if at(server, f"{probe}.exec.command") != ["/bin/sh", SCRIPT, mode]:
                yield f"{pod.name} {probe} asks {at(server, f'{probe}.exec.command')}"
            if at(server, f"{probe}.timeoutSeconds") != seconds:
                yield f"{pod.name} {probe} waits {at(server, f'{probe}.timeoutSeconds')}"
        if (at(server, "readinessProbe.periodSeconds"), at(server, "readinessProbe.failureThreshold")) != (5, 2):
            yield f"{pod.name} leaves the door late: {at(server, 'readinessProbe')}"


@rule
def a_server_is_not_evicted_by_the_autoscaler_and_rolls_when_its_script_changes(view: View) -> Complaints:
    for pod, _ in view.servers:
        annotations = at(pod.template, "metadata.annotations") or {}
        if annotations.get("cluster-autoscaler.kubernetes.io/safe-to-evict") != "false":
            yield f"{pod.name} may be evicted"
        if not annotations.get("ollama-fleet/prepare"):
            yield f"{pod.name} keeps an old script"


@rule
def a_rollout_needs_no_spare_gpu_and_the_door_stays_open_during_its_own(view: View) -> Complaints:
    for pods, surge, unavailable in (([pod for pod, _ in view.servers], 0, 1), (view.routers, 1, 0)):
        for pod in pods:
            yield from expect(
                pod.owner,
                {
                    "spec.strategy": {
                        "type": "RollingUpdate",
                        "rollingUpdate": {"maxSurge": surge, "maxUnavailable": unavailable},
                    },
                    "spec.revisionHistoryLimit": 3,
                },
            )
    for driver in view.all(DAEMON_SET):
        yield from expect(driver, {"spec.updateStrategy.type": "RollingUpdate"})


@rule
def the_door_is_two_pods_apart_that_leave_before_they_stop(view: View) -> Complaints:
    if (view.cluster_plan) is None:
        return
    plan = view.plan.router
    deployment = view.named(DEPLOYMENT, "fleet-router-deployment")
    if deployment is not None and at(deployment.inputs, "spec.replicas") is not None:
        yield "each up would take its number from the autoscaler"
    yield from expect(
        deployment,
        {
            "spec.template.spec.topologySpreadConstraints": [
                {
                    "maxSkew": 1,
                    "topologyKey": "kubernetes.io/hostname",
                    "whenUnsatisfiable": "ScheduleAnyway",
                    "labelSelector": {"matchLabels": ROUTER_POD},
                }
            ],
        },
    )
    for pod in view.routers:
        if [one.get("name") for one in pod.spec.get("initContainers") or []] != ["configure", "envoy"]:
            yield "Envoy does not start after its files are there"
        grace = pod.spec.get("terminationGracePeriodSeconds") or 0
        if grace < plan.leave_seconds + plan.drain_limit + 5 or plan.leave_seconds < 5:
            yield f"it is killed after {grace} s, while it drains"
        patient = {"periodSeconds": 10, "timeoutSeconds": 5, "failureThreshold": 6}
        quick = {"periodSeconds": 2, "failureThreshold": 2}
        health, ready = {"path": "/healthz", "port": "http"}, {"path": "/readyz", "port": "metrics"}
        control = {
            "image": plan.control_image,
            "resources": {
                "requests": {"cpu": f"{plan.control_cpu_request}m", "memory": str(plan.control_memory_request)},
                "limits": {"memory": str(plan.control_memory_limit)},
            },
        }
        wanted = {
            "configure": control,
            "envoy": {
                "image": plan.image,
                # a native sidecar: it stops when the other, whose hook is the drain, has ended
                "restartPolicy": "Always",
                "ports": [{"name": "http", "containerPort": plan.port}],
                "resources": {
                    "requests": {"cpu": f"{plan.cpu_request}m", "memory": str(plan.memory_request)},
                    "limits": {"memory": str(plan.memory_limit)},
                },
                "startupProbe": {"httpGet": health, "periodSeconds": 1, "failureThreshold": 120},
                "readinessProbe": {"httpGet": health, **quick},
                # no request: some are refused on purpose while streams end, or while memory is short
                "livenessProbe": {"tcpSocket": {"port": "http"}, **patient},
            },
            "control": {
                **control,
                "ports": [{"name": "metrics", "containerPort": plan.metrics_port}],
                "readinessProbe": {"httpGet": ready, **quick},
                "livenessProbe": {"httpGet": {"path": "/livez", "port": "metrics"}, **patient},
            },
        }
        for name, fields in wanted.items():
            for key, value in fields.items():
                if pod.container(name).get(key) != value:
                    yield f"{pod.name}/{name}: {key} is {pod.container(name).get(key)}"
        if not at(pod.template, "metadata.annotations.ollama-fleet/program"):
            yield "it would not restart for a new program"
