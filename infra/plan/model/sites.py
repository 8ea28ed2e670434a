"""Machines outside Google Cloud."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from infra.plan.model.door import RouterPlan
from infra.plan.model.hardware import Asked, HostNeeds


@dataclass(frozen=True, kw_only=True)
class SiteServer:
    """One Ollama on a machine of a Docker site: a replica of a pool."""

    name: str
    """Of its service, and of its host name in the machine's own network."""
    pool: str
    devices: tuple[str, ...]
    """Its GPUs as nvidia-smi calls them."""


@dataclass(frozen=True, kw_only=True)
class Machine:
    """A machine of a Docker site: what runs on it."""

    name: str
    servers: tuple[SiteServer, ...]
    needs: HostNeeds
    """Of all its servers together."""
    door: RouterPlan
    """That of the whole fleet where `router.site` says so, else one for the site's token."""
    port: int
    """At which the machine's door is reached."""
    tls: bool
    holder_image: str
    """Of the container that does nothing but hold the network of the door."""
    tokens: tuple[str, ...] = ()
    """The sites whose token its door sends."""


@dataclass(frozen=True, kw_only=True)
class SiteDriver:
    """NVIDIA's driver container on those machines of a Kubernetes site that take the same one."""

    name: str
    image: str
    version: str
    """What must be loaded."""
    architectures: tuple[str, ...]
    modules: str
    """The only flavour of kernel modules that knows the cards; empty: the container chooses."""
    nodes: tuple[str, ...]
    asks: Asked


@dataclass(frozen=True, kw_only=True)
class SiteCluster:
    """A Kubernetes cluster that is not the fleet's own."""

    applied: bool
    """By `up`; else its objects are printed for kubectl."""
    context: str | None
    namespace: str
    driver_namespace: str
    door: RouterPlan | None
    """That of the whole fleet, or one for the site's token; None where nobody comes that way."""
    nodes: Mapping[str, tuple[str, ...]]
    """Its named nodes, and the pools whose pods may stand there."""
    device_plugin: str
    """The image of NVIDIA's device plugin; empty where the cluster has one, or needs none."""
    device_plugin_asks: Asked
    runtime_class: str | None
    drivers: tuple[SiteDriver, ...] = ()


@dataclass(frozen=True, kw_only=True)
class SitePlan:
    """What the fleet sets up at a site, or at least routes to."""

    name: str
    kind: Literal["docker", "kubernetes", "endpoints"]
    pools: tuple[str, ...]
    hosts: tuple[str, ...] = ()
    """Names and addresses that the certificate of its doors is for."""
    machines: tuple[Machine, ...] = ()
    """Of a Docker site. The first one's door leads to the others."""
    cluster: SiteCluster | None = None
    """Of a Kubernetes site."""

    @property
    def address(self) -> str:
        """At which the door of a Docker site is reached; empty elsewhere."""
        if not self.machines:
            return ""
        door, host = self.machines[0], self.hosts[0]
        scheme, usual = ("https", 443) if door.tls else ("http", 80)
        port = "" if door.port == usual else f":{door.port}"
        return f"{scheme}://{f'[{host}]' if ':' in host else host}{port}"
