"""The door: Envoy, following the map in the ConfigMap `ollama-routes`."""

from dataclasses import dataclass

import pulumi
from pulumi_kubernetes.apps.v1 import (
    Deployment,
    DeploymentSpecArgs,
    DeploymentStrategyArgs,
    RollingUpdateDeploymentArgs,
)
from pulumi_kubernetes.core.v1 import (
    CapabilitiesArgs,
    ConfigMap,
    ConfigMapVolumeSourceArgs,
    ContainerArgs,
    ContainerPortArgs,
    EmptyDirVolumeSourceArgs,
    HTTPGetActionArgs,
    LifecycleArgs,
    LifecycleHandlerArgs,
    PodSecurityContextArgs,
    PodSpecArgs,
    PodTemplateSpecArgs,
    ProbeArgs,
    ResourceRequirementsArgs,
    SeccompProfileArgs,
    SecurityContextArgs,
    Service,
    ServiceAccount,
    ServicePortArgs,
    ServiceSpecArgs,
    SleepActionArgs,
    TopologySpreadConstraintArgs,
    VolumeArgs,
    VolumeMountArgs,
)
from pulumi_kubernetes.meta.v1 import LabelSelectorArgs, ObjectMetaArgs
from pulumi_kubernetes.policy.v1 import PodDisruptionBudget, PodDisruptionBudgetSpecArgs

from components import labels
from infra.names import fingerprint
from infra.plan.model import RouterPlan
from infra.plan.naming import ROUTER, ROUTES
from router.envoy import Setup, render

CONFIGURATION = "/etc/envoy"
ADMIN_PORT = 9901
USER = 65532
SERVICE_PORT = 80
LEAVE_SECONDS = 15
"""Between the endpoint's removal and SIGTERM, so that no client is still sent here."""


@dataclass(frozen=True, kw_only=True)
class RouterArgs:
    """What the door is, and where it lives."""

    plan: RouterPlan
    namespace: pulumi.Input[str]


