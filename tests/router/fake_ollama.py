"""A server behind the door that a test steers by hand: each chunk waits for the test, each request is kept.

What Ollama itself says and how it fails is the simulator's; this one answers as little as the door needs.
"""

import json
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

PATIENCE = 10.0
MOMENT = "2026-08-21T10:11:12.123456789Z"


@dataclass(frozen=True)
class Asked:
    """A request as it arrived."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class FakeOllama:
    """Answers every POST with its own name; `status` makes it refuse, `gate` holds each chunk of a stream."""

    name: str
    status: int = 200
    delay: float = 0.0
    models: dict[str, str] | None = None
    """What it lists, and the digests; None: it answers no question about that."""
    loaded: list[str] = field(default_factory=list)
    version: str = "0.0.0"
    wants: str = ""
    """What it asks for in `authorization`, of probes and questions too; empty: nothing."""
    hangs: bool = False
    """Takes questions about its models and does not answer them."""
    gate: threading.Semaphore | None = None
    free: int = 0
    """Chunks of each stream that need no gate."""
    asked: list[Asked] = field(default_factory=list)
    """Everything but the health checks."""
    probed: set[str] = field(default_factory=set)
    """The names under which the health checks asked for it."""
    server: ThreadingHTTPServer | None = None

    @property
    def port(self) -> int:
        assert self.server is not None
        port: int = self.server.server_address[1]
        return port

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @contextmanager
    def running(self, certificate: Path | None = None) -> Iterator["FakeOllama"]:
        """Serves on a free port of loopback until the end of the block."""
        self.server = server = _Server(self)
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            server.shutdown()
            server.server_close()
            thread.join(PATIENCE)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 256

    def __init__(self, fake: FakeOllama) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.fake = fake

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that leaves is part of the tests, not an error of them."""


class _Handler(BaseHTTPRequestHandler):
    server: "_Server"
    protocol_version = "HTTP/1.1"
    # Otherwise head and body travel apart, each waiting for the other's acknowledgement.
    wbufsize = -1

    def do_GET(self) -> None:
        self.answer()

    do_POST = do_GET  # noqa: N815
    do_DELETE = do_GET  # noqa: N815
    do_HEAD = do_GET  # noqa: N815

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        if self.server.fake.wants not in ("", self.headers.get("authorization")):
            return self.send(401, {"error": "a key is required"})
        if self.path == "/api/version":
            self.server.fake.probed.add(self.headers["host"])
            return self.send(200, {"version": self.server.fake.version})
        if self.command == "GET" and self.path in ("/api/tags", "/api/ps"):
            return self.lists()
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.fake.asked.append(Asked(self.command, self.path, headers, body))
        time.sleep(self.server.fake.delay)
        if self.server.fake.status != 200:
            return self.send(self.server.fake.status, {"error": f"refused by {self.server.fake.name}"})
        if body and json.loads(body).get("stream"):
            return self.stream(int(json.loads(body)["chunks"]))
        return self.send(200, {"from": self.server.fake.name})

    def lists(self) -> None:
        if self.server.fake.hangs:
            time.sleep(PATIENCE)
        held = self.server.fake.models
        if held is None:
            return self.send(404, {"error": "404 page not found"})
        names = held if self.path == "/api/tags" else self.server.fake.loaded
        time_key = "modified_at" if self.path == "/api/tags" else "expires_at"
        entries = [
            {"name": name, "model": name, "size": len(name), "digest": held[name], time_key: MOMENT} for name in names
        ]
        return self.send(200, {"models": entries})

    def send(self, status: int, content: object) -> None:
        text = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)
        self.wfile.flush()

    def stream(self, chunks: int) -> None:
        self.send_response(200)
        self.send_header("content-type", "application/x-ndjson")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        for number in range(chunks):
            if (
                number >= self.server.fake.free
                and self.server.fake.gate
                and not self.server.fake.gate.acquire(timeout=PATIENCE)
            ):
                return
            line = json.dumps({"from": self.server.fake.name, "number": number}).encode() + b"\n"
            self.wfile.write(b"%x\r\n%s\r\n" % (len(line), line))
            self.wfile.flush()
        self.wfile.write(b"0\r\n\r\n")
        self.wfile.flush()

    def log_message(self, *_: object) -> None:
        """The tests read `asked`."""
