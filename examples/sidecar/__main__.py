"""A support desk whose pods bring their own model. The tone of its answers is fetched whenever a pod starts.

pulumi -C examples/sidecar config set tone https://settings.example/support.json    # {"tone": "friendly"}
pulumi -C examples/sidecar up
"""

import sys
from pathlib import Path

import pulumi
from pulumi_kubernetes.apps.v1 import Deployment, DeploymentSpecArgs, DeploymentStrategyArgs
from pulumi_kubernetes.core.v1 import (
    CapabilitiesArgs,
    ContainerArgs,
    ContainerPortArgs,
    EnvVarArgs,
    HTTPGetActionArgs,
    PodSecurityContextArgs,
    PodSpecArgs,
    PodTemplateSpecArgs,
    ProbeArgs,
    ResourceRequirementsArgs,
    SeccompProfileArgs,
    SecurityContextArgs,
)
from pulumi_kubernetes.meta.v1 import LabelSelectorArgs, ObjectMetaArgs
from pulumi_kubernetes.networking.v1 import (
    NetworkPolicy,
    NetworkPolicyIngressRuleArgs,
    NetworkPolicyPortArgs,
    NetworkPolicySpecArgs,
)

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from components.sidecar import Sidecar, SidecarArgs, SidecarInputs, SidecarModel

MODELFILE = '''FROM llama3.2:3b
PARAMETER num_ctx 8192
SYSTEM """You answer questions about our products. Be {inputs.tone}."""
'''
FETCH = (
    "import json, os, urllib.request as web; "
    "tone = json.load(web.urlopen(os.environ['TONE'], timeout=30)); "
    "json.dump(tone, open('/shared/inputs.json', 'w'))"
)
PYTHON = "python:3.13-slim"

config = pulumi.Config()
namespace = config.get("namespace") or "support"
ollama = Sidecar(
    "support-desk",
    SidecarArgs(
        namespace=namespace,
        model=SidecarModel(name="support", modelfile=MODELFILE),
        inputs=SidecarInputs(
            image=PYTHON,
            command=["python", "-c", FETCH],
            env=[EnvVarArgs(name="TONE", value=config.get("tone") or "https://settings.example/support.json")],
        ),
    ),
)
desk = ContainerArgs(
    name="desk",
    image=PYTHON,
    command=["python", "-c", (Path(__file__).parent / "desk.py").read_text(encoding="utf-8")],
    env=[EnvVarArgs(name="OLLAMA_URL", value=ollama.url)],
    ports=[ContainerPortArgs(name="http", container_port=8080)],
    readiness_probe=ProbeArgs(http_get=HTTPGetActionArgs(path="/", port="http")),
    liveness_probe=ProbeArgs(http_get=HTTPGetActionArgs(path="/", port="http"), period_seconds=30),
    resources=ResourceRequirementsArgs(requests={"cpu": "100m", "memory": "128Mi"}, limits={"memory": "256Mi"}),
    security_context=SecurityContextArgs(
        allow_privilege_escalation=False,
        read_only_root_filesystem=True,
        run_as_non_root=True,
        run_as_user=10001,
        capabilities=CapabilitiesArgs(drop=["ALL"]),
    ),
)
labels = {"app.kubernetes.io/name": "support-desk"}
NetworkPolicy(
    "support-desk",
    metadata=ObjectMetaArgs(name="support-desk", namespace=namespace, labels=labels),
    spec=NetworkPolicySpecArgs(
        pod_selector=LabelSelectorArgs(match_labels=labels),
        policy_types=["Ingress"],
        ingress=[NetworkPolicyIngressRuleArgs(ports=[NetworkPolicyPortArgs(port="http", protocol="TCP")])],
    ),
)
Deployment(
    "support-desk",
    metadata=ObjectMetaArgs(name="support-desk", namespace=namespace, labels=labels),
    spec=DeploymentSpecArgs(
        replicas=1,
        # a second pod would need a second GPU before the first one lets go of its own
        strategy=DeploymentStrategyArgs(type="Recreate"),
        selector=LabelSelectorArgs(match_labels=labels),
        template=PodTemplateSpecArgs(
            metadata=ObjectMetaArgs(labels=labels),
            spec=ollama.beside(
                PodSpecArgs(
                    automount_service_account_token=False,
                    security_context=PodSecurityContextArgs(
                        run_as_non_root=True, seccomp_profile=SeccompProfileArgs(type="RuntimeDefault")
                    ),
                    containers=[desk],
                )
            ),
        ),
    ),
)
