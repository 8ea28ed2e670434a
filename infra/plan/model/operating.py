"""What stands beside the router, each only where the file asks for it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True, kw_only=True)
class GpuExporterPlan:
    """NVIDIA's exporter of what the GPUs themselves show, on every node of some pools."""

    image: str
    port: int
    counters: str
    """The text of its list of figures."""
    pools: tuple[str, ...]
    left_out: Mapping[str, str]
    """The other pools, and why each has none."""
    cpu_request: int
    memory_request: int
    memory_limit: int


@dataclass(frozen=True, kw_only=True)
class MonitoringPlan:
    """Who scrapes the routers, and what is made of it."""

    kind: Literal["managed", "serviceMonitor", "annotations"]
    rules: tuple[Mapping[str, Any], ...]
    """Groups of recording and alert rules, as Prometheus has them."""
    dashboards: Mapping[str, str]
    """Grafana's JSON by file name."""
    gpus: GpuExporterPlan | None = None
    """None where the file does not ask for it."""


@dataclass(frozen=True, kw_only=True)
class DoorWithTls:
    """How a client in the cluster reaches a door that speaks TLS, by an Envoy of its own pod."""

    listen: int
    """On loopback, in clear."""
    address: str
    port: int
    host: str | None
    """What the certificate must be for; None: nobody knows."""
    secret: str
    """Of the certificate."""


@dataclass(frozen=True, kw_only=True)
class ChatPlan:
    """Open WebUI beside the router."""

    image: str
    port: int
    volume_gb: int
    tls: str | None
    """The Secret of its certificate."""
    door: DoorWithTls | None
    """None: the door speaks no TLS, and is asked by its own address."""
    embedding: str | None
    """The model that reads documents for it; None: documents are not read."""
    memory_request: int
    memory_limit: int
    cpu_request: int
    envoy_cpu_request: int
    """Of the Envoy that holds the certificate."""
    envoy_memory_request: int
    envoy_memory_limit: int


@dataclass(frozen=True, kw_only=True)
class LoadTestPlan:
    """A load test that waits for somebody to start it."""

    image: str
    tls: str | None
    """The Secret of the door's certificate."""
    host: str | None
    """What that must be for; None: nobody knows."""
    users: int
    seconds: int
    memory_request: int
    memory_limit: int
    cpu_request: int
