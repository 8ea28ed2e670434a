"""What stands at Google."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

CONFIG_MAP_BYTES = 2**20
"""What a ConfigMap holds (pkg/apis/core/validation of Kubernetes 1.34.1, 2026-11-21)."""


@dataclass(frozen=True, kw_only=True)
class NetworkPlan:
    """The VPC of the cluster: our own, or one that exists."""

    create: bool
    host_project: str
    vpc: str
    subnet: str
    pods: str
    services: str
    nodes_range: str = "10.0.0.0/20"
    pods_range: str = "10.64.0.0/14"
    services_range: str = "10.4.0.0/20"


@dataclass(frozen=True, kw_only=True)
class ClusterPlan:
    """The cluster on Google Cloud."""

    name: str
    existing: bool
    project: str
    location: str
    region: str
    network: NetworkPlan
    namespace: str
    driver_namespace: str
    node_account: str
    labels: Mapping[str, str]
    release_channel: str
    deletion_protection: bool
    node_roles: tuple[str, ...]
    """What the nodes' own service account may do in the project."""
    system_machine: str
    system_zones: tuple[str, ...]
    system_minimum: int
    system_maximum: int
    system_disk_gb: int
    disk_type: str
    apis: tuple[str, ...]
    pinned_drivers_since: date | None
    """The day from which on node upgrades are held, since some pool pins an exact driver; None: not held."""


@dataclass(frozen=True, kw_only=True)
class Quota:
    """What a project must be allowed to have at once, by Google's own name for it."""

    name: str
    where: str
    """A region, or `global`."""
    needed: int
