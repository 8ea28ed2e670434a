"""The whole fleet: the root of all components."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import pulumi

from components.secrets import Secrets
from infra.plan.model import FleetPlan


@dataclass(frozen=True, kw_only=True)
class FleetArgs:
    """The plan, which must be without errors, and the secrets that the stack sets."""

    plan: FleetPlan
    secrets: Secrets = field(default_factory=Secrets)


class Fleet(pulumi.ComponentResource):
    """`ollama-fleet:components:Fleet`: cluster, namespaces, and for each pool on GKE a NodePool, a Driver, a Server and
    a Scaler; one Router for all, with its ApiKeys; Keda where it scales; Monitoring, GpuExporter, LoadTest and Chat
    where the file asks for them.

    A KubernetesSite for each site whose objects `up` applies; other sites are set up there.
    """

    endpoint: pulumi.Output[str] | None = None
    """The door's URL inside the cluster."""
    kubeconfig: pulumi.Output[str] | None = None
    """Secret."""
    api_keys: pulumi.Output[Mapping[str, str]] | None = None
    """Every key of the door by name. Secret."""
    address: pulumi.Output[str] | None = None
    """Of a public door."""

    chat: pulumi.Output[Mapping[str, str]] | None = None
    """Address, email and password of the chat's first account. Secret."""
    site_tokens: Mapping[str, pulumi.Output[Mapping[str, str]]]
    """Of sites that `up` applies to: what their doors let in, by name. Secret."""

    def __init__(self, name: str, args: FleetArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("ollama-fleet:components:Fleet", name, {}, opts)
        plan = args.plan
        self.site_tokens = {}
        tokens = args.secrets.site_tokens
        applied = any(site.cluster is not None and site.cluster.applied for site in plan.sites)
        if applied:
            from components import sites

            tokens = sites.tokens(self, plan, tokens)
        if plan.cluster is not None:
            # imported when its turn comes: a fleet at home needs neither Google's SDK nor that of Kubernetes
            from components import gke

            built = gke.build(self, name, plan, plan.cluster, args.secrets.api_keys, tokens)
            self.endpoint, self.kubeconfig, self.address = built.endpoint, built.kubeconfig, built.address
            self.api_keys, self.chat = built.api_keys, built.chat
        if applied:
            built_sites = sites.build(self, plan, args.secrets, tokens)
            self.site_tokens = {site: one.keys for site, one in built_sites.items() if one.keys is not None}
        outputs = {"endpoint": self.endpoint, "kubeconfig": self.kubeconfig, "apiKeys": self.api_keys}
        self.register_outputs(outputs if self.chat is None else {**outputs, "chat": self.chat})
