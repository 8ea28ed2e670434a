"""The load test, in the cluster: there, and not running."""

from dataclasses import dataclass
from pathlib import Path

import pulumi
from pulumi_kubernetes.batch.v1 import CronJob, CronJobSpecArgs, JobSpecArgs, JobTemplateSpecArgs
from pulumi_kubernetes.core.v1 import (
    ConfigMap,
    ConfigMapVolumeSourceArgs,
    ContainerArgs,
    EmptyDirVolumeSourceArgs,
    EnvVarArgs,
    EnvVarSourceArgs,
    PodSpecArgs,
    PodTemplateSpecArgs,
    Secret,
    SecretKeySelectorArgs,
    VolumeArgs,
    VolumeMountArgs,
)
from pulumi_kubernetes.meta.v1 import ObjectMetaArgs

from components import labels, resources
from components.chat_pod import DOOR, door_certificate
from components.restricted import locked_down, pod_security
from infra.plan.model import LoadTestPlan
from infra.plan.naming import LOAD_TEST
from router import certificate

FOLDER = Path(__file__).parents[1] / "loadtest"
PROGRAM = "/opt/ollama-fleet"
REPORT = "/tmp/report"  # noqa: S108 - the container's own, an emptyDir
NEVER = "0 0 31 2 *"
"""A schedule is required; the 31st of February and `suspend` both mean that nobody but a person starts it."""
KEEP_SECONDS = 7 * 24 * 3600
LATE_SECONDS = 1800
"""What a run may take beyond its own length: a pool that wakes, answers that end."""


@dataclass(frozen=True, kw_only=True)
class LoadTestArgs:
    """What it asks, and where."""

    plan: LoadTestPlan
    namespace: pulumi.Input[str]
    url: pulumi.Input[str]
    metrics: pulumi.Input[str]
    key: pulumi.Output[str] | None
    """Its own; None where nobody needs one."""


class LoadTest(pulumi.ComponentResource):
    """`ollama-fleet:components:LoadTest`: a suspended CronJob, its program, and the Secret of its key.

    A Job of the program's own would ask the fleet at every `up` that changes it; from a suspended CronJob one makes a
    Job when one wants it.
    """

    def __init__(self, name: str, args: LoadTestArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("ollama-fleet:components:LoadTest", name, {}, opts)
        child = pulumi.ResourceOptions(parent=self)
        own = labels.client(LOAD_TEST)
        metadata = ObjectMetaArgs(name=LOAD_TEST, namespace=args.namespace, labels={**own, **labels.MANAGED_BY})
        files = {path.name: path.read_text(encoding="utf-8") for path in sorted(FOLDER.iterdir()) if path.is_file()}
        program = ConfigMap(f"{name}-program", metadata=metadata, data=files, opts=child)
        secret = None
        if args.key is not None:
            secret = Secret(f"{name}-key", metadata=metadata, string_data={"key": args.key}, opts=child)
        CronJob(
            f"{name}-job",
            metadata=metadata,
            spec=CronJobSpecArgs(
                schedule=NEVER,
                suspend=True,
                concurrency_policy="Forbid",
                job_template=JobTemplateSpecArgs(
                    metadata=ObjectMetaArgs(labels=own),
                    spec=JobSpecArgs(
                        # a run beyond its limits has failed, and asking again would not make it good
                        backoff_limit=0,
                        active_deadline_seconds=args.plan.seconds + LATE_SECONDS,
                        ttl_seconds_after_finished=KEEP_SECONDS,
                        template=PodTemplateSpecArgs(
                            metadata=ObjectMetaArgs(labels=own), spec=_pod(args, program, secret)
                        ),
                    ),
                ),
            ),
            opts=child,
        )
        self.register_outputs({})


def _pod(args: LoadTestArgs, program: ConfigMap, secret: Secret | None) -> PodSpecArgs:
    plan = args.plan
    key = []
    if secret is not None:
        name = secret.metadata.apply(lambda its: str(its.name))
        source = EnvVarSourceArgs(secret_key_ref=SecretKeySelectorArgs(name=name, key="key"))
        key = [EnvVarArgs(name="FLEET_API_KEY", value_from=source)]
    return PodSpecArgs(
        restart_policy="Never",
        automount_service_account_token=False,
        enable_service_links=False,
        security_context=pod_security(),
        containers=[
            ContainerArgs(
                name="loadtest",
                image=plan.image,
                command=[
                    *("python", "-m", "loadtest", "--users", str(plan.users), "--seconds", str(plan.seconds)),
                    # its address is the Service's, and its certificate is for the name that clients use
                    *(["--believe", f"{DOOR}/{certificate.CHAIN}"] if plan.tls else []),
                    *(["--host", plan.host] if plan.tls and plan.host else []),
                    *("--out", REPORT, "--url", "$(FLEET_URL)", "--metrics", "$(FLEET_METRICS)"),
                ],
                env=[
                    EnvVarArgs(name="FLEET_URL", value=args.url),
                    EnvVarArgs(name="FLEET_METRICS", value=args.metrics),
                    EnvVarArgs(name="HOME", value="/tmp"),  # noqa: S108
                    EnvVarArgs(name="PYTHONDONTWRITEBYTECODE", value="1"),
                    EnvVarArgs(name="PYTHONPATH", value=PROGRAM),
                    *key,
                ],
                resources=resources.bounded(cpu=plan.cpu_request, memory=plan.memory_request, limit=plan.memory_limit),
                security_context=locked_down(),
                volume_mounts=[
                    VolumeMountArgs(name="program", mount_path=f"{PROGRAM}/loadtest", read_only=True),
                    VolumeMountArgs(name="tmp", mount_path="/tmp"),  # noqa: S108
                    *([VolumeMountArgs(name="door", mount_path=DOOR, read_only=True)] if plan.tls else []),
                ],
            )
        ],
        volumes=[
            VolumeArgs(name="program", config_map=ConfigMapVolumeSourceArgs(name=program.metadata.name)),
            VolumeArgs(name="tmp", empty_dir=EmptyDirVolumeSourceArgs()),
            *([door_certificate(plan.tls)] if plan.tls else []),
        ],
    )
