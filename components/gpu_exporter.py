"""NVIDIA's exporter of what the GPUs themselves show, on the nodes of the pools that have it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pulumi
from pulumi_kubernetes.apiextensions import CustomResource
from pulumi_kubernetes.apps.v1 import DaemonSet, DaemonSetSpecArgs, DaemonSetUpdateStrategyArgs
from pulumi_kubernetes.core.v1 import (
    ConfigMap,
    ConfigMapVolumeSourceArgs,
    ContainerArgs,
    ContainerPortArgs,
    EnvVarArgs,
    EnvVarSourceArgs,
    HostPathVolumeSourceArgs,
    HTTPGetActionArgs,
    ObjectFieldSelectorArgs,
    PodSpecArgs,
    PodTemplateSpecArgs,
    ProbeArgs,
    SecurityContextArgs,
    VolumeArgs,
    VolumeMountArgs,
)
from pulumi_kubernetes.meta.v1 import LabelSelectorArgs, ObjectMetaArgs
from pulumi_kubernetes.networking.v1 import (
    NetworkPolicy,
    NetworkPolicyIngressRuleArgs,
    NetworkPolicyPeerArgs,
    NetworkPolicyPortArgs,
    NetworkPolicySpecArgs,
)

from components import labels, resources
from components.driver import verifier
from components.monitoring import GOOGLE, OPERATOR, PATH, scraped
from infra.names import fingerprint
from infra.plan.model import GpuExporterPlan, PoolPlan
from infra.plan.naming import GPU_EXPORTER

NODES_LIBRARIES = "/home/kubernetes/bin/nvidia"
LIBRARIES = "/usr/local/nvidia"
"""Where a driver's libraries are on GKE's nodes, and where its device plugin puts them for containers."""
FOLDER = "/etc/ollama-fleet/gpus"
FILE = "counters.csv"
EVERY = "30s"
"""As often as the exporter reads them."""
POOL = "pool"
"""The label of pods that every kind of scraper hands on as it stands."""


@dataclass(frozen=True, kw_only=True)
class GpuExporterArgs:
    """Who scrapes, what is read on which pools, and the namespace that may hold privileged pods."""

    plan: GpuExporterPlan
    kind: str
    pools: Sequence[PoolPlan]
    namespace: pulumi.Input[str]
    after: Sequence[pulumi.Resource] = ()


class GpuExporter(pulumi.ComponentResource):
    """`ollama-fleet:components:GpuExporter`: a DaemonSet for each pool, the ConfigMap of what they read, a
    NetworkPolicy that lets in scrapers alone, and a PodMonitoring or PodMonitor where one is needed."""

    def __init__(self, name: str, args: GpuExporterArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("ollama-fleet:components:GpuExporter", name, {}, opts)
        plan, own = args.plan, labels.client(GPU_EXPORTER)
        child = pulumi.ResourceOptions(parent=self, depends_on=list(args.after))

        def metadata(object_name: str, **more: Any) -> ObjectMetaArgs:
            return ObjectMetaArgs(
                name=object_name, namespace=args.namespace, labels={**own, **labels.MANAGED_BY}, **more
            )

        counters = ConfigMap(
            f"{name}-counters", metadata=metadata(GPU_EXPORTER), data={FILE: plan.counters}, opts=child
        )
        for pool in args.pools:
            its = {**own, labels.POOL: pool.name}
            DaemonSet(
                f"{name}-{pool.name}",
                metadata=ObjectMetaArgs(
                    name=pool.names.gpu_exporter,
                    namespace=args.namespace,
                    labels={**its, **labels.MANAGED_BY},
                    # whoever only looks on must not make `up` fail
                    annotations=labels.NO_WAIT,
                ),
                spec=DaemonSetSpecArgs(
                    selector=LabelSelectorArgs(match_labels=its),
                    update_strategy=DaemonSetUpdateStrategyArgs(type="RollingUpdate"),
                    template=PodTemplateSpecArgs(
                        metadata=ObjectMetaArgs(
                            labels={**its, POOL: pool.name},
                            annotations={
                                "ollama-fleet/counters": fingerprint(plan.counters),
                                **scraped(args.kind, plan.port),
                            },
                        ),
                        spec=_pod(plan, pool, counters.metadata.name),
                    ),
                ),
                opts=child,
            )
        NetworkPolicy(f"{name}-network-policy", metadata=metadata(GPU_EXPORTER), spec=_network_policy(own), opts=child)
        if (scrape := _scrape(args.kind, own)) is not None:
            CustomResource(
                f"{name}-scrape",
                api_version=scrape["apiVersion"],
                kind=scrape["kind"],
                metadata=metadata(GPU_EXPORTER),
                spec=scrape["spec"],
                opts=child,
            )
        self.register_outputs({})


def _pod(plan: GpuExporterPlan, pool: PoolPlan, counters: pulumi.Input[str]) -> PodSpecArgs:
    return PodSpecArgs(
        automount_service_account_token=False,
        enable_service_links=False,
        node_selector=labels.node(pool.name, None),
        tolerations=labels.tolerations(pool.name, gpu=True),
        # device files and libraries are there once the driver is: a container sees those of its own start
        init_containers=[verifier(pool.driver)],
        containers=[
            ContainerArgs(
                name="exporter",
                image=plan.image,
                args=["--collectors", f"{FOLDER}/{FILE}", "--address", f":{plan.port}"],
                env=[
                    EnvVarArgs(name="LD_LIBRARY_PATH", value=f"{LIBRARIES}/lib64"),
                    EnvVarArgs(
                        name="NODE_NAME",
                        value_from=EnvVarSourceArgs(field_ref=ObjectFieldSelectorArgs(field_path="spec.nodeName")),
                    ),
                ],
                ports=[ContainerPortArgs(name="metrics", container_port=plan.port)],
                resources=resources.bounded(cpu=plan.cpu_request, memory=plan.memory_request, limit=plan.memory_limit),
                # without NVIDIA's container runtime, and without taking a GPU from a server, there is no other way
                security_context=SecurityContextArgs(privileged=True),
                liveness_probe=_asked(period=30, failures=4),
                readiness_probe=_asked(period=10, failures=3),
                volume_mounts=[
                    VolumeMountArgs(name="libraries", mount_path=LIBRARIES, read_only=True),
                    VolumeMountArgs(name="counters", mount_path=FOLDER, read_only=True),
                ],
            )
        ],
        volumes=[
            VolumeArgs(name="libraries", host_path=HostPathVolumeSourceArgs(path=NODES_LIBRARIES)),
            VolumeArgs(name="counters", config_map=ConfigMapVolumeSourceArgs(name=counters)),
        ],
    )


def _asked(*, period: int, failures: int) -> ProbeArgs:
    return ProbeArgs(
        http_get=HTTPGetActionArgs(path="/health", port="metrics"),
        initial_delay_seconds=45,
        period_seconds=period,
        timeout_seconds=5,
        failure_threshold=failures,
    )


def _network_policy(own: Mapping[str, str]) -> NetworkPolicySpecArgs:
    """Scrapers of the cluster come in; it calls nobody."""
    return NetworkPolicySpecArgs(
        pod_selector=LabelSelectorArgs(match_labels=own),
        policy_types=["Ingress", "Egress"],
        ingress=[
            NetworkPolicyIngressRuleArgs(
                ports=[NetworkPolicyPortArgs(port="metrics", protocol="TCP")],
                from_=[NetworkPolicyPeerArgs(namespace_selector=LabelSelectorArgs())],
            )
        ],
    )


def _scrape(kind: str, own: Mapping[str, str]) -> Mapping[str, Any] | None:
    """None where annotations say it."""
    selector, endpoint = {"matchLabels": dict(own)}, {"port": "metrics", "path": PATH, "interval": EVERY}
    if kind == "managed":
        spec = {"selector": selector, "endpoints": [endpoint], "targetLabels": {"fromPod": [{"from": POOL}]}}
        return {"apiVersion": GOOGLE, "kind": "PodMonitoring", "spec": spec}
    if kind == "serviceMonitor":
        spec = {"selector": selector, "podMetricsEndpoints": [endpoint], "podTargetLabels": [POOL]}
        return {"apiVersion": OPERATOR, "kind": "PodMonitor", "spec": spec}
    return None
