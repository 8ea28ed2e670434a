"""Rules about what changes the number of replicas: KEDA, its ScaledObjects, plain autoscalers, priorities."""

from typing import Any

from infra.plan.model import PoolPlan
from tests.program.rules.view import (
    AUTOSCALER,
    COMPONENT,
    DEPLOYMENT,
    MANAGED_BY,
    POOL_KEY,
    PRIORITY_CLASS,
    RELEASE,
    SCALED_OBJECT,
    Complaints,
    View,
    at,
    expect,
    rule,
)

UP = {"policies": [{"type": "Pods", "value": 1, "periodSeconds": 60}]}
DOWN = {"policies": [{"type": "Pods", "value": 1, "periodSeconds": 120}]}


def _scaler(view: View, pool: PoolPlan) -> Any:
    by_keda = view.named(SCALED_OBJECT, f"{pool.name}-scaler-scaled-object")
    return by_keda if pool.scaling.by_keda else view.named(AUTOSCALER, f"{pool.name}-scaler-autoscaler")


@rule
def every_pool_that_scales_has_one_scaler_and_no_other_has_any(view: View) -> Complaints:
    wanted = {f"{pool.name}-scaler" for pool in view.scaled}
    there = {one.name for one in view.all(COMPONENT + "Scaler")}
    if there != wanted:
        yield f"there are {sorted(there)} for {sorted(wanted)}"
    for pool in view.scaled:
        yield from expect(
            _scaler(view, pool),
            {
                "metadata.name": pool.names.workload,
                "metadata.namespace": view.plan.namespace,
                "metadata.labels": {**MANAGED_BY, "app.kubernetes.io/name": "ollama", POOL_KEY: pool.name},
            },
        )


@rule
def every_scaler_names_a_deployment_that_is_there(view: View) -> Complaints:
    deployments = {at(one.inputs, "metadata.name") for one in view.all(DEPLOYMENT)}
    for one in [*view.all(SCALED_OBJECT), *view.all(AUTOSCALER)]:
        target = at(one.inputs, "spec.scaleTargetRef") or {}
        if target.get("name") not in deployments or (target.get("apiVersion"), target.get("kind")) != (
            "apps/v1",
            "Deployment",
        ):
            yield f"{one.name} scales {target}"
    for pool in view.scaled:
        if at(getattr(_scaler(view, pool), "inputs", {}), "spec.scaleTargetRef.name") != pool.names.workload:
            yield f"{pool.name} is not what its scaler names"


@rule
def no_scaler_asks_for_more_than_the_nodes_hold(view: View) -> Complaints:
    for pool in view.scaled:
        spec = at(getattr(_scaler(view, pool), "inputs", {}), "spec") or {}
        most = spec.get("maxReplicaCount") or spec.get("maxReplicas") or 0
        room = pool.nodes.maximum * pool.nodes.replicas_per_node if pool.nodes else 0
        if not 0 < most <= room:
            yield f"{pool.name}: {most} replicas on nodes for {room}"


@rule
def a_pool_follows_the_requests_in_flight_of_all_routers(view: View) -> Complaints:
    port = view.plan.router.metrics_port
    url = f"http://ollama-router-metrics.{view.plan.namespace}.svc.cluster.local:{port}/metrics/pools"
    for pool in view.scaled:
        scaling = pool.scaling
        if not scaling.by_keda:
            continue
        figure = {
            "url": url,
            "format": "prometheus",
            "valueLocation": f'ollama_fleet_pool_requests_in_flight{{pool="{pool.name}"}}',
            "aggregateFromKubeServiceEndpoints": "true",
            "aggregationType": "sum",
            "targetValue": str(scaling.target),
            "activationTargetValue": "0",
        }
        windows = [
            {
                "type": "cron",
                "metadata": {
                    "timezone": window.timezone,
                    "start": window.start,
                    "end": window.end,
                    "desiredReplicas": str(window.replicas),
                },
            }
            for window in scaling.windows
        ]
        paces = {
            "scaleUp": {"stabilizationWindowSeconds": scaling.up_after, **UP},
            "scaleDown": {"stabilizationWindowSeconds": scaling.down_after, **DOWN},
        }
        yield from expect(
            _scaler(view, pool),
            {
                "apiVersion": "keda.sh/v1alpha1",
                "kind": "ScaledObject",
                "spec.minReplicaCount": pool.replicas.min,
                "spec.maxReplicaCount": pool.replicas.max,
                "spec.pollingInterval": 5,
                **({"spec.cooldownPeriod": scaling.sleep.idle_after} if scaling.sleep else {}),
                "spec.advanced": {"horizontalPodAutoscalerConfig": {"behavior": paces}},
                "spec.triggers": [{"type": "metrics-api", "metadata": figure}, *windows],
            },
        )


