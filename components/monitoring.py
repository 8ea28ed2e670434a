"""Who scrapes the routers, the rules, and the dashboards."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pulumi
from pulumi_kubernetes.apiextensions import CustomResource
from pulumi_kubernetes.core.v1 import ConfigMap
from pulumi_kubernetes.meta.v1 import ObjectMetaArgs

from components import labels
from infra.plan.model import MonitoringPlan
from infra.plan.naming import MONITORING

GOOGLE = "monitoring.googleapis.com/v1"
OPERATOR = "monitoring.coreos.com/v1"
EVERY = "15s"
PATH = "/metrics"
GRAFANA = {"grafana_dashboard": "1"}
"""What the sidecar of Grafana's chart looks for."""


@dataclass(frozen=True, kw_only=True)
class MonitoringArgs:
    """What is watched, and where."""

    plan: MonitoringPlan
    namespace: pulumi.Input[str]


class Monitoring(pulumi.ComponentResource):
    """`ollama-fleet:components:Monitoring`: PodMonitoring and Rules for Google Managed Prometheus, or ServiceMonitor
    and PrometheusRule for the operator, or a ConfigMap of rules beside annotations; a ConfigMap for each dashboard."""

    def __init__(self, name: str, args: MonitoringArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("ollama-fleet:components:Monitoring", name, {}, opts)
        plan, child = args.plan, pulumi.ResourceOptions(parent=self)

        def metadata(object_name: str, **more: str) -> ObjectMetaArgs:
            return ObjectMetaArgs(name=object_name, namespace=args.namespace, labels={**labels.MANAGED_BY, **more})

        def custom(suffix: str, api_version: str, kind: str, spec: Mapping[str, Any]) -> None:
            CustomResource(
                f"{name}-{suffix}",
                api_version=api_version,
                kind=kind,
                metadata=metadata(MONITORING),
                spec=spec,
                opts=child,
            )

        selector = {"matchLabels": labels.router()}
        endpoint = {"port": "metrics", "path": PATH, "interval": EVERY}
        rules = {"groups": [dict(group) for group in plan.rules]}
        if plan.kind == "managed":
            custom("scrape", GOOGLE, "PodMonitoring", {"selector": selector, "endpoints": [endpoint]})
            custom("rules", GOOGLE, "Rules", rules)
        elif plan.kind == "serviceMonitor":
            custom("scrape", OPERATOR, "ServiceMonitor", {"selector": selector, "endpoints": [endpoint]})
            custom("rules", OPERATOR, "PrometheusRule", rules)
        else:
            text = json.dumps(rules, indent=1) + "\n"
            ConfigMap(f"{name}-rules", metadata=metadata(f"{MONITORING}-rules"), data={"rules.yaml": text}, opts=child)
        for file, dashboard in plan.dashboards.items():
            stem = file.removesuffix(".json")
            ConfigMap(
                f"{name}-dashboard-{stem}",
                metadata=metadata(f"{MONITORING}-dashboard-{stem}", **GRAFANA),
                data={file: dashboard},
                opts=child,
            )
        self.register_outputs({})


def annotations(plan: MonitoringPlan | None, port: int) -> Mapping[str, str]:
    """Of the Service of metrics, for a Prometheus that looks for them."""
    return {} if plan is None else scraped(plan.kind, port)


def scraped(kind: str, port: int) -> Mapping[str, str]:
    """What a Prometheus looks for that has no object of its own here."""
    if kind != "annotations":
        return {}
    return {"prometheus.io/scrape": "true", "prometheus.io/port": str(port), "prometheus.io/path": PATH}
