"""The pod of the door: Envoy, and the process that keeps it on the map."""

import pulumi
from pulumi_kubernetes.core.v1 import (
    ConfigMapVolumeSourceArgs,
    ContainerArgs,
    ContainerPortArgs,
    EmptyDirVolumeSourceArgs,
    EnvVarArgs,
    ExecActionArgs,
    HTTPGetActionArgs,
    LifecycleArgs,
    LifecycleHandlerArgs,
    PodSpecArgs,
    ProbeArgs,
    SecretVolumeSourceArgs,
    TCPSocketActionArgs,
    TopologySpreadConstraintArgs,
    VolumeArgs,
    VolumeMountArgs,
)
from pulumi_kubernetes.meta.v1 import LabelSelectorArgs

from components import labels, resources
from components.restricted import locked_down, pod_security
from infra.plan import containers
from infra.plan.model import RouterPlan
from infra.plan.naming import OVERRIDE, ROUTER_KEYS, ROUTER_TOKENS
from router.bootstrap import HEALTH

MEMORY_SIZE = "64Mi"
"""Three files, of about 2 MB together for 1,000 models."""
USER = 65532
START_SECONDS = 120
TO_STOP = 15
"""Seconds between the end of the drain and the kill."""


def pod(
    plan: RouterPlan,
    *,
    account: pulumi.Input[str],
    priority_class: pulumi.Input[str] | None,
    program: pulumi.Input[str],
    routes: pulumi.Input[str],
) -> PodSpecArgs:
    """The pod, with the names of its ServiceAccount, priority, and ConfigMaps of the program and of the map."""
    return PodSpecArgs(
        service_account_name=account,
        priority_class_name=priority_class,
        automount_service_account_token=False,
        enable_service_links=False,
        termination_grace_period_seconds=plan.leave_seconds + plan.drain_limit + TO_STOP,
        security_context=pod_security(USER, owns_volumes=False),
        # apart where there are two nodes, together where there is one: a door that waits for a node is closed
        topology_spread_constraints=[
            TopologySpreadConstraintArgs(
                max_skew=1,
                topology_key="kubernetes.io/hostname",
                when_unsatisfiable="ScheduleAnyway",
                label_selector=LabelSelectorArgs(match_labels=labels.router()),
            )
        ],
        # Envoy as a native sidecar: it starts when its files are there and stops when the other has ended, whose hook
        # is the drain; Envoy's own image has nothing that a hook could run
        init_containers=[_control(plan, "init"), _envoy(plan)],
        containers=[_control(plan, "run")],
        volumes=[
            VolumeArgs(name="memory", empty_dir=EmptyDirVolumeSourceArgs(medium="Memory", size_limit=MEMORY_SIZE)),
            VolumeArgs(name="tmp", empty_dir=EmptyDirVolumeSourceArgs()),
            VolumeArgs(name="program", config_map=ConfigMapVolumeSourceArgs(name=program)),
            VolumeArgs(name="routes", config_map=ConfigMapVolumeSourceArgs(name=routes)),
            VolumeArgs(name="override", config_map=ConfigMapVolumeSourceArgs(name=OVERRIDE, optional=True)),
            *_secret("keys", ROUTER_KEYS if plan.keys else None),
            *_secret("tls", plan.settings.tls),
            *_secret("tokens", ROUTER_TOKENS if plan.sites else None, optional=True),
        ],
    )


def _secret(volume: str, name: str | None, *, optional: bool | None = None) -> list[VolumeArgs]:
    """Readable to the group of the pod, which is all that runs in it."""
    source = SecretVolumeSourceArgs(secret_name=name, default_mode=0o440, optional=optional)
    return [VolumeArgs(name=volume, secret=source)] if name else []


def _certificate(plan: RouterPlan) -> list[VolumeMountArgs]:
    return [VolumeMountArgs(name="tls", mount_path=containers.CERTIFICATE, read_only=True)] if plan.settings.tls else []