class Router(pulumi.ComponentResource):
    """`ollama-fleet:components:Router`: ServiceAccount, ConfigMaps, Deployment, Service and PodDisruptionBudget.

    The map and what Envoy reads of it are not part of the pod template: a changed map takes effect in the running pods.
    """

    service: Service
    endpoint: pulumi.Output[str]

    def __init__(self, name: str, args: RouterArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("ollama-fleet:components:Router", name, {}, opts)
        plan, namespace = args.plan, args.namespace
        own = labels.router()
        child = pulumi.ResourceOptions(parent=self)

        def metadata(object_name: str) -> ObjectMetaArgs:
            return ObjectMetaArgs(name=object_name, namespace=namespace, labels={**own, **labels.MANAGED_BY})

        files = render(
            plan.routes, Setup(port=plan.port, admin_port=ADMIN_PORT, beside_port=9903, directory=CONFIGURATION)
        )
        account = ServiceAccount(
            f"{name}-account", metadata=metadata(ROUTER), automount_service_account_token=False, opts=child
        )
        ConfigMap(f"{name}-routes", metadata=metadata(ROUTES), data={"routes.toml": plan.routes}, opts=child)
        configuration = ConfigMap(f"{name}-configuration", metadata=metadata(ROUTER), data=files, opts=child)
        Deployment(
            f"{name}-deployment",
            metadata=metadata(ROUTER),
            spec=DeploymentSpecArgs(
                replicas=plan.replicas,
                selector=LabelSelectorArgs(match_labels=own),
                strategy=DeploymentStrategyArgs(
                    type="RollingUpdate", rolling_update=RollingUpdateDeploymentArgs(max_surge=1, max_unavailable=0)
                ),
                revision_history_limit=3,
                template=PodTemplateSpecArgs(
                    # clusters and routes are read anew when they change, the bootstrap only at the start
                    metadata=ObjectMetaArgs(
                        labels=own, annotations={"ollama-fleet/bootstrap": fingerprint(files["bootstrap.json"])}
                    ),
                    spec=_pod(plan, account, configuration),
                ),
            ),
            opts=child,
        )
        service_metadata = metadata(ROUTER)
        if plan.settings.expose == "internal":
            service_metadata.annotations = {"networking.gke.io/load-balancer-type": "Internal"}
        self.service = Service(f"{name}-service", metadata=service_metadata, spec=_service(plan, own), opts=child)
        PodDisruptionBudget(
            f"{name}-disruption-budget",
            metadata=metadata(ROUTER),
            spec=PodDisruptionBudgetSpecArgs(max_unavailable=1, selector=LabelSelectorArgs(match_labels=own)),
            opts=child,
        )
        self.endpoint = pulumi.Output.concat("http://", ROUTER, ".", namespace, ".svc.cluster.local")
        self.register_outputs({"endpoint": self.endpoint})


def _pod(plan: RouterPlan, account: ServiceAccount, configuration: ConfigMap) -> PodSpecArgs:
    return PodSpecArgs(
        service_account_name=account.metadata.name,
        automount_service_account_token=False,
        enable_service_links=False,
        termination_grace_period_seconds=LEAVE_SECONDS + 120,
        security_context=PodSecurityContextArgs(
            run_as_non_root=True,
            run_as_user=USER,
            run_as_group=USER,
            seccomp_profile=SeccompProfileArgs(type="RuntimeDefault"),
        ),
        # apart where there are two nodes, together where there is one: a door that waits for a node is closed
        topology_spread_constraints=[
            TopologySpreadConstraintArgs(
                max_skew=1,
                topology_key="kubernetes.io/hostname",
                when_unsatisfiable="ScheduleAnyway",
                label_selector=LabelSelectorArgs(match_labels=labels.router()),
            )
        ],
        containers=[
            ContainerArgs(
                name="envoy",
                image=plan.image,
                args=["--config-path", f"{CONFIGURATION}/bootstrap.json", "--log-level", "warning"],
                ports=[ContainerPortArgs(name="http", container_port=plan.port)],
                resources=ResourceRequirementsArgs(
                    requests={"cpu": f"{plan.cpu_request}m", "memory": str(plan.memory_request)},
                    limits={"memory": str(plan.memory_limit)},
                ),
                security_context=SecurityContextArgs(
                    allow_privilege_escalation=False,
                    read_only_root_filesystem=True,
                    capabilities=CapabilitiesArgs(drop=["ALL"]),
                ),
                readiness_probe=ProbeArgs(
                    http_get=HTTPGetActionArgs(path="/healthz", port="http"), period_seconds=2, failure_threshold=2
                ),
                liveness_probe=ProbeArgs(
                    http_get=HTTPGetActionArgs(path="/healthz", port="http"),
                    initial_delay_seconds=10,
                    period_seconds=10,
                    timeout_seconds=5,
                    failure_threshold=6,
                ),
                lifecycle=LifecycleArgs(pre_stop=LifecycleHandlerArgs(sleep=SleepActionArgs(seconds=LEAVE_SECONDS))),
                volume_mounts=[
                    VolumeMountArgs(name="configuration", mount_path=CONFIGURATION, read_only=True),
                    VolumeMountArgs(name="tmp", mount_path="/tmp"),  # noqa: S108 - the container's own, an emptyDir
                ],
            )
        ],
        volumes=[
            VolumeArgs(name="configuration", config_map=ConfigMapVolumeSourceArgs(name=configuration.metadata.name)),
            VolumeArgs(name="tmp", empty_dir=EmptyDirVolumeSourceArgs()),
        ],
    )


def _service(plan: RouterPlan, own: dict[str, str]) -> ServiceSpecArgs:
    ports = [ServicePortArgs(name="http", port=SERVICE_PORT, target_port="http")]
    if plan.settings.expose == "cluster":
        return ServiceSpecArgs(type="ClusterIP", selector=own, ports=ports)
    return ServiceSpecArgs(
        type="LoadBalancer",
        selector=own,
        ports=ports,
        load_balancer_source_ranges=list(plan.settings.source_ranges) or None,
    )
