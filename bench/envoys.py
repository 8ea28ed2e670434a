"""What bench/door.py measures between and against: a server that costs little, a plain Envoy."""

import json
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.streams import listens
from infra.local.ports import free_ports
from router.extension import Config, extension
from tests.router.door import ENVOY_OPTIONS, stop, wait_until

ANSWER = {"model": "m", "message": {"role": "assistant", "content": "x" * 120}, "done": True}
LARGEST_LIST = 4 * 2**20
ROOM = 100_000
_BUFFER = "envoy.filters.http.buffer"


@dataclass(frozen=True)
class Running:
    """An Envoy."""

    port: int
    process: "subprocess.Popen[bytes]"

    def kill(self) -> None:
        """At once, and gone when this returns."""
        self.process.kill()
        self.process.wait()


@contextmanager
def backend(
    envoy: Path, folder: Path, models: Sequence[str], *, name: str = "backend", port: int = 0
) -> Iterator[Running]:
    """An Ollama in an Envoy: it answers each chat from memory, so that its own cost is small."""
    entries = [{"name": name, "model": name, "digest": "a" * 64, "size": 1} for name in models]
    answers = {
        "/api/version": {"version": "0.32.15"},
        "/api/tags": {"models": entries},
        "/api/ps": {"models": []},
        "/api/chat": ANSWER,
    }
    routes = [
        {"match": {"path": path}, "direct_response": {"status": 200, "body": {"inline_string": json.dumps(said)}}}
        for path, said in answers.items()
    ]
    with _running(envoy, folder, name, routes, {}, port, reads=True) as running:
        yield running


@contextmanager
def plain(envoy: Path, folder: Path, chat: Sequence[int], stream: int, *, name: str = "plain") -> Iterator[Running]:
    """The least that a proxy can be: a route, a cluster with probes, nothing that reads a body."""
    routes = [
        {"match": {"path": "/api/generate"}, "route": {"cluster": "stream", "timeout": "0s"}},
        {"match": {"prefix": "/"}, "route": {"cluster": "chat", "timeout": "0s"}},
    ]
    with _running(envoy, folder, name, routes, {"chat": chat, "stream": [stream]}) as running:
        yield running


@contextmanager
def _running(
    envoy: Path,
    folder: Path,
    name: str,
    routes: list[Config],
    clusters: dict[str, Sequence[int]],
    port: int = 0,
    *,
    reads: bool = False,
) -> Iterator[Running]:
    if not port:
        (port,) = free_ports(1)
    manager = extension(
        "envoy.filters.network.http_connection_manager",
        "extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        stat_prefix=name,
        route_config={
            "name": name,
            "max_direct_response_body_size_bytes": LARGEST_LIST,
            "virtual_hosts": [{"name": name, "domains": ["*"], "routes": routes}],
        },
        # an answer before the request has ended costs the connection, which Ollama keeps
        http_filters=[
            *(
                [extension(_BUFFER, "extensions.filters.http.buffer.v3.Buffer", max_request_bytes=2**20)]
                if reads
                else []
            ),
            extension("envoy.filters.http.router", "extensions.filters.http.router.v3.Router"),
        ],
    )
    config: dict[str, Any] = {
        "static_resources": {
            "listeners": [{"name": name, "address": _at(port), "filter_chains": [{"filters": [manager]}]}],
            "clusters": [_cluster(cluster, at) for cluster, at in clusters.items()],
        }
    }
    file = folder / f"{name}.json"
    file.write_text(json.dumps(config))
    with (folder / f"{name}.log").open("wb") as log:
        process = subprocess.Popen([envoy, "-c", file, *ENVOY_OPTIONS], stdout=log, stderr=log)
        try:
            wait_until(lambda: listens(port), 20, f"{name} listens")
            yield Running(port, process)
        finally:
            stop(process)


def _cluster(name: str, ports: Sequence[int]) -> Config:
    return {
        "name": name,
        "type": "STRICT_DNS",
        "connect_timeout": "1s",
        "circuit_breakers": {
            "thresholds": [{"max_connections": ROOM, "max_pending_requests": ROOM, "max_requests": ROOM}]
        },
        "health_checks": [
            {
                "timeout": "1s",
                "interval": "1s",
                "unhealthy_threshold": 2,
                "healthy_threshold": 1,
                "http_health_check": {"path": "/api/version"},
            }
        ],
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": _at(port)}} for port in ports]}],
        },
    }


def _at(port: int) -> Config:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}
