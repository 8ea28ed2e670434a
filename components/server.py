"""The Ollama server of one pool, with its models brought into place before it is ready."""

from collections.abc import Sequence
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
    EnvVarArgs,
    ExecActionArgs,
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
    VolumeArgs,
    VolumeMountArgs,
)
from pulumi_kubernetes.meta.v1 import LabelSelectorArgs, ObjectMetaArgs
from pulumi_kubernetes.networking.v1 import (
    IPBlockArgs,
    NetworkPolicy,
    NetworkPolicyEgressRuleArgs,
    NetworkPolicyIngressRuleArgs,
    NetworkPolicyPeerArgs,
    NetworkPolicyPortArgs,
    NetworkPolicySpecArgs,
)
from pulumi_kubernetes.policy.v1 import PodDisruptionBudget, PodDisruptionBudgetSpecArgs

from components import labels
from infra.plan.model import OLLAMA_PORT, PoolPlan
from prepare.definitions import definitions

HOME = "/ollama"
MODELS_FOLDER = "/etc/ollama-fleet/models"
PREPARE_FOLDER = "/etc/ollama-fleet/prepare"
USER = 10001
"""Any number but 0: the image names no user, and NVIDIA's device files are open to all."""
NODE_START_SECONDS = 20 * 60
"""What a replica may have to wait for beside its models: node, driver and image."""
METADATA_SERVER = "169.254.169.254/32"
DNS_PORT = 53
STARTUP_PERIOD = 3


@dataclass(frozen=True, kw_only=True)
class ServerArgs:
    """The pool, where it lives, and the ConfigMap that holds the script which prepares models."""

    pool: PoolPlan
    namespace: pulumi.Input[str]
    prepare_config_map: pulumi.Input[str]
    prepare_hash: str
    after: Sequence[pulumi.Resource] = ()
    """What the Deployment waits for: a component's own `depends_on` does not reach its children."""


