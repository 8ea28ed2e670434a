"""The whole fleet: the root of all components."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import pulumi

from infra.plan.model import FleetPlan


@dataclass(frozen=True, kw_only=True)
class FleetArgs:
    """The plan, which must be without errors, and the stack's keys of the door and tokens of sites, by name."""

    plan: FleetPlan
    api_keys: Mapping[str, pulumi.Output[str]] = field(default_factory=dict)
    site_tokens: Mapping[str, pulumi.Output[str]] = field(default_factory=dict)


class Fleet(pulumi.ComponentResource):
    """`ollama-fleet:components:Fleet`: cluster, namespaces, and for each pool on GKE a NodePool, a Driver, a Server and
    a Scaler; one Router for all, with its ApiKeys; Keda where it scales; Monitoring, LoadTest and Chat where the file
    asks for them.

    Without `gke` in the file nothing is made: what stands at sites is set up there.
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

    def __init__(self, name: str, args: FleetArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("ollama-fleet:components:Fleet", name, {}, opts)
        plan = args.plan
        if plan.cluster is not None:
            # imported when its turn comes: a fleet at home needs neither Google's SDK nor that of Kubernetes
            from components import gke

            built = gke.build(self, name, plan, plan.cluster, args.api_keys, args.site_tokens)
            self.endpoint, self.kubeconfig, self.address = built.endpoint, built.kubeconfig, built.address
            self.api_keys, self.chat = built.api_keys, built.chat
        outputs = {"endpoint": self.endpoint, "kubeconfig": self.kubeconfig, "apiKeys": self.api_keys}
        self.register_outputs(outputs if self.chat is None else {**outputs, "chat": self.chat})
