"""Doubles on loopback ports, attached to the engine through the environment."""

from collections.abc import Iterable
from concurrent import futures
from types import TracebackType
from typing import Self

import grpc
from pulumi.runtime.proto import provider_pb2_grpc

from tests.engine.doubles.provider import ProviderDouble

# The engine runs many operations at once; a double must not be what they queue for.
_WORKERS = 16


class Serving:
    """Serves the doubles while its `with` block runs, each on a free port of its own."""

    def __init__(self, doubles: Iterable[ProviderDouble]) -> None:
        self._servers = []
        attached = []
        for double in doubles:
            server = grpc.server(
                futures.ThreadPoolExecutor(max_workers=_WORKERS),
                options=[
                    ("grpc.max_receive_message_length", -1),
                    # Two tests at once must never share a port.
                    ("grpc.so_reuseport", 0),
                ],
            )
            provider_pb2_grpc.add_ResourceProviderServicer_to_server(double, server)
            attached.append(f"{double.package}:{server.add_insecure_port('127.0.0.1:0')}")
            self._servers.append(server)
        self.environment = {"PULUMI_DEBUG_PROVIDERS": ",".join(attached)}

    def __enter__(self) -> Self:
        for server in self._servers:
            server.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for server in self._servers:
            server.stop(grace=None).wait()
