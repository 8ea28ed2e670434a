"""A small HTTP server for what is read from memory."""

import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

PATIENCE = 30
"""Seconds without a byte after which a connection is given up."""
SHORT_BODY = re.compile(r"[0-9]{1,5}")
"""Of a length that is worth reading only to throw it away."""


@dataclass(frozen=True, kw_only=True)
class Reply:
    """An answer."""

    status: int = 200
    kind: str = "application/json; charset=utf-8"
    text: str = ""


Answers = Mapping[tuple[str, str], Callable[[], Reply]]
"""What answers a method and a path. HEAD is answered as GET without its body."""


class Web:
    """Serves `answers` on a port until it is closed."""

    def __init__(self, address: str, port: int, answers: Answers) -> None:
        self._server = _Server((address, port), answers)
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

    def __init__(self, address: tuple[str, int], answers: Answers) -> None:
        super().__init__(address, _Handler)
        self.answers = answers

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that leaves is no error."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    # otherwise head and body travel apart, each waiting for the other's acknowledgement
    wbufsize = -1
    timeout = PATIENCE

    def do_GET(self) -> None:
        """Any method."""
        method = "GET" if self.command == "HEAD" else self.command
        answer = self.server.answers.get((method, self.path.partition("?")[0]))
        reply = answer() if answer else Reply(status=404, kind="text/plain", text="404 page not found\n")
        body = reply.text.encode()
        self.send_response(reply.status)
        self.send_header("content-type", reply.kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
        self.wfile.flush()
        self._pass_over_body()

    do_HEAD = do_GET  # noqa: N815
    do_POST = do_GET  # noqa: N815

    def _pass_over_body(self) -> None:
        """Nothing here takes one. Left where it is, it would be read as the next request: Envoy hands on the body of a
        GET too, and `POST /drain` in it would close the door."""
        length = self.headers.get("content-length", "0")
        if "transfer-encoding" in self.headers or not SHORT_BODY.fullmatch(length):
            self.close_connection = True
        else:
            self.rfile.read(int(length))

    def log_message(self, *_: object) -> None:
        """Envoy's access log has every request that a client sent."""
