"""The door: Envoy, following the map in the ConfigMap `ollama-routes`."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import pulumi
from pulumi_kubernetes.apps.v1 import (
    Deployment,
    DeploymentSpecArgs,
    DeploymentStrategyArgs,
    RollingUpdateDeploymentArgs,
)
from pulumi_kubernetes.autoscaling.v2 import (
    CrossVersionObjectReferenceArgs,
    HorizontalPodAutoscaler,
    HorizontalPodAutoscalerSpecArgs,
    MetricSpecArgs,
    MetricTargetArgs,
    ResourceMetricSourceArgs,
)
from pulumi_kubernetes.core.v1 import (
    ConfigMap,
    PodSpecArgs,
    PodTemplateSpecArgs,
    Service,
    ServiceAccount,
    ServicePortArgs,
    ServiceSpecArgs,
)
from pulumi_kubernetes.meta.v1 import LabelSelectorArgs, ObjectMetaArgs
from pulumi_kubernetes.networking.v1 import (
    NetworkPolicy,
    NetworkPolicyIngressRuleArgs,
    NetworkPolicyPortArgs,
    NetworkPolicySpecArgs,
)
from pulumi_kubernetes.policy.v1 import PodDisruptionBudget, PodDisruptionBudgetSpecArgs

from components import exposed, labels
from components.router_pod import pod
from infra.names import fingerprint
from infra.plan import containers
from infra.plan.model import RouterPlan
from infra.plan.naming import ROUTER, ROUTER_METRICS, ROUTES
from router.program import program


@dataclass(frozen=True, kw_only=True)
class RouterArgs:
    """What the door is, and where it lives."""

    plan: RouterPlan
    namespace: pulumi.Input[str]
    priority_class: pulumi.Input[str] | None = None
    """Left out at a site: such a class is the whole cluster's, and that is not ours."""
    address: pulumi.Input[str] | None = None
    """Reserved for a public door."""
    metrics_annotations: Mapping[str, str] = field(default_factory=dict)
    """Of the Service of metrics, for a scraper that looks for them."""


