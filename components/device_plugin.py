"""NVIDIA's device plugin, for a cluster that has none: it tells Kubernetes of the GPUs."""

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
from pulumi_kubernetes.apps.v1 import DaemonSet, DaemonSetSpecArgs
from pulumi_kubernetes.core.v1 import (
    CapabilitiesArgs,
    ContainerArgs,
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
from infra.plan.model import Asked

NAME = "nvidia-device-plugin"
SOCKETS = "/var/lib/kubelet/device-plugins"


@dataclass(frozen=True, kw_only=True)
class DevicePluginArgs:
    """The pools with GPUs at the site, and the namespace that may hold pods with the kubelet's sockets."""

    pools: Sequence[str]
    image: str
    asked: Asked
    namespace: pulumi.Input[str]
    runtime_class: str | None = None


class DevicePlugin(pulumi.ComponentResource):
    """`ollama-fleet:components:DevicePlugin`: one DaemonSet, on the nodes of the fleet's pools and no others."""

    daemon_set: DaemonSet

    def __init__(self, name: str, args: DevicePluginArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("ollama-fleet:components:DevicePlugin", name, {}, opts)
        own = {"app.kubernetes.io/name": NAME}
        # a node of any of the pools: terms are alternatives
        terms = [
            NodeSelectorTermArgs(
                match_expressions=[NodeSelectorRequirementArgs(key=labels.of_site(pool), operator="Exists")]
            )
            for pool in args.pools
        ]
        self.daemon_set = DaemonSet(
            f"{name}-daemon-set",
            metadata=ObjectMetaArgs(name=NAME, namespace=args.namespace, labels={**own, **labels.MANAGED_BY}),
            spec=DaemonSetSpecArgs(
                selector=LabelSelectorArgs(match_labels=own),
                template=PodTemplateSpecArgs(
                    metadata=ObjectMetaArgs(labels=own),
                    spec=PodSpecArgs(
                        automount_service_account_token=False,
                        runtime_class_name=args.runtime_class,
                        tolerations=[TolerationArgs(operator="Exists")],
                        affinity=affinity.nodes(terms),
                        volumes=[VolumeArgs(name="sockets", host_path=HostPathVolumeSourceArgs(path=SOCKETS))],
                        containers=[
                            ContainerArgs(
                                name="plugin",
                                image=args.image,
                                resources=resources.unbounded(args.asked),
                                security_context=SecurityContextArgs(
                                    allow_privilege_escalation=False, capabilities=CapabilitiesArgs(drop=["ALL"])
                                ),
                                volume_mounts=[VolumeMountArgs(name="sockets", mount_path=SOCKETS)],
                            )
                        ],
                    ),
                ),
            ),
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.register_outputs({"name": self.daemon_set.metadata.name})
