"""The cluster on Google Cloud: its own or an existing one, its network and its system nodes."""

import re
from collections.abc import Iterator, Sequence

from infra.catalogue import Catalogue
from infra.config import FleetConfig, place
from infra.config.types import shown
from infra.names import DNS_LABEL_LENGTH, short
from infra.plan import cost, naming, nodes
from infra.plan.model import ClusterPlan, NetworkPlan, PoolPlan
from infra.problem import Problem, error

DEFAULT_NAMESPACE = "ollama"
PROJECT_ID = re.compile(r"([a-z0-9.-]+:)?[a-z][-a-z0-9]{4,28}[a-z0-9]")
"""With its domain before a colon where an organisation of old has one."""


def namespace(config: FleetConfig) -> str:
    """The namespace of servers and router."""
    return config.gke.namespace if config.gke else DEFAULT_NAMESPACE


def build(
    catalogue: Catalogue, config: FleetConfig, *, stack: str, project: str | None, pools: Sequence[PoolPlan]
) -> tuple[ClusterPlan | None, list[Problem]]:
    """None without `gke` in the file."""
    gke = config.gke
    if gke is None:
        return None, []
    problems = list(_check_project(project))
    project = project or "missing-project"
    region = cost.region(gke.location)
    facts = catalogue.gke
    pinned = [
        catalogue.releases.drivers[f"R{pool.driver.branch}"].date
        for pool in pools
        if pool.site is None and pool.driver.pinned and f"R{pool.driver.branch}" in catalogue.releases.drivers
    ]
    return (
        ClusterPlan(
            name=gke.cluster or naming.cluster(stack),
            existing=gke.cluster is not None,
            project=project,
            location=gke.location,
            region=region,
            network=_network(config, project, stack),
            namespace=gke.namespace,
            driver_namespace=naming.drivers(gke.namespace),
            node_account=naming.node_account(stack),
            labels={
                "ollama-fleet-stack": short(naming.dns(stack), DNS_LABEL_LENGTH),
                **dict(sorted(gke.labels.items())),
            },
            release_channel=gke.release_channel.upper(),
            deletion_protection=gke.deletion_protection,
            node_roles=facts.node_roles,
            system_machine=facts.system_machine,
            # one zone, since a system pool over a region would be billed three times
            system_zones=(nodes.zone_of(catalogue, gke.location),),
            system_minimum=facts.system_nodes_min,
            system_maximum=facts.system_nodes_max,
            system_disk_gb=facts.system_disk_gb,
            disk_type=facts.disk_type,
            apis=facts.apis,
            pinned_drivers_since=min(pinned, default=None),
        ),
        problems,
    )


def _check_project(project: str | None) -> Iterator[Problem]:
    if not project:
        yield error(
            "gcp:project",
            "the stack names no Google Cloud project",
            "write gcp:project: YOUR-PROJECT-ID below config",
        )
    elif not PROJECT_ID.fullmatch(project):
        yield error(
            "gcp:project",
            f"{shown(project)} is not the id of a Google Cloud project",
            "write its id, not its name or number: 6 to 30 of lower-case letters, digits and -, a letter first",
        )


def check(config: FleetConfig, plan: ClusterPlan | None) -> Iterator[Problem]:
    """A site that is this very cluster, where its objects would take the names of the fleet's own."""
    if plan is None:
        return
    # what `gcloud container clusters get-credentials` calls it; under another name nobody can tell from here
    own = f"gke_{plan.project}_{plan.location}_{plan.name}"
    for name, site in sorted(config.sites.items()):
        if site.kubernetes is not None and site.kubernetes.context == own:
            yield error(
                f"{place('sites', name)}.kubernetes.context",
                f"{shown(own)} is the fleet's own GKE cluster, where two routers would have one name",
                "take the site out, and site out of its pools: without it they stand on GKE",
            )


def _network(config: FleetConfig, project: str, stack: str) -> NetworkPlan:
    existing = config.gke.network if config.gke else None
    if existing is None:
        name = naming.cluster(stack)
        return NetworkPlan(create=True, host_project=project, vpc=name, subnet=name, pods="pods", services="services")
    host, _, vpc = existing.vpc.rpartition("/")
    return NetworkPlan(
        create=False,
        host_project=host or project,
        vpc=vpc,
        subnet=existing.subnet,
        pods=existing.pods,
        services=existing.services,
    )