class Router(pulumi.ComponentResource):
    """`ollama-fleet:components:Router`: ServiceAccount, ConfigMaps of the map and of the program, Deployment and its
    HorizontalPodAutoscaler, Services of the door and of its metrics, NetworkPolicy and PodDisruptionBudget.

    The map is not part of the pod template: a changed one takes effect in the running pods.
    """

    service: Service
    endpoint: pulumi.Output[str]
    routes: pulumi.Output[str]
    """The name of the ConfigMap that holds the map."""

    def __init__(self, name: str, args: RouterArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("ollama-fleet:components:Router", name, {}, opts)
        plan, namespace = args.plan, args.namespace
        own = labels.router()
        child = pulumi.ResourceOptions(parent=self)

        def metadata(object_name: str, annotations: Mapping[str, str] | None = None) -> ObjectMetaArgs:
            return ObjectMetaArgs(
                name=object_name,
                namespace=namespace,
                labels={**own, **labels.MANAGED_BY},
                annotations=annotations or None,
            )

        account = ServiceAccount(
            f"{name}-account", metadata=metadata(ROUTER), automount_service_account_token=False, opts=child
        )
        routes = ConfigMap(
            f"{name}-routes", metadata=metadata(ROUTES), data=containers.map_files(plan, plan.authorities), opts=child
        )
        self.routes = routes.metadata.apply(lambda its: str(its.name))
        files = program()
        its_program = ConfigMap(f"{name}-program", metadata=metadata(ROUTER), data=files, opts=child)
        its_pod = pod(
            plan,
            account=account.metadata.name,
            priority_class=args.priority_class,
            program=its_program.metadata.name,
            routes=routes.metadata.name,
        )
        deployment = Deployment(
            f"{name}-deployment", metadata=metadata(ROUTER), spec=_deployment(own, files, its_pod), opts=child
        )
        HorizontalPodAutoscaler(
            f"{name}-autoscaler",
            metadata=metadata(ROUTER),
            spec=_autoscaler(plan, deployment.metadata.name),
            opts=child,
        )
        settings = plan.settings
        self.service = Service(
            f"{name}-service",
            metadata=metadata(ROUTER, exposed.annotations(settings)),
            spec=exposed.service(settings, own, tls=settings.tls is not None, target_port="http", address=args.address),
            opts=child,
        )
        Service(
            f"{name}-metrics-service",
            metadata=metadata(ROUTER_METRICS, args.metrics_annotations),
            spec=_metrics_service(plan, own),
            opts=child,
        )
        NetworkPolicy(f"{name}-network-policy", metadata=metadata(ROUTER), spec=_network_policy(plan, own), opts=child)
        PodDisruptionBudget(
            f"{name}-disruption-budget",
            metadata=metadata(ROUTER),
            spec=PodDisruptionBudgetSpecArgs(max_unavailable=1, selector=LabelSelectorArgs(match_labels=own)),
            opts=child,
        )
        scheme = "http" if plan.settings.tls is None else "https"
        self.endpoint = pulumi.Output.concat(f"{scheme}://", ROUTER, ".", namespace, ".svc.cluster.local")
        self.register_outputs({"endpoint": self.endpoint})


def _deployment(own: dict[str, str], files: Mapping[str, str], its_pod: PodSpecArgs) -> DeploymentSpecArgs:
    # no number of replicas: the autoscaler owns it, and each `up` would set it back
    return DeploymentSpecArgs(
        selector=LabelSelectorArgs(match_labels=own),
        strategy=DeploymentStrategyArgs(
            type="RollingUpdate", rolling_update=RollingUpdateDeploymentArgs(max_surge=1, max_unavailable=0)
        ),
        revision_history_limit=3,
        template=PodTemplateSpecArgs(
            # a process keeps the program that it started with
            metadata=ObjectMetaArgs(
                labels=own, annotations={"ollama-fleet/program": fingerprint("\0".join(files.values()))}
            ),
            spec=its_pod,
        ),
    )


def _autoscaler(plan: RouterPlan, deployment: pulumi.Input[str]) -> HorizontalPodAutoscalerSpecArgs:
    return HorizontalPodAutoscalerSpecArgs(
        scale_target_ref=CrossVersionObjectReferenceArgs(api_version="apps/v1", kind="Deployment", name=deployment),
        min_replicas=plan.replicas,
        max_replicas=plan.most_replicas,
        metrics=[
            MetricSpecArgs(
                type="Resource",
                resource=ResourceMetricSourceArgs(
                    name="cpu",
                    target=MetricTargetArgs(type="Utilization", average_utilization=plan.cpu_target),
                ),
            )
        ],
    )


def _metrics_service(plan: RouterPlan, own: dict[str, str]) -> ServiceSpecArgs:
    """Headless, and with routers that are not ready: what a draining one still answers counts too."""
    return ServiceSpecArgs(
        cluster_ip="None",
        publish_not_ready_addresses=True,
        selector=own,
        ports=[ServicePortArgs(name="metrics", port=plan.metrics_port, target_port="metrics")],
    )


def _network_policy(plan: RouterPlan, own: dict[str, str]) -> NetworkPolicySpecArgs:
    """The door for everybody whom the file lets in, metrics for the cluster, nothing else; it may call anywhere, since
    pools are at any address."""
    metrics = NetworkPolicyIngressRuleArgs(
        ports=[NetworkPolicyPortArgs(port="metrics", protocol="TCP")], from_=[exposed.inside()]
    )
    return NetworkPolicySpecArgs(
        pod_selector=LabelSelectorArgs(match_labels=own),
        policy_types=["Ingress"],
        ingress=[exposed.ingress(plan.settings, "http"), metrics],
    )
