"""The pod of the chat page: Open WebUI, and Envoy before it where there is a certificate."""

import pulumi
from pulumi_kubernetes.core.v1 import (
    ConfigMapVolumeSourceArgs,
    ContainerArgs,
    ContainerPortArgs,
    EmptyDirVolumeSourceArgs,
    EnvFromSourceArgs,
    EnvVarArgs,
    HTTPGetActionArgs,
    KeyToPathArgs,
    PersistentVolumeClaimVolumeSourceArgs,
    PodSpecArgs,
    ProbeArgs,
    SecretEnvSourceArgs,
    SecretVolumeSourceArgs,
    VolumeArgs,
    VolumeMountArgs,
)

from components import resources
from components.restricted import locked_down, pod_security
from infra.plan.model import ChatPlan, RouterPlan
from router import certificate, terminating

DATA = "/data"
CERTIFICATE = "/etc/ollama-fleet/tls"
DOOR = "/etc/ollama-fleet/door"
CONFIGURATION = "/etc/ollama-fleet/envoy"
TLS_PORT = 8443
TLS_FILES = "ollama-fleet/envoy"


def terminator(plan: ChatPlan) -> dict[str, str]:
    """The files of the Envoy that holds the certificate."""
    door = None
    if plan.door is not None:
        door = terminating.Door(
            listen=plan.door.listen,
            address=plan.door.address,
            port=plan.door.port,
            name=plan.door.host or "",
            folder=DOOR,
        )
    return terminating.files(
        TLS_PORT,
        plan.port,
        configuration=CONFIGURATION,
        pair=CERTIFICATE,
        memory=plan.envoy_memory_limit,
        door=door,
    )


def pod(
    plan: ChatPlan,
    router: RouterPlan,
    *,
    admin: str,
    url: pulumi.Input[str],
    account: pulumi.Input[str],
    secret: pulumi.Input[str],
    volume: pulumi.Input[str],
    configuration: pulumi.Input[str] | None,
) -> PodSpecArgs:
    """The pod, with the names of its ServiceAccount, of what it keeps secret, of its volume and of Envoy's files."""
    tls = [] if configuration is None else [_envoy(plan, router)]
    return PodSpecArgs(
        service_account_name=account,
        automount_service_account_token=False,
        enable_service_links=False,
        security_context=pod_security(),
        containers=[_page(plan, admin, url, secret), *tls],
        volumes=[
            VolumeArgs(name="data", persistent_volume_claim=PersistentVolumeClaimVolumeSourceArgs(claim_name=volume)),
            VolumeArgs(name="tmp", empty_dir=EmptyDirVolumeSourceArgs()),
            *([] if configuration is None else _volumes(plan, configuration)),
        ],
    )


def _page(plan: ChatPlan, admin: str, url: pulumi.Input[str], secret: pulumi.Input[str]) -> ContainerArgs:
    # by way of the Envoy beside it, which knows the door's certificate: Open WebUI itself compares it with the name of
    # the Service, which no certificate of a public authority is for, or believes everybody
    asked = url if plan.door is None else f"http://127.0.0.1:{plan.door.listen}"
    door = pulumi.Output.concat(asked, "/v1")
    plain = {
        "DATA_DIR": DATA,
        "HOME": "/tmp",  # noqa: S108
        # its own folder of pictures and styles is in the image, which nobody may change
        "STATIC_DIR": "/tmp/static",  # noqa: S108
        "HOST": "0.0.0.0",  # noqa: S104
        "PORT": str(plan.port),
        # the file decides at every start, and not what somebody once clicked
        "ENABLE_PERSISTENT_CONFIG": "false",
        "WEBUI_AUTH": "true",
        "ENABLE_SIGNUP": "false",
        "WEBUI_ADMIN_EMAIL": admin,
        "ENABLE_OLLAMA_API": "false",
        "ENABLE_OPENAI_API": "true",
        # nothing is fetched from elsewhere, and nothing is told to anybody
        "OFFLINE_MODE": "true",
        "HF_HUB_OFFLINE": "1",
        "ANONYMIZED_TELEMETRY": "false",
        "DO_NOT_TRACK": "true",
        "SCARF_NO_ANALYTICS": "true",
        **({"RAG_EMBEDDING_ENGINE": "openai", "RAG_EMBEDDING_MODEL": plan.embedding} if plan.embedding else {}),
    }
    addresses = ["OPENAI_API_BASE_URL", *(["RAG_OPENAI_API_BASE_URL"] if plan.embedding else [])]
    return ContainerArgs(
        name="chat",
        image=plan.image,
        env=[
            *(EnvVarArgs(name=key, value=value) for key, value in sorted(plain.items())),
            *(EnvVarArgs(name=key, value=door) for key in addresses),
        ],
        env_from=[EnvFromSourceArgs(secret_ref=SecretEnvSourceArgs(name=secret))],
        ports=[ContainerPortArgs(name="http", container_port=plan.port)],
        resources=resources.bounded(cpu=plan.cpu_request, memory=plan.memory_request, limit=plan.memory_limit),
        security_context=locked_down(),
        # it brings its database up to date first
        startup_probe=_asked(period=5, failures=120),
        readiness_probe=_asked(period=5, failures=3),
        liveness_probe=_asked(period=20, failures=6),
        volume_mounts=[
            VolumeMountArgs(name="data", mount_path=DATA),
            VolumeMountArgs(name="tmp", mount_path="/tmp"),  # noqa: S108
        ],
    )


def _asked(*, period: int, failures: int) -> ProbeArgs:
    return ProbeArgs(
        http_get=HTTPGetActionArgs(path="/health", port="http"),
        period_seconds=period,
        timeout_seconds=10,
        failure_threshold=failures,
    )


def _envoy(plan: ChatPlan, router: RouterPlan) -> ContainerArgs:
    return ContainerArgs(
        name="envoy",
        image=router.image,
        args=[
            *("--config-path", f"{CONFIGURATION}/{terminating.FILE}"),
            "--disable-hot-restart",
            *("--concurrency", str(router.threads)),
            *("--log-level", "warning"),
        ],
        ports=[ContainerPortArgs(name="https", container_port=TLS_PORT)],
        resources=resources.bounded(
            cpu=plan.envoy_cpu_request, memory=plan.envoy_memory_request, limit=plan.envoy_memory_limit
        ),
        security_context=locked_down(),
        volume_mounts=[
            VolumeMountArgs(name="envoy", mount_path=CONFIGURATION, read_only=True),
            VolumeMountArgs(name="tls", mount_path=CERTIFICATE, read_only=True),
            *([VolumeMountArgs(name="door", mount_path=DOOR, read_only=True)] if plan.door else []),
        ],
    )


def _volumes(plan: ChatPlan, configuration: pulumi.Input[str]) -> list[VolumeArgs]:
    return [
        VolumeArgs(name="envoy", config_map=ConfigMapVolumeSourceArgs(name=configuration)),
        VolumeArgs(name="tls", secret=SecretVolumeSourceArgs(secret_name=plan.tls, default_mode=0o440)),
        *([door_certificate(plan.door.secret)] if plan.door else []),
    ]


def door_certificate(secret: str) -> VolumeArgs:
    """Of the door: what everybody may see, and not its key."""
    shown = [KeyToPathArgs(key=certificate.CHAIN, path=certificate.CHAIN)]
    return VolumeArgs(name="door", secret=SecretVolumeSourceArgs(secret_name=secret, items=shown, default_mode=0o440))
