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
    PersistentVolumeClaim,
    PersistentVolumeClaimVolumeSourceArgs,
    PodSpecArgs,
    PodTemplateSpecArgs,
    ProbeArgs,
    ResourceRequirementsArgs,
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

from components import labels, resources
from components.restricted import locked_down, pod_security
from components.volume import claim
from infra.plan import containers
from infra.plan.model import OLLAMA_PORT, PoolPlan
from infra.plan.naming import OVERRIDE
from prepare.definitions import command, definitions, preparation, proof

METADATA_SERVER = "169.254.169.254/32"
DNS_PORT = 53


@dataclass(frozen=True, kw_only=True)
class ServerArgs:
    """The pool, where it lives, and the ConfigMap that holds the script which prepares models."""

    pool: PoolPlan
    namespace: pulumi.Input[str]
    prepare_config_map: pulumi.Input[str]
    prepare_hash: str
    routes_config_map: pulumi.Input[str]
    """The map that the router follows."""
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
            f"{name}-models",
            metadata=metadata(pool.names.models),
            data=definitions(pool.prepared, pool.elsewhere),
            opts=child,
        )
        volume = None
        if pool.volume:
            volume = claim(f"{name}-volume", metadata(pool.names.models), pool.volume_request, child)
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
        patience = f"{pool.rollout_deadline}s"
        self.deployment = Deployment(
            f"{name}-deployment",
            metadata=_owned(metadata(workload), pool),
            spec=_deployment(args, own, _pod(pool, args, account, models, volume)),
            opts=pulumi.ResourceOptions(
                parent=self,
                depends_on=list(args.after),
                # an autoscaler owns the number from then on; a pool of three that gets a range keeps its three
                ignore_changes=["spec.replicas"] if pool.replicas.scales else None,
                custom_timeouts=pulumi.CustomTimeouts(create=patience, update=patience),
            ),
        )
        self.register_outputs({"deployment": self.deployment.metadata.name, "service": self.service.metadata.name})


def _deployment(args: ServerArgs, own: dict[str, str], its_pod: PodSpecArgs) -> DeploymentSpecArgs:
    return DeploymentSpecArgs(
        replicas=_first_replicas(args.pool),
        selector=LabelSelectorArgs(match_labels=own),
        # there is no spare GPU for a surge: with one the rollout would wait for ever
        strategy=DeploymentStrategyArgs(
            type="RollingUpdate", rolling_update=RollingUpdateDeploymentArgs(max_surge=0, max_unavailable=1)
        ),
        progress_deadline_seconds=args.pool.rollout_deadline,
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
            spec=its_pod,
        ),
    )


def _owned(metadata: ObjectMetaArgs, pool: PoolPlan) -> ObjectMetaArgs:
    """A fixed number is the program's: also after an autoscaler, or `fleet pause`, has set another one."""
    if not pool.replicas.scales:
        metadata.annotations = {"pulumi.com/patchForce": "true"}
    return metadata


def _first_replicas(pool: PoolPlan) -> int | None:
    """None where an autoscaler has the say from the first pod on; one that sleeps must call no node at its first `up`,
    and what is left out becomes 1."""
    return pool.replicas.min if pool.sleeps or not pool.replicas.scales else None


def _pod(
    pool: PoolPlan,
    args: ServerArgs,
    account: ServiceAccount,
    models: ConfigMap,
    volume: PersistentVolumeClaim | None,
) -> PodSpecArgs:
    gpu = bool(pool.gpus_per_replica)
    return PodSpecArgs(
        service_account_name=account.metadata.name,
        automount_service_account_token=False,
        enable_service_links=False,
        node_selector=labels.node(pool.name, pool.site),
        runtime_class_name=pool.runtime_class,
        tolerations=labels.tolerations(pool.name, gpu=gpu),
        termination_grace_period_seconds=pool.grace_period,
        security_context=pod_security(),
        init_containers=[_prepare(pool, "init")],
        containers=[_ollama(pool), _prepare(pool, "watch")],
        volumes=[
            VolumeArgs(name="ollama", empty_dir=EmptyDirVolumeSourceArgs()),
            VolumeArgs(name="tmp", empty_dir=EmptyDirVolumeSourceArgs()),
            VolumeArgs(name="models", config_map=ConfigMapVolumeSourceArgs(name=models.metadata.name)),
            VolumeArgs(name="prepare", config_map=ConfigMapVolumeSourceArgs(name=args.prepare_config_map)),
            VolumeArgs(name="routes", config_map=ConfigMapVolumeSourceArgs(name=args.routes_config_map)),
            VolumeArgs(name="override", config_map=ConfigMapVolumeSourceArgs(name=OVERRIDE, optional=True)),
            *_store(volume),
        ],
    )


