"""The whole fleet: the root of all components."""

from dataclasses import dataclass

import pulumi

from infra.plan.model import FleetPlan


@dataclass(frozen=True, kw_only=True)
class FleetArgs:
    """The plan, which must be without errors."""

    plan: FleetPlan


class Fleet(pulumi.ComponentResource):
    """`ollama-fleet:components:Fleet`: cluster, namespaces, and for each pool on GKE a NodePool, a Driver and a Server;
    one Router for all.

    Without `gke` in the file nothing is made: what stands at sites is set up there.
    """

    endpoint: pulumi.Output[str] | None = None
    """The door's URL inside the cluster."""
    kubeconfig: pulumi.Output[str] | None = None
    """Secret."""

    def __init__(self, name: str, args: FleetArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("ollama-fleet:components:Fleet", name, {}, opts)
        plan = args.plan
        if plan.cluster is not None:
            # imported when its turn comes: a fleet at home needs neither Google's SDK nor that of Kubernetes
            from components import gke

            built = gke.build(self, name, plan, plan.cluster)
            self.endpoint, self.kubeconfig = built.endpoint, built.kubeconfig
        self.register_outputs({"endpoint": self.endpoint, "kubeconfig": self.kubeconfig})
