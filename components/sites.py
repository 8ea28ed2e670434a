"""The Kubernetes sites that `up` applies to, each through a provider of its own."""

import pulumi
import pulumi_kubernetes as kubernetes

from components.kubernetes_site import KubernetesSite, KubernetesSiteArgs
from components.secrets import Secrets
from infra.plan.model import FleetPlan
from infra.plan.site_plans import SITE_KEY


def build(
    fleet: pulumi.Resource,
    plan: FleetPlan,
    secrets: Secrets,
) -> dict[str, KubernetesSite]:
    """By name, as children of `fleet`. A site without a kubeconfig of its own is reached by the machine's."""
    built = {}
    for site in plan.sites:
        if site.cluster is None or not site.cluster.applied:
            continue
        provider = kubernetes.Provider(
            f"{site.name}-kubernetes",
            kubeconfig=secrets.kubeconfigs.get(site.name),
            context=site.cluster.context,
            # the name of the cluster: a kubeconfig that is written anew is no other cluster
            cluster_identifier=f"{site.name}/{site.cluster.context}",
            enable_server_side_apply=True,
            enable_config_map_mutable=True,
            enable_secret_mutable=True,
            # a home line that is down must not keep the rest of the fleet from being changed
            skip_update_unreachable=True,
            opts=pulumi.ResourceOptions(parent=fleet),
        )
        own = {SITE_KEY: secrets.site_tokens[site.name]} if site.name in secrets.site_tokens else {}
        built[site.name] = KubernetesSite(
            f"{site.name}-site",
            KubernetesSiteArgs(
                plan=plan,
                site=site,
                cluster=site.cluster,
                keys=secrets.api_keys if _is_fleets(plan, site.name) else own,
            ),
            opts=pulumi.ResourceOptions(parent=fleet, providers=[provider]),
        )
    return built


def _is_fleets(plan: FleetPlan, site: str) -> bool:
    return plan.cluster is None and plan.router.settings.site == site
