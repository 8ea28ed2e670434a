"""KEDA, which takes pools from no pod to one and asks the routers for the autoscalers' figure."""

from dataclasses import dataclass

import pulumi
from pulumi_kubernetes.helm.v3 import Release, RepositoryOptsArgs

from components import resources
from infra.plan.model import KedaPlan

NAME = "keda"
TIMEOUT_SECONDS = 600


@dataclass(frozen=True, kw_only=True)
class KedaArgs:
    """Which KEDA, and the priority of its pods."""

    plan: KedaPlan
    priority_class: pulumi.Input[str]


class Keda(pulumi.ComponentResource):
    """`ollama-fleet:components:Keda`: KEDA's own Helm chart, pinned. It tolerates nothing, so no GPU node takes it."""

    release: Release

    def __init__(self, name: str, args: KedaArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("ollama-fleet:components:Keda", name, {}, opts)
        plan = args.plan
        self.release = Release(
            f"{name}-release",
            name=NAME,
            namespace=plan.namespace,
            create_namespace=True,
            chart=plan.chart,
            version=plan.version,
            repository_opts=RepositoryOptsArgs(repo=plan.repository),
            timeout=TIMEOUT_SECONDS,
            values={
                "priorityClassName": args.priority_class,
                # what they check is checked before `up`, and each pod more takes room from the routers
                "webhooks": {"enabled": False},
                # the door of a private cluster's control plane, without a firewall rule of our own
                "service": {"portHttpsTarget": plan.metrics_port},
                # Deployments are all that it scales here
                "rbac": {"enabledCustomScaledRefKinds": False},
                "resources": {
                    name: {"requests": resources.requests(asked), "limits": resources.limits(asked)}
                    for name, asked in (("operator", plan.operator), ("metricServer", plan.metrics_server))
                },
            },
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.register_outputs({"version": plan.version})
