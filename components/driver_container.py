"""NVIDIA's driver in a container, on machines of a Kubernetes site that have none."""

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
from pulumi_kubernetes.apps.v1 import DaemonSet, DaemonSetSpecArgs, DaemonSetUpdateStrategyArgs
from pulumi_kubernetes.core.v1 import (
    ContainerArgs,
    EnvVarArgs,
    ExecActionArgs,
    HostPathVolumeSourceArgs,
    NodeSelectorRequirementArgs,
    NodeSelectorTermArgs,
    PodSpecArgs,
    PodTemplateSpecArgs,
    ProbeArgs,
    SecurityContextArgs,
    TolerationArgs,
    VolumeArgs,
    VolumeMountArgs,
)
from pulumi_kubernetes.meta.v1 import LabelSelectorArgs, ObjectMetaArgs

from components import affinity, labels, resources
from infra.plan.model import SiteDriver
from infra.plan.naming import COMPONENT, DRIVER_CONTAINER

PROPAGATED = "Bidirectional"
MOUNTS = {
    "run-nvidia": ("/run/nvidia", "/run/nvidia", "DirectoryOrCreate"),
    "var-log": ("/var/log", "/var/log", None),
    "firmware": ("/run/nvidia/driver/lib/firmware", "/lib/firmware", "DirectoryOrCreate"),
    "firmware-path": ("/sys/module/firmware_class/parameters/path", "/sys/module/firmware_class/parameters/path", None),
}
"""Name -> (path on the machine, path in the container, what the path is), as NVIDIA's operator mounts them for a driver
alone (NVIDIA/gpu-operator assets/state-driver/0500_daemonset.yaml @a22dbf67, 2026-08-21)."""
CHECK = "nvidia-smi --query-gpu=driver_version --format=csv,noheader | grep -q -x -F {version}"


@dataclass(frozen=True, kw_only=True)
class DriverContainerArgs:
    """Which driver, on which machines, and the namespace that may hold privileged pods."""

    driver: SiteDriver
    namespace: pulumi.Input[str]
    after: Sequence[pulumi.Resource] = ()
    """What the DaemonSet waits for: a component's own `depends_on` does not reach its children."""


class DriverContainer(pulumi.ComponentResource):
    """`ollama-fleet:components:DriverContainer`: one DaemonSet, whose pods compile, load and keep the planned driver.

    It never follows a change by itself: taking a driver away from under servers stops them all.
    """

    daemon_set: DaemonSet

    def __init__(self, name: str, args: DriverContainerArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("ollama-fleet:components:DriverContainer", name, {}, opts)
        driver = args.driver
        own = {"app.kubernetes.io/name": driver.name, COMPONENT: DRIVER_CONTAINER}
        self.daemon_set = DaemonSet(
            f"{name}-daemon-set",
            metadata=ObjectMetaArgs(
                name=driver.name,
                namespace=args.namespace,
                labels={**own, **labels.MANAGED_BY},
                # a machine may be off, or compile for a quarter of an hour: the servers wait by themselves
                annotations=labels.NO_WAIT,
            ),
            spec=DaemonSetSpecArgs(
                selector=LabelSelectorArgs(match_labels=own),
                update_strategy=DaemonSetUpdateStrategyArgs(type="OnDelete"),
                template=PodTemplateSpecArgs(metadata=ObjectMetaArgs(labels=own), spec=_pod(driver)),
            ),
            opts=pulumi.ResourceOptions(parent=self, depends_on=list(args.after)),
        )
        self.register_outputs({"name": self.daemon_set.metadata.name})


def _pod(driver: SiteDriver) -> PodSpecArgs:
    flavour = {"KERNEL_MODULE_TYPE": driver.modules} if driver.modules else {}
    environment = {
        # one that starts again finds its modules in use and must not try to replace them: builds since 2026-01-15 look
        # at this (NVIDIA/gpu-driver-container @85678ce), those before wait until no server uses the card
        "DRIVER_CONFIG_DIGEST": f"{driver.image.rpartition(':')[2]}{f'-{driver.modules}' if driver.modules else ''}",
        **flavour,
    }
    return PodSpecArgs(
        priority_class_name="system-node-critical",
        tolerations=[TolerationArgs(operator="Exists")],
        host_pid=True,
        automount_service_account_token=False,
        affinity=affinity.nodes([_term(node, driver) for node in driver.nodes]),
        containers=[
            ContainerArgs(
                name="driver",
                image=driver.image,
                args=["init"],
                command=["nvidia-driver"],
                env=[EnvVarArgs(name=key, value=value) for key, value in sorted(environment.items())],
                resources=resources.unbounded(driver.asks),
                security_context=SecurityContextArgs(privileged=True),
                volume_mounts=[
                    VolumeMountArgs(
                        name=name, mount_path=inside, mount_propagation=PROPAGATED if name == "run-nvidia" else None
                    )
                    for name, (_, inside, _) in MOUNTS.items()
                ],
                # headers are fetched and modules compiled first
                startup_probe=ProbeArgs(
                    exec_=ExecActionArgs(command=["sh", "-c", CHECK.format(version=driver.version)]),
                    initial_delay_seconds=60,
                    period_seconds=10,
                    timeout_seconds=60,
                    failure_threshold=120,
                ),
            )
        ],
        volumes=[
            VolumeArgs(name=name, host_path=HostPathVolumeSourceArgs(path=host, type=kind))
            for name, (host, _, kind) in MOUNTS.items()
        ],
    )


def _term(node: str, driver: SiteDriver) -> NodeSelectorTermArgs:
    """By name, since nothing on a machine says what it runs; a field may be held against one value only."""
    return NodeSelectorTermArgs(
        match_fields=[NodeSelectorRequirementArgs(key="metadata.name", operator="In", values=[node])],
        match_expressions=[
            NodeSelectorRequirementArgs(key="kubernetes.io/arch", operator="In", values=list(driver.architectures))
        ],
    )