@rule
def a_pool_that_follows_utilization_has_an_autoscaler_of_kubernetes(view: View) -> Complaints:
    for pool in view.scaled:
        scaling = pool.scaling
        if scaling.by_keda:
            continue
        target = {"type": "Utilization", "averageUtilization": scaling.target}
        yield from expect(
            _scaler(view, pool),
            {
                "spec.minReplicas": pool.replicas.min,
                "spec.maxReplicas": pool.replicas.max,
                "spec.metrics": [
                    {"type": "Resource", "resource": {"name": name, "target": target}} for name in ("cpu", "memory")
                ],
                "spec.behavior": {
                    "scaleUp": {"stabilizationWindowSeconds": scaling.up_after, **UP},
                    "scaleDown": {"stabilizationWindowSeconds": scaling.down_after, **DOWN},
                },
            },
        )


@rule
def keda_comes_before_what_it_scales_and_takes_no_gpu_node(view: View) -> Complaints:
    plan = view.plan.keda if view.cluster_plan else None
    if (len(view.all(RELEASE)), len(view.all(COMPONENT + "Keda"))) != ((1, 1) if plan else (0, 0)):
        yield f"there are {len(view.all(RELEASE))} of it"
    if plan is None:
        return
    release = view.named(RELEASE, "fleet-keda-release")
    yield from expect(
        release,
        {
            "name": "keda",
            "namespace": plan.namespace,
            "createNamespace": True,
            "chart": plan.chart,
            "version": plan.version,
            "repositoryOpts": {"repo": plan.repository},
            "compat": "true",
            "timeout": 600,
            "values": {
                "priorityClassName": view.plan.router.priority_class,
                "webhooks": {"enabled": False},
                "service": {"portHttpsTarget": plan.metrics_port},
                "rbac": {"enabledCustomScaledRefKinds": False},
                "resources": {
                    "operator": {"requests": {"cpu": "50m", "memory": "128Mi"}, "limits": {"memory": "512Mi"}},
                    "metricServer": {"requests": {"cpu": "25m", "memory": "64Mi"}, "limits": {"memory": "256Mi"}},
                },
            },
        },
    )
    for scaled in view.all(SCALED_OBJECT):
        if release is None or release.urn not in scaled.depends_on:
            yield f"{scaled.name} does not wait for KEDA"


@rule
def the_door_goes_before_every_server_and_no_server_before_another(view: View) -> Complaints:
    if view.cluster_plan is None:
        return
    name = view.plan.router.priority_class
    wanted = {"metadata.name": name, "metadata.labels": MANAGED_BY, "value": 1_000_000, "globalDefault": False}
    priority = view.named(PRIORITY_CLASS, "fleet-priority")
    yield from expect(priority, wanted)
    if priority is None or not priority.inputs.get("description"):
        yield "nothing says what it is for"
    for router in view.routers:
        if router.spec.get("priorityClassName") != name:
            yield f"{router.name} has no priority"
        if priority is None or priority.urn not in router.owner.depends_on:
            yield f"{router.name} does not wait for its priority"
    for server, _ in view.servers:
        if server.spec.get("priorityClassName") is not None:
            yield f"{server.name} has one"
