"""A small HTTP server for what is read from memory."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

NAME_HEADER = "x-fleet-key"
"""The name of a request's key: never taken from outside, set by Envoy, never sent to a pool."""

PATIENCE = 30
"""Seconds without a byte after which a connection is given up."""


@dataclass(frozen=True, kw_only=True)
class Reply:
    """An answer."""

    status: int = 200
    kind: str = "application/json; charset=utf-8"
    text: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)


Answers = Mapping[tuple[str, str], Callable[[], Reply]]
"""What answers a method and a path. HEAD is answered as GET without its body."""
ByKey = Mapping[tuple[str, str], Callable[[str], Reply]]
"""The same, for what depends on the key of the request: it is given the key's name, empty where nobody needs one."""


class Web:
    """Serves `answers` and `by_key` on a port until it is closed."""

    def __init__(self, address: str, port: int, answers: Answers, by_key: ByKey | None = None) -> None:
        self._server = _Server((address, port), answers, by_key or {})
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Ends it."""
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], answers: Answers, by_key: ByKey) -> None:
        super().__init__(address, _Handler)
        self.answers = answers
        self.by_key = by_key

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that leaves is no error."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    # otherwise head and body travel apart, each waiting for the other's acknowledgement
    wbufsize = -1
    timeout = PATIENCE
    server_version, sys_version = "ollama-fleet", ""

    def do_GET(self) -> None:
        """Any method."""
        method = "GET" if self.command == "HEAD" else self.command
        reply = self._reply((method, self.path.partition("?")[0]))
        body = reply.text.encode()
        self.send_response(reply.status)
        self.send_header("content-type", reply.kind)
        self.send_header("content-length", str(len(body)))
        for name, value in reply.headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
        self.wfile.flush()

    do_HEAD = do_GET  # noqa: N815
    do_POST = do_GET  # noqa: N815

    def _reply(self, asked: tuple[str, str]) -> Reply:
        if answer := self.server.answers.get(asked):
            return answer()
        if by_key := self.server.by_key.get(asked):
            return by_key(self.headers.get(NAME_HEADER) or "")
        return Reply(status=404, kind="text/plain", text="404 page not found\n")

    def log_message(self, *_: object) -> None:
        """Envoy's access log has every request that a client sent."""
