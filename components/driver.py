"""NVIDIA's driver on the nodes of one pool."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pulumi
from pulumi_kubernetes.apps.v1 import DaemonSet, DaemonSetSpecArgs, DaemonSetUpdateStrategyArgs
from pulumi_kubernetes.core.v1 import (
    ContainerArgs,
    EnvVarArgs,
    HostPathVolumeSourceArgs,
    NodeSelectorRequirementArgs,
    NodeSelectorTermArgs,
    PodSpecArgs,
    PodTemplateSpecArgs,
    SecurityContextArgs,
    TolerationArgs,
    VolumeArgs,
    VolumeMountArgs,
)
from pulumi_kubernetes.meta.v1 import LabelSelectorArgs, ObjectMetaArgs

from components import affinity, labels, resources
from infra.plan.model import DriverPlan, PoolPlan

SCRIPTS = Path(__file__).parent / "scripts"
WAIT_SECONDS = 600
"""For a driver that somebody else installs: GKE does so while the node starts."""
TIMEOUT = "30m"

HOST_PATHS = {
    "cos": {
        "dev": ("/dev", "/dev"),
        "nvidia": ("/home/kubernetes/bin/nvidia", "/usr/local/nvidia"),
        "vulkan": ("/home/kubernetes/bin/nvidia/vulkan/icd.d", "/etc/vulkan/icd.d"),
        "root": ("/", "/root"),
        "cos-tools": ("/var/lib/cos-tools", "/build/cos-tools"),
    },
    "ubuntu": {"dev": ("/dev", "/dev"), "boot": ("/boot", "/boot"), "root": ("/", "/root")},
}
"""Name -> (path on the node, path in the installer), as Google's own installers expect them
(container-engine-accelerators @992db812, 2026-06-11)."""

COS_ENVIRONMENT = {
    "NVIDIA_INSTALL_DIR_HOST": "/home/kubernetes/bin/nvidia",
    "NVIDIA_INSTALL_DIR_CONTAINER": "/usr/local/nvidia",
    "VULKAN_ICD_DIR_HOST": "/home/kubernetes/bin/nvidia/vulkan/icd.d",
    "VULKAN_ICD_DIR_CONTAINER": "/etc/vulkan/icd.d",
    "ROOT_MOUNT_DIR": "/root",
    "COS_TOOLS_DIR_HOST": "/var/lib/cos-tools",
    "COS_TOOLS_DIR_CONTAINER": "/build/cos-tools",
}


@dataclass(frozen=True, kw_only=True)
class DriverArgs:
    """The pool whose driver it is, and the namespace that may hold privileged pods."""

    pool: PoolPlan
    namespace: pulumi.Input[str]
    after: Sequence[pulumi.Resource] = ()
    """What the DaemonSet waits for: a component's own `depends_on` does not reach its children."""


class Driver(pulumi.ComponentResource):
    """`ollama-fleet:components:Driver`: one DaemonSet, whose init containers install the planned driver and verify it.

    With `driver: gke` Google installs it, and the DaemonSet only verifies.
    """

    daemon_set: DaemonSet

    def __init__(self, name: str, args: DriverArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("ollama-fleet:components:Driver", name, {}, opts)
        pool = args.pool
        own = {"app.kubernetes.io/name": "nvidia-driver", labels.POOL: pool.name}
        self.daemon_set = DaemonSet(
            f"{name}-daemon-set",
            metadata=ObjectMetaArgs(
                name=pool.names.driver, namespace=args.namespace, labels={**own, **labels.MANAGED_BY}
            ),
            spec=DaemonSetSpecArgs(
                selector=LabelSelectorArgs(match_labels=own),
                update_strategy=DaemonSetUpdateStrategyArgs(type="RollingUpdate"),
                template=PodTemplateSpecArgs(metadata=ObjectMetaArgs(labels=own), spec=_pod(pool)),
            ),
            opts=pulumi.ResourceOptions(
                parent=self,
                depends_on=list(args.after),
                custom_timeouts=pulumi.CustomTimeouts(create=TIMEOUT, update=TIMEOUT),
            ),
        )
        self.register_outputs({"name": self.daemon_set.metadata.name})


def _pod(pool: PoolPlan) -> PodSpecArgs:
    driver = pool.driver
    paths = HOST_PATHS[driver.operating_system]
    installs = driver.mode == "installer"
    return PodSpecArgs(
        priority_class_name="system-node-critical",
        # a node without its driver is of no use: no taint keeps this pod away
        tolerations=[TolerationArgs(operator="Exists")],
        host_network=True,
        host_pid=True,
        automount_service_account_token=False,
        affinity=affinity.nodes([NodeSelectorTermArgs(match_expressions=_nodes(pool))]),
        volumes=[
            VolumeArgs(name=volume, host_path=HostPathVolumeSourceArgs(path=host))
            for volume, (host, _) in sorted(paths.items())
        ]
        if installs
        else None,
        init_containers=[
            *([_installer(driver, paths)] if installs else []),
            verifier(driver, 0 if installs else WAIT_SECONDS),
        ],
        containers=[
            ContainerArgs(
                name="pause",
                image=driver.pause_image,
                resources=resources.unbounded(driver.pause),
                security_context=SecurityContextArgs(allow_privilege_escalation=False, read_only_root_filesystem=True),
            )
        ],
    )


def _nodes(pool: PoolPlan) -> list[NodeSelectorRequirementArgs]:
    ours = NodeSelectorRequirementArgs(key=labels.POOL, operator="In", values=[pool.name])
    # nodes on which Google installs a driver carry this label; two installers on one node would break each other
    not_googles = NodeSelectorRequirementArgs(key="cloud.google.com/gke-gpu-driver-version", operator="DoesNotExist")
    return [ours] if pool.driver.mode == "gke" else [ours, not_googles]


def _installer(driver: DriverPlan, paths: dict[str, tuple[str, str]]) -> ContainerArgs:
    cos = driver.operating_system == "cos"
    environment = (
        {**COS_ENVIRONMENT, "DRIVER_REQUEST": driver.request} if cos else {"NVIDIA_DRIVER_VERSION": driver.request}
    )
    return ContainerArgs(
        name="install",
        image=driver.image,
        # Google preloads it on the node; there is no registry that has it
        image_pull_policy="Never",
        command=["/bin/sh", "-c", (SCRIPTS / "install_driver_cos.sh").read_text()] if cos else None,
        env=[EnvVarArgs(name=key, value=value) for key, value in sorted(environment.items())],
        resources=resources.unbounded(driver.installer),
        security_context=SecurityContextArgs(privileged=True),
        volume_mounts=[
            VolumeMountArgs(name=volume, mount_path=inside) for volume, (_, inside) in sorted(paths.items())
        ],
    )


def verifier(driver: DriverPlan, seconds: int = WAIT_SECONDS) -> ContainerArgs:
    """Waits until the planned driver is loaded on the node, and fails where another one is, or none comes."""
    environment = {
        "DRIVER_EXPECTED": driver.expected,
        "DRIVER_WAIT_SECONDS": str(seconds),
    }
    return ContainerArgs(
        name="verify",
        image=driver.image,
        image_pull_policy="Never",
        command=["/bin/sh", "-c", (SCRIPTS / "verify_driver.sh").read_text()],
        env=[EnvVarArgs(name=key, value=value) for key, value in environment.items()],
        resources=resources.unbounded(driver.verifier),
        security_context=SecurityContextArgs(allow_privilege_escalation=False),
    )
