"""The namespaces of a cluster, and what all servers in one share."""

import pulumi
from pulumi_kubernetes.core.v1 import (
    ConfigMap,
    Namespace,
    ResourceQuota,
    ResourceQuotaSpecArgs,
    ScopedResourceSelectorRequirementArgs,
    ScopeSelectorArgs,
)
from pulumi_kubernetes.meta.v1 import ObjectMetaArgs

from components import labels
from infra.plan.naming import PREPARE
from prepare.definitions import scripts

MOST_DRIVER_PODS = "1000"


def create(name: str, called: str, level: str, opts: pulumi.ResourceOptions) -> Namespace:
    """The namespace `called` so, which enforces a level of Pod Security."""
    return Namespace(
        name,
        metadata=ObjectMetaArgs(
            name=called,
            labels={
                **labels.MANAGED_BY,
                "pod-security.kubernetes.io/enforce": level,
                "pod-security.kubernetes.io/warn": level,
            },
        ),
        opts=opts,
    )


def node_critical(name: str, inside: Namespace, opts: pulumi.ResourceOptions) -> ResourceQuota:
    """Lets the drivers' pods have the priority of the node's own.

    GKE refuses them outside kube-system unless a quota speaks of it: "insufficient quota to match these scopes"
    (gatekeeper#1120).
    """
    return ResourceQuota(
        name,
        metadata=ObjectMetaArgs(name="node-critical-pods", namespace=inside.metadata.name, labels=labels.MANAGED_BY),
        spec=ResourceQuotaSpecArgs(
            hard={"pods": MOST_DRIVER_PODS},
            scope_selector=ScopeSelectorArgs(
                match_expressions=[
                    ScopedResourceSelectorRequirementArgs(
                        scope_name="PriorityClass", operator="In", values=["system-node-critical"]
                    )
                ]
            ),
        ),
        opts=opts,
    )


def prepare(name: str, inside: Namespace, certificates: str, opts: pulumi.ResourceOptions) -> ConfigMap:
    """The shell that brings models into place, once for all pools, and the CA of the proxy that it meets."""
    return ConfigMap(
        name,
        metadata=ObjectMetaArgs(name=PREPARE, namespace=inside.metadata.name, labels=labels.MANAGED_BY),
        data={**scripts(), **({"proxy-ca.pem": certificates} if certificates else {})},
        opts=opts,
    )
