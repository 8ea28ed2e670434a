"""Pods of KWOK with a server each: what the kubelet and kube-dns do for those of the pools, on loopback."""

import itertools
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.cluster.kube import Kube
from tests.cluster.names import Names
from tests.router.fake_ollama import FakeOllama

LOOK_EVERY = 0.2
DRAIN_SECONDS = 8.0
"""For which the server of a deleted pod answers on: its hook waits for the last request, and a router looks names up
every five."""
DIGEST = "a" * 64


@dataclass
class Server:
    """The server of a pod."""

    fake: FakeOllama
    address: str
    stack: ExitStack
    gone_at: float | None = None


@dataclass
class Played:
    """The servers of the pods of some Services, as the API server has them at this moment."""

    kube: Kube
    namespace: str
    services: Sequence[str]
    models: Sequence[str]
    names: Names
    port: int
    servers: dict[str, Server] = field(default_factory=dict)
    """By the name of the pod."""
    trouble: list[BaseException] = field(default_factory=list)
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    @contextmanager
    def running(self) -> Iterator["Played"]:
        """Until the end of the block."""
        stop = threading.Event()

        def follow() -> None:
            while not stop.is_set():
                try:
                    self._look()
                except Exception as error:  # noqa: BLE001 - told at the end of the block
                    self.trouble.append(error)
                    return
                stop.wait(LOOK_EVERY)

        thread = threading.Thread(target=follow, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            stop.set()
            thread.join(30)
            for server in self.servers.values():
                server.stack.close()
        assert not self.trouble, self.trouble

    def asked(self, pod: str) -> int:
        """How many requests a pod has answered."""
        return len(self.servers[pod].fake.asked) if pod in self.servers else 0

    def _look(self) -> None:
        pods = {pod["metadata"]["name"]: pod for pod in self.kube.list("v1", "Pod", self.namespace)}
        for name, pod in pods.items():
            if name not in self.servers and pod.get("status", {}).get("podIP") and self._pool(pod):
                self._start(name)
        for name, server in self.servers.items():
            if name not in pods and server.gone_at is None:
                server.gone_at = time.monotonic()
            if server.gone_at is not None and time.monotonic() - server.gone_at > DRAIN_SECONDS:
                server.stack.close()
        self.names.put({self._full(service): self._ready(service) for service in self.services})

    def _pool(self, pod: dict[str, dict[str, dict[str, str]]]) -> bool:
        return f"ollama-{pod['metadata']['labels'].get('ollama-fleet/pool')}" in self.services

    def _start(self, pod: str) -> None:
        address = f"127.66.0.{next(self._numbers)}"
        fake = FakeOllama(pod, models=dict.fromkeys(self.models, DIGEST), version="0.32.15")
        stack = ExitStack()
        stack.enter_context(fake.running(at=(address, self.port)))
        self.servers[pod] = Server(fake, address, stack)

    def _full(self, service: str) -> str:
        return f"{service}.{self.namespace}.svc.cluster.local"

    def _ready(self, service: str) -> list[str]:
        """As kube-dns answers for a headless Service: the endpoints that are ready, at the addresses that stand for
        them here."""
        selector = f"kubernetes.io/service-name={service}"
        slices = self.kube.list("discovery.k8s.io/v1", "EndpointSlice", self.namespace, selector)
        found = [one for each in slices for one in each["endpoints"] or [] if one["conditions"].get("ready")]
        pods = [one["targetRef"]["name"] for one in found]
        return sorted(self.servers[pod].address for pod in pods if pod in self.servers)


def resolver(port: int) -> str:
    """Envoy's option that makes it look names up there."""
    return (
        '{"typed_dns_resolver_config": {"name": "envoy.network.dns_resolver.cares", "typed_config": {"@type": '
        '"type.googleapis.com/envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig", "resolvers": '
        f'[{{"socket_address": {{"address": "127.0.0.1", "port_value": {port}}}}}]}}}}}}'
    )


def program(folder: Path, files: dict[str, str]) -> Path:
    """The router's program as its ConfigMap has it; the folder to run it in."""
    package = folder / "program" / "router"
    package.mkdir(parents=True)
    for name, text in files.items():
        (package / name).write_text(text)
    return package.parent
