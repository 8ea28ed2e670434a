"""The Kubernetes sites that `up` applies to, each through a provider of its own."""

from collections.abc import Mapping

import pulumi
import pulumi_kubernetes as kubernetes
from pulumi_random import RandomPassword

from components.api_keys import LENGTH
from components.kubernetes_site import KubernetesSite, KubernetesSiteArgs
from components.secrets import Secrets
from infra.plan.model import FleetPlan
from infra.plan.site_plans import SITE_KEY


def tokens(
    fleet: pulumi.Resource, plan: FleetPlan, given: Mapping[str, pulumi.Output[str]]
) -> Mapping[str, pulumi.Output[str]]:
    """Those that the stack sets, and one made for each door that `up` sets up without."""
    made = {
        site.name: RandomPassword(
            f"{site.name}-site-token", length=LENGTH, special=False, opts=pulumi.ResourceOptions(parent=fleet)
        ).result
        for site in plan.sites
        if site.name not in given and site.cluster and site.cluster.applied and site.cluster.door
        if not _is_fleets(plan, site.name)
    }
    return {**given, **made}


def build(
    fleet: pulumi.Resource,
    plan: FleetPlan,
    secrets: Secrets,
    site_tokens: Mapping[str, pulumi.Output[str]],
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
        own = {SITE_KEY: site_tokens[site.name]} if site.name in site_tokens else {}
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
