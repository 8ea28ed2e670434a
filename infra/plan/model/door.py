"""The router."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from infra.config.model import Router

OLLAMA_PORT = 11434


@dataclass(frozen=True, kw_only=True)
class RouterPlan:
    """The door and the map that it follows."""

    image: str
    """Envoy's."""
    control_image: str
    """The Python of the process beside it."""
    replicas: int
    most_replicas: int
    cpu_target: int
    """Per cent of the CPU that its containers ask for, above which there are more of them."""
    port: int
    admin_port: int
    """Loopback only, as `beside_port` and `spill_port`."""
    metrics_port: int
    beside_port: int
    spill_port: int
    threads: int
    """Of Envoy, each of which reads one body at a time."""
    cpu_request: int
    memory_request: int
    memory_limit: int
    control_cpu_request: int
    control_memory_request: int
    control_memory_limit: int
    leave_seconds: int
    drain_limit: int
    """Seconds that open requests are waited for when a router stops, after `leave_seconds`."""
    priority_class: str
    settings: Router
    routes: str
    """The text of routes.toml."""
    facts: str
    """The text of facts.json."""
    rules: str
    """The text of door.json, in which no key stands."""
    keys: tuple[str, ...]
    """The names of the keys; none where nobody needs one."""
    sites: tuple[str, ...] = ()
    """The sites that it reaches by a URL, each with a token where the stack has one."""
    authorities: Mapping[str, str] = field(default_factory=dict)
    """Site -> whom its certificate is from, as PEM text; any other is believed as the system does."""