class Server(pulumi.ComponentResource):
    """`ollama-fleet:components:Server`: ServiceAccount, ConfigMap of models, Deployment, headless Service,
    PodDisruptionBudget and NetworkPolicy of one pool.

    The list of models is not part of the pod template: a model that is added arrives beside the running ones.
    """

    deployment: Deployment
    service: Service

    def __init__(self, name: str, args: ServerArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("ollama-fleet:components:Server", name, {}, opts)
        pool, namespace = args.pool, args.namespace
        own = labels.server(pool.name)
        child = pulumi.ResourceOptions(parent=self)

        def metadata(object_name: str) -> ObjectMetaArgs:
            return ObjectMetaArgs(name=object_name, namespace=namespace, labels={**own, **labels.MANAGED_BY})

        workload = pool.names.workload
        account = ServiceAccount(
            f"{name}-account", metadata=metadata(workload), automount_service_account_token=False, opts=child
        )
        models = ConfigMap(
            f"{name}-models", metadata=metadata(pool.names.models), data=definitions(pool.prepared), opts=child
        )
        self.service = Service(
            f"{name}-service",
            metadata=metadata(workload),
            spec=ServiceSpecArgs(
                # headless: the router balances over the pods itself and must see each
                cluster_ip="None",
                selector=own,
                ports=[ServicePortArgs(name="http", port=OLLAMA_PORT, target_port="http")],
            ),
            opts=child,
        )
        NetworkPolicy(f"{name}-network-policy", metadata=metadata(workload), spec=_network_policy(own), opts=child)
        PodDisruptionBudget(
            f"{name}-disruption-budget",
            metadata=metadata(workload),
            spec=PodDisruptionBudgetSpecArgs(
                # with fewer, a full machine of several replicas could not be drained: none fits elsewhere meanwhile
                max_unavailable=pool.leave_together,
                selector=LabelSelectorArgs(match_labels=own),
            ),
            opts=child,
        )
        # a pull or a node start must not be taken for a failed rollout, which Pulumi's own 10 minutes would do
        patience = pool.pull_deadline + pool.startup_threshold * STARTUP_PERIOD + NODE_START_SECONDS
        self.deployment = Deployment(
            f"{name}-deployment",
            metadata=metadata(workload),
            spec=DeploymentSpecArgs(
                replicas=pool.replicas.min,
                selector=LabelSelectorArgs(match_labels=own),
                # there is no spare GPU for a surge: with one the rollout would wait for ever
                strategy=DeploymentStrategyArgs(
                    type="RollingUpdate", rolling_update=RollingUpdateDeploymentArgs(max_surge=0, max_unavailable=1)
                ),
                progress_deadline_seconds=patience,
                revision_history_limit=3,
                template=PodTemplateSpecArgs(
                    metadata=ObjectMetaArgs(
                        labels=own,
                        annotations={
                            # the autoscaler may remove a node when its pod is gone, and never the pod with the node
                            "cluster-autoscaler.kubernetes.io/safe-to-evict": "false",
                            "ollama-fleet/prepare": args.prepare_hash,
                        },
                    ),
                    spec=_pod(pool, args, account, models),
                ),
            ),
            opts=pulumi.ResourceOptions(
                parent=self,
                depends_on=list(args.after),
                # An autoscaler owns the number from then on. Left out, the API server would make it 1: a pool of three
                # that gets a range would lose two replicas, and one that sleeps would call a node at its first `up`.
                ignore_changes=["spec.replicas"] if pool.replicas.scales else None,
                custom_timeouts=pulumi.CustomTimeouts(create=f"{patience}s", update=f"{patience}s"),
            ),
        )
        self.register_outputs({"deployment": self.deployment.metadata.name, "service": self.service.metadata.name})


def _pod(pool: PoolPlan, args: ServerArgs, account: ServiceAccount, models: ConfigMap) -> PodSpecArgs:
    gpu = bool(pool.gpus_per_replica)
    return PodSpecArgs(
        service_account_name=account.metadata.name,
        automount_service_account_token=False,
        enable_service_links=False,
        node_selector={labels.POOL: pool.name},
        tolerations=labels.tolerations(pool.name, gpu=gpu),
        # the drain may take this long, then Ollama cuts what is left
        termination_grace_period_seconds=pool.drain_limit + 30,
        security_context=PodSecurityContextArgs(
            run_as_non_root=True,
            run_as_user=USER,
            run_as_group=USER,
            fs_group=USER,
            seccomp_profile=SeccompProfileArgs(type="RuntimeDefault"),
        ),
        init_containers=[_prepare(pool, "init")],
        containers=[_ollama(pool), _prepare(pool, "watch")],
        volumes=[
            VolumeArgs(name="ollama", empty_dir=EmptyDirVolumeSourceArgs()),
            VolumeArgs(name="tmp", empty_dir=EmptyDirVolumeSourceArgs()),
            VolumeArgs(name="models", config_map=ConfigMapVolumeSourceArgs(name=models.metadata.name)),
            VolumeArgs(name="prepare", config_map=ConfigMapVolumeSourceArgs(name=args.prepare_config_map)),
        ],
    )


def _ollama(pool: PoolPlan) -> ContainerArgs:
    resources = {"memory": str(pool.memory_request)}
    if pool.gpus_per_replica:
        resources["nvidia.com/gpu"] = str(pool.gpus_per_replica)
    return ContainerArgs(
        name="ollama",
        image=pool.runtime.image,
        ports=[ContainerPortArgs(name="http", container_port=OLLAMA_PORT)],
        env=_environment(dict(pool.environment)),
        resources=ResourceRequirementsArgs(requests={"cpu": f"{pool.cpu_request}m", **resources}, limits=resources),
        security_context=_locked_down(),
        volume_mounts=_mounts(),
        startup_probe=ProbeArgs(
            http_get=HTTPGetActionArgs(path="/", port="http"),
            period_seconds=STARTUP_PERIOD,
            failure_threshold=pool.startup_threshold,
        ),
        readiness_probe=ProbeArgs(
            http_get=HTTPGetActionArgs(path="/api/version", port="http"), period_seconds=2, failure_threshold=3
        ),
        # patient: a server that loads a model answers late and must not be killed for it
        liveness_probe=ProbeArgs(
            http_get=HTTPGetActionArgs(path="/", port="http"),
            period_seconds=30,
            timeout_seconds=10,
            failure_threshold=6,
        ),
        lifecycle=LifecycleArgs(
            pre_stop=LifecycleHandlerArgs(
                exec_=ExecActionArgs(
                    command=["/bin/sh", f"{PREPARE_FOLDER}/prepare.sh", "drain", str(pool.drain_limit)]
                )
            )
        ),
    )


def _prepare(pool: PoolPlan, mode: str) -> ContainerArgs:
    """`init` brings the models into place before the server starts, `watch` later ones into the running server."""
    first = mode == "init"
    cpu, memory = (pool.prepare_cpu, pool.prepare_memory) if first else (pool.companion_cpu, pool.companion_memory)
    return ContainerArgs(
        name="prepare" if first else "companion",
        image=pool.runtime.image,
        command=["/bin/sh", f"{PREPARE_FOLDER}/prepare.sh", mode],
        env=_environment(
            {
                "FLEET_MODELS": MODELS_FOLDER,
                "OLLAMA_HOST": f"127.0.0.1:{OLLAMA_PORT}",
                "OLLAMA_NO_CLOUD": "1",
                "PULL_DEADLINE": str(pool.pull_deadline),
            }
        ),
        resources=ResourceRequirementsArgs(
            requests={"cpu": f"{cpu}m", "memory": str(memory)}, limits={"memory": str(2 * memory)}
        ),
        security_context=_locked_down(),
        volume_mounts=[
            *_mounts(),
            VolumeMountArgs(name="models", mount_path=MODELS_FOLDER, read_only=True),
        ],
    )


def _environment(values: dict[str, str]) -> Sequence[EnvVarArgs]:
    there = {"HOME": HOME, "OLLAMA_MODELS": f"{HOME}/models", **values}
    return [EnvVarArgs(name=key, value=value) for key, value in sorted(there.items())]


def _mounts() -> list[VolumeMountArgs]:
    return [
        VolumeMountArgs(name="ollama", mount_path=HOME),
        VolumeMountArgs(name="tmp", mount_path="/tmp"),  # noqa: S108 - the container's own, an emptyDir
        VolumeMountArgs(name="prepare", mount_path=PREPARE_FOLDER, read_only=True),
    ]


def _locked_down() -> SecurityContextArgs:
    return SecurityContextArgs(
        allow_privilege_escalation=False,
        read_only_root_filesystem=True,
        capabilities=CapabilitiesArgs(drop=["ALL"]),
    )


def _network_policy(own: dict[str, str]) -> NetworkPolicySpecArgs:
    """In: the router and nobody else, since Ollama asks for no key. Out: registries, never the node's credentials."""
    return NetworkPolicySpecArgs(
        pod_selector=LabelSelectorArgs(match_labels=own),
        policy_types=["Ingress", "Egress"],
        ingress=[
            NetworkPolicyIngressRuleArgs(
                from_=[NetworkPolicyPeerArgs(pod_selector=LabelSelectorArgs(match_labels=labels.router()))],
                ports=[NetworkPolicyPortArgs(port=OLLAMA_PORT, protocol="TCP")],
            )
        ],
        egress=[
            NetworkPolicyEgressRuleArgs(
                ports=[NetworkPolicyPortArgs(port=DNS_PORT, protocol=protocol) for protocol in ("UDP", "TCP")]
            ),
            NetworkPolicyEgressRuleArgs(
                to=[NetworkPolicyPeerArgs(ip_block=IPBlockArgs(cidr="0.0.0.0/0", except_=[METADATA_SERVER]))]
            ),
        ],
    )
