"""What changes the number of a pool's replicas: KEDA by requests in flight, or a plain autoscaler by utilization."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pulumi
from pulumi_kubernetes.apiextensions import CustomResource
from pulumi_kubernetes.autoscaling.v2 import (
    CrossVersionObjectReferenceArgs,
    HorizontalPodAutoscaler,
    HorizontalPodAutoscalerBehaviorArgs,
    HorizontalPodAutoscalerSpecArgs,
    HPAScalingPolicyArgs,
    HPAScalingRulesArgs,
    MetricSpecArgs,
    MetricTargetArgs,
    ResourceMetricSourceArgs,
)
from pulumi_kubernetes.meta.v1 import ObjectMetaArgs

from components import labels
from infra.plan.model import PoolPlan, ScalingPlan
from infra.plan.naming import ROUTER_METRICS
from router.metrics import IN_FLIGHT, POOLS


@dataclass(frozen=True, kw_only=True)
class ScalerArgs:
    """The pool, the name of its Deployment, and where the routers tell their figures."""

    pool: PoolPlan
    namespace: pulumi.Input[str]
    deployment: pulumi.Input[str]
    metrics_port: int
    after: Sequence[pulumi.Resource] = ()
    """KEDA, where the program installs it: it also has to take its leave of what it scales."""


class Scaler(pulumi.ComponentResource):
    """`ollama-fleet:components:Scaler`: a ScaledObject of KEDA or a HorizontalPodAutoscaler for the Deployment of a
    pool."""

    def __init__(self, name: str, args: ScalerArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("ollama-fleet:components:Scaler", name, {}, opts)
        pool = args.pool
        metadata = ObjectMetaArgs(
            name=pool.names.workload,
            namespace=args.namespace,
            labels={**labels.server(pool.name), **labels.MANAGED_BY},
        )
        if pool.scaling.by_keda:
            CustomResource(
                f"{name}-scaled-object",
                api_version="keda.sh/v1alpha1",
                kind="ScaledObject",
                metadata=metadata,
                spec=_scaled_object(args),
                opts=pulumi.ResourceOptions(parent=self, depends_on=list(args.after)),
            )
        else:
            HorizontalPodAutoscaler(
                f"{name}-autoscaler",
                metadata=metadata,
                spec=_by_utilization(args),
                opts=pulumi.ResourceOptions(parent=self),
            )
        self.register_outputs({"by": pool.scaling.by})


def _scaled_object(args: ScalerArgs) -> dict[str, Any]:
    """Without a fallback: where the figure is missing, both KEDA and its autoscaler leave the number alone."""
    pool, scaling = args.pool, args.pool.scaling
    sleeping = {"cooldownPeriod": scaling.sleep.idle_after} if scaling.sleep else {}
    return {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": args.deployment},
        "minReplicaCount": pool.replicas.min,
        "maxReplicaCount": pool.replicas.max,
        "pollingInterval": scaling.look_every,
        **sleeping,
        "advanced": {
            "horizontalPodAutoscalerConfig": {
                "behavior": {
                    "scaleUp": _pace(scaling.up_after, scaling.up_every),
                    "scaleDown": _pace(scaling.down_after, scaling.down_every),
                }
            }
        },
        "triggers": [_in_flight(args), *_windows(scaling)],
    }


def _pace(after: int, every: int) -> dict[str, Any]:
    return {
        "stabilizationWindowSeconds": after,
        "policies": [{"type": "Pods", "value": 1, "periodSeconds": every}],
    }


def _in_flight(args: ScalerArgs) -> dict[str, Any]:
    """The sum over all routers. KEDA asks each address behind the Service by itself, on the port named here, and knows
    the Service by the first two words of the host."""
    host = pulumi.Output.concat(ROUTER_METRICS, ".", args.namespace, f".svc.cluster.local:{args.metrics_port}")
    return {
        "type": "metrics-api",
        "metadata": {
            "url": pulumi.Output.concat("http://", host, POOLS),
            "format": "prometheus",
            "valueLocation": f'{IN_FLIGHT}{{pool="{args.pool.name}"}}',
            "aggregateFromKubeServiceEndpoints": "true",
            "aggregationType": "sum",
            "targetValue": str(args.pool.scaling.target),
            "activationTargetValue": "0",
        },
    }


def _windows(scaling: ScalingPlan) -> list[dict[str, Any]]:
    return [
        {
            "type": "cron",
            "metadata": {
                "timezone": window.timezone,
                "start": window.start,
                "end": window.end,
                "desiredReplicas": str(window.replicas),
            },
        }
        for window in scaling.windows
    ]


def _by_utilization(args: ScalerArgs) -> HorizontalPodAutoscalerSpecArgs:
    pool, scaling = args.pool, args.pool.scaling
    return HorizontalPodAutoscalerSpecArgs(
        scale_target_ref=CrossVersionObjectReferenceArgs(
            api_version="apps/v1", kind="Deployment", name=args.deployment
        ),
        min_replicas=pool.replicas.min,
        max_replicas=pool.replicas.max,
        metrics=[
            MetricSpecArgs(
                type="Resource",
                resource=ResourceMetricSourceArgs(
                    name=resource, target=MetricTargetArgs(type="Utilization", average_utilization=scaling.target)
                ),
            )
            for resource in ("cpu", "memory")
        ],
        behavior=HorizontalPodAutoscalerBehaviorArgs(
            scale_up=_rules(scaling.up_after, scaling.up_every),
            scale_down=_rules(scaling.down_after, scaling.down_every),
        ),
    )


def _rules(after: int, every: int) -> HPAScalingRulesArgs:
    return HPAScalingRulesArgs(
        stabilization_window_seconds=after,
        policies=[HPAScalingPolicyArgs(type="Pods", value=1, period_seconds=every)],
    )