def _store(volume: PersistentVolumeClaim | None) -> list[VolumeArgs]:
    """What keeps the models when the pod goes; without one they lie in the pod's own folder."""
    if volume is None:
        return []
    claim = PersistentVolumeClaimVolumeSourceArgs(claim_name=volume.metadata.apply(lambda its: str(its.name)))
    return [VolumeArgs(name="store", persistent_volume_claim=claim)]


def _ollama(pool: PoolPlan) -> ContainerArgs:
    whole = {"memory": str(pool.memory_request)}
    if pool.gpus_per_replica:
        whole["nvidia.com/gpu"] = str(pool.gpus_per_replica)
    return ContainerArgs(
        name="ollama",
        image=pool.runtime.image,
        command=command("serve"),
        ports=[ContainerPortArgs(name="http", container_port=OLLAMA_PORT)],
        env=_environment({**pool.environment, **proof(pool)}),
        resources=ResourceRequirementsArgs(requests={"cpu": f"{pool.cpu_request}m", **whole}, limits=whole),
        security_context=locked_down(),
        volume_mounts=_mounts(pool),
        # the proof of the GPU, once
        startup_probe=ProbeArgs(
            exec_=ExecActionArgs(command=command("started")),
            period_seconds=pool.startup_period,
            timeout_seconds=30,
            failure_threshold=pool.startup_threshold,
        ),
        # a process each time: not as often as a request would be
        readiness_probe=ProbeArgs(
            exec_=ExecActionArgs(command=command("ready")), period_seconds=5, timeout_seconds=10, failure_threshold=2
        ),
        # patient: a server that loads a model answers late and must not be killed for it
        liveness_probe=ProbeArgs(
            http_get=HTTPGetActionArgs(path="/", port="http"),
            period_seconds=30,
            timeout_seconds=10,
            failure_threshold=6,
        ),
        lifecycle=LifecycleArgs(
            pre_stop=LifecycleHandlerArgs(exec_=ExecActionArgs(command=command("drain", str(pool.drain_limit))))
        ),
    )


def _prepare(pool: PoolPlan, mode: str) -> ContainerArgs:
    """`init` brings the models into place before the server starts, `watch` later ones into the running server.

    `watch` runs in an ordinary container. A native sidecar would start before the server that it needs, outlive it
    while the pod drains, and ask for Kubernetes 1.29: this one ends with the first signal, and no pull keeps a drain
    waiting.
    """
    first = mode == "init"
    cpu, memory, limit = (
        (pool.prepare_cpu, pool.prepare_memory, pool.prepare_memory_limit)
        if first
        else (pool.companion_cpu, pool.companion_memory, pool.companion_memory_limit)
    )
    return ContainerArgs(
        name="prepare" if first else "companion",
        image=pool.runtime.image,
        command=command(mode),
        env=_environment(
            {
                **preparation(pool, f"127.0.0.1:{OLLAMA_PORT}"),
                "FLEET_MODELS": containers.MODELS,
                "FLEET_OVERRIDE": containers.OVERRIDE,
                "FLEET_ROUTES": containers.ROUTES,
            }
        ),
        resources=resources.bounded(cpu=cpu, memory=memory, limit=limit),
        security_context=locked_down(),
        volume_mounts=[
            *_mounts(pool),
            VolumeMountArgs(name="models", mount_path=containers.MODELS, read_only=True),
            VolumeMountArgs(name="routes", mount_path=containers.ROUTES, read_only=True),
            VolumeMountArgs(name="override", mount_path=containers.OVERRIDE, read_only=True),
        ],
    )


def _environment(values: dict[str, str]) -> Sequence[EnvVarArgs]:
    there = {"HOME": containers.HOME, "OLLAMA_MODELS": containers.STORE, **values}
    return [EnvVarArgs(name=key, value=value) for key, value in sorted(there.items())]


def _mounts(pool: PoolPlan) -> list[VolumeMountArgs]:
    return [
        VolumeMountArgs(name="ollama", mount_path=containers.HOME),
        *([VolumeMountArgs(name="store", mount_path=containers.STORE)] if pool.volume else []),
        VolumeMountArgs(name="tmp", mount_path="/tmp"),  # noqa: S108 - the container's own, an emptyDir
        VolumeMountArgs(name="prepare", mount_path=containers.PREPARE, read_only=True),
    ]


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