def _envoy(plan: RouterPlan) -> ContainerArgs:
    return ContainerArgs(
        name="envoy",
        image=plan.image,
        restart_policy="Always",
        args=containers.envoy_arguments(plan),
        ports=[ContainerPortArgs(name="http", container_port=plan.port)],
        resources=resources.bounded(cpu=plan.cpu_request, memory=plan.memory_request, limit=plan.memory_limit),
        security_context=locked_down(),
        # open when its first clusters are looked up and probed
        startup_probe=ProbeArgs(http_get=_door(plan, HEALTH), period_seconds=1, failure_threshold=START_SECONDS),
        readiness_probe=ProbeArgs(http_get=_door(plan, HEALTH), period_seconds=2, failure_threshold=2),
        # not by a request: a door without memory for more refuses it and is alive, and Envoy watches its own threads
        liveness_probe=ProbeArgs(
            tcp_socket=TCPSocketActionArgs(port="http"),
            period_seconds=10,
            timeout_seconds=5,
            failure_threshold=6,
        ),
        volume_mounts=[
            VolumeMountArgs(name="memory", mount_path=containers.MEMORY, read_only=True),
            VolumeMountArgs(name="tmp", mount_path="/tmp"),  # noqa: S108 - the container's own, an emptyDir
            *_certificate(plan),
        ],
    )


def _door(plan: RouterPlan, path: str) -> HTTPGetActionArgs:
    return HTTPGetActionArgs(path=path, port="http", scheme="HTTPS" if plan.settings.tls else None)


def _control(plan: RouterPlan, mode: str) -> ContainerArgs:
    """`init` writes the files that Envoy starts with, `run` keeps them on the map."""
    first = mode == "init"
    return ContainerArgs(
        name="configure" if first else "control",
        image=plan.control_image,
        command=_command(plan, mode),
        env=[
            EnvVarArgs(name="PYTHONDONTWRITEBYTECODE", value="1"),
            EnvVarArgs(name="PYTHONPATH", value=containers.PROGRAM),
        ],
        ports=None if first else [ContainerPortArgs(name="metrics", container_port=plan.metrics_port)],
        resources=resources.bounded(
            cpu=plan.control_cpu_request, memory=plan.control_memory_request, limit=plan.control_memory_limit
        ),
        security_context=locked_down(),
        readiness_probe=None
        if first
        else ProbeArgs(
            http_get=HTTPGetActionArgs(path="/readyz", port="metrics"), period_seconds=2, failure_threshold=2
        ),
        liveness_probe=None
        if first
        else ProbeArgs(
            http_get=HTTPGetActionArgs(path="/livez", port="metrics"),
            period_seconds=10,
            timeout_seconds=5,
            failure_threshold=6,
        ),
        lifecycle=None
        if first
        else LifecycleArgs(pre_stop=LifecycleHandlerArgs(exec_=ExecActionArgs(command=_command(plan, "drain")))),
        volume_mounts=[
            VolumeMountArgs(name="memory", mount_path=containers.MEMORY),
            VolumeMountArgs(name="program", mount_path=f"{containers.PROGRAM}/router", read_only=True),
            VolumeMountArgs(name="routes", mount_path=containers.ROUTES, read_only=True),
            VolumeMountArgs(name="override", mount_path=containers.OVERRIDE, read_only=True),
            *([VolumeMountArgs(name="keys", mount_path=containers.KEYS, read_only=True)] if plan.keys else []),
            *([VolumeMountArgs(name="tokens", mount_path=containers.TOKENS, read_only=True)] if plan.sites else []),
            *_certificate(plan),
        ],
    )


def _command(plan: RouterPlan, mode: str) -> list[str]:
    mounted = {
        "map": containers.ROUTES,
        "override": containers.OVERRIDE,
        **({"keys": containers.KEYS} if plan.keys else {}),
        **({"tls": containers.CERTIFICATE} if plan.settings.tls else {}),
        **({"tokens": containers.TOKENS} if plan.sites else {}),
    }
    return ["python", "-m", "router", mode, *containers.router_options(plan, mounted)]
