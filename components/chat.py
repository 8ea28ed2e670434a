"""A page to chat with: Open WebUI, a client of the door as any other."""

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
from pulumi_kubernetes.apps.v1 import Deployment, DeploymentSpecArgs, DeploymentStrategyArgs
from pulumi_kubernetes.core.v1 import (
    ConfigMap,
    PodSpecArgs,
    PodTemplateSpecArgs,
    Secret,
    Service,
    ServiceAccount,
)
from pulumi_kubernetes.meta.v1 import LabelSelectorArgs, ObjectMetaArgs
from pulumi_kubernetes.networking.v1 import NetworkPolicy, NetworkPolicySpecArgs
from pulumi_random import RandomPassword

from components import exposed, labels
from components.chat_pod import TLS_FILES, pod, terminator
from components.volume import claim
from infra.names import fingerprint
from infra.plan.model import ChatPlan, RouterPlan
from infra.plan.naming import CHAT

ADMIN = "admin@localhost"
PASSWORD_LENGTH = 24
START_SECONDS = 900


@dataclass(frozen=True, kw_only=True)
class ChatArgs:
    """What the page is, where it lives, and its way to the door."""

    plan: ChatPlan
    router: RouterPlan
    namespace: pulumi.Input[str]
    url: pulumi.Input[str]
    """Of the door."""
    key: pulumi.Output[str] | None
    """Its own; None where nobody needs one."""
    address: pulumi.Input[str] | None = None
    """Reserved for a public page."""


class Chat(pulumi.ComponentResource):
    """`ollama-fleet:components:Chat`: Deployment, volume, Service, ServiceAccount, NetworkPolicy and a Secret.

    Nobody signs up: the one account is made at the first start, and its owner makes others.
    """

    account: pulumi.Output[Mapping[str, str]]
    """Address, email and password of the first account. Secret."""

    def __init__(self, name: str, args: ChatArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("ollama-fleet:components:Chat", name, {}, opts)
        plan, namespace = args.plan, args.namespace
        own = labels.client(CHAT)
        child = pulumi.ResourceOptions(parent=self)

        def metadata(annotations: Mapping[str, str] | None = None) -> ObjectMetaArgs:
            return ObjectMetaArgs(
                name=CHAT,
                namespace=namespace,
                labels={**own, **labels.MANAGED_BY},
                annotations=annotations,
            )

        account = ServiceAccount(
            f"{name}-account", metadata=metadata(), automount_service_account_token=False, opts=child
        )
        password = RandomPassword(f"{name}-password", length=PASSWORD_LENGTH, special=False, opts=child).result
        sessions = RandomPassword(f"{name}-sessions", length=PASSWORD_LENGTH, special=False, opts=child).result
        secret = Secret(
            f"{name}-secret", metadata=metadata(), string_data=_secrets(args.key, password, sessions), opts=child
        )
        volume = claim(f"{name}-volume", metadata(), f"{plan.volume_gb}G", child)
        files = terminator(plan) if plan.tls else {}
        configuration = ConfigMap(f"{name}-tls", metadata=metadata(), data=files, opts=child) if files else None
        its_pod = pod(
            plan,
            args.router,
            admin=ADMIN,
            url=args.url,
            account=account.metadata.name,
            secret=secret.metadata.apply(lambda its: str(its.name)),
            volume=volume.metadata.apply(lambda its: str(its.name)),
            configuration=None if configuration is None else configuration.metadata.name,
        )
        deployment = Deployment(
            f"{name}-deployment",
            metadata=metadata(),
            spec=_deployment(own, files, its_pod),
            opts=pulumi.ResourceOptions(
                parent=self,
                custom_timeouts=pulumi.CustomTimeouts(create=f"{START_SECONDS}s", update=f"{START_SECONDS}s"),
            ),
        )
        settings, port = args.router.settings, "https" if plan.tls else "http"
        Service(
            f"{name}-service",
            metadata=metadata(exposed.annotations(settings)),
            spec=exposed.service(settings, own, tls=plan.tls is not None, target_port=port, address=args.address),
            opts=child,
        )
        NetworkPolicy(
            f"{name}-network-policy",
            metadata=metadata(),
            spec=NetworkPolicySpecArgs(
                pod_selector=LabelSelectorArgs(match_labels=own),
                policy_types=["Ingress"],
                ingress=[exposed.ingress(settings, port)],
            ),
            opts=child,
        )
        self.account = pulumi.Output.secret(
            pulumi.Output.all(
                url=pulumi.Output.concat(f"{port}://", CHAT, ".", namespace, ".svc.cluster.local"),
                email=ADMIN,
                password=password,
            )
        )
        self.register_outputs({"account": self.account, "deployment": deployment.metadata.name})


def _secrets(
    key: pulumi.Output[str] | None, password: pulumi.Output[str], sessions: pulumi.Output[str]
) -> dict[str, pulumi.Input[str]]:
    """By the names of Open WebUI's variables."""
    its_key = key if key is not None else "none"
    return {
        "OPENAI_API_KEY": its_key,
        # for the documents that it reads it asks again, and wants the key again
        "RAG_OPENAI_API_KEY": its_key,
        "WEBUI_ADMIN_PASSWORD": password,
        "WEBUI_SECRET_KEY": sessions,
    }


def _deployment(own: dict[str, str], files: Mapping[str, str], its_pod: PodSpecArgs) -> DeploymentSpecArgs:
    return DeploymentSpecArgs(
        replicas=1,
        selector=LabelSelectorArgs(match_labels=own),
        # its data are one file of SQLite: never two at once
        strategy=DeploymentStrategyArgs(type="Recreate"),
        revision_history_limit=3,
        progress_deadline_seconds=START_SECONDS,
        template=PodTemplateSpecArgs(
            metadata=ObjectMetaArgs(
                labels=own, annotations={TLS_FILES: fingerprint("\0".join(files.values()))} if files else None
            ),
            spec=its_pod,
        ),
    )
