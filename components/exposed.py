"""How clients come to the door, and to the chat page as to it: by what `router.expose` and `sourceRanges` say."""

from collections.abc import Mapping

import pulumi
from pulumi_kubernetes.core.v1 import ServicePortArgs, ServiceSpecArgs
from pulumi_kubernetes.meta.v1 import LabelSelectorArgs
from pulumi_kubernetes.networking.v1 import (
    IPBlockArgs,
    NetworkPolicyIngressRuleArgs,
    NetworkPolicyPeerArgs,
    NetworkPolicyPortArgs,
)

from infra.config.model import Router

SERVICE_PORT, TLS_PORT = 80, 443


def annotations(settings: Router) -> dict[str, str] | None:
    """Of the Service."""
    return {"networking.gke.io/load-balancer-type": "Internal"} if settings.expose == "internal" else None


def service(
    settings: Router,
    selector: Mapping[str, str],
    *,
    tls: bool,
    target_port: str,
    address: pulumi.Input[str] | None,
) -> ServiceSpecArgs:
    """The Service of the pods that `selector` chooses; `address` is reserved for a public one."""
    ports = [
        ServicePortArgs(
            name="https" if tls else "http", port=TLS_PORT if tls else SERVICE_PORT, target_port=target_port
        )
    ]
    if settings.expose == "cluster":
        return ServiceSpecArgs(type="ClusterIP", selector=dict(selector), ports=ports)
    return ServiceSpecArgs(
        type="LoadBalancer",
        selector=dict(selector),
        ports=ports,
        # else a node would hide who asks, and the policy below could not tell
        external_traffic_policy="Local",
        load_balancer_ip=address,
        load_balancer_source_ranges=list(settings.source_ranges) or None,
    )


def inside() -> NetworkPolicyPeerArgs:
    """Every pod of the cluster."""
    return NetworkPolicyPeerArgs(namespace_selector=LabelSelectorArgs())


def ingress(settings: Router, port: str) -> NetworkPolicyIngressRuleArgs:
    """Everybody whom the file lets in, at that port of the pods."""
    ranges = [NetworkPolicyPeerArgs(ip_block=IPBlockArgs(cidr=one)) for one in settings.source_ranges]
    return NetworkPolicyIngressRuleArgs(
        ports=[NetworkPolicyPortArgs(port=port, protocol="TCP")], from_=[*ranges, inside()] if ranges else None
    )
