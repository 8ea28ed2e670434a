"""A registry double on loopback that serves Ollama's manifest and blob protocol as `ollama pull` asks for it.

Read in server/images.go and server/download.go of Ollama 0.17.4: GET of the manifest; HEAD of each blob for its size;
GET of the blob, whose answer must be a redirect to another host name (the client keeps its `Location`); ranged GETs
there. So the registry is 127.0.0.1 and its blobs lie on localhost, both on one port.
"""

import hashlib
import json
import re
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

_MEDIA = "application/vnd.docker.distribution.manifest.v2+json"


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@dataclass
class Registry:
    """What it serves, how it fails, and what it was asked for."""

    port: int = 0
    manifests: dict[str, bytes] = field(default_factory=dict)
    blobs: dict[str, bytes] = field(default_factory=dict)
    refused: dict[str, tuple[int, str]] = field(default_factory=dict)
    """Answers instead of manifests: status and body."""
    stalled: set[str] = field(default_factory=set)
    """Blobs of which only the first half is sent; then the connection stays open."""
    stalls_after: int | None = None
    """Bytes of each answer before it stalls; left out, the half."""
    whole_only: bool = False
    """It knows no ranges."""
    answers: dict[str, tuple[int, dict[str, str]]] = field(default_factory=dict)
    """Status and headers for a path that is no model's."""
    tls: ssl.SSLContext | None = None
    blobs_at: str = ""
    """Where the redirects lead; left out, here under another name."""
    requests: list[str] = field(default_factory=list)
    bytes_sent: int = 0
    ended: threading.Event = field(default_factory=threading.Event)

    def publish(self, name: str, weights: bytes, note: str = "") -> str:
        """Serve a model under NAMESPACE/MODEL:TAG. Returns its digest; another note gives another one."""
        config = {
            "model_format": "gguf",
            "model_family": "llama",
            "model_families": ["llama"],
            "model_type": note or "tiny",
            "file_type": "F32",
            "architecture": "amd64",
            "os": "linux",
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{_sha256(weights)}"]},
        }
        manifest = {
            "schemaVersion": 2,
            "mediaType": _MEDIA,
            "config": self._layer("application/vnd.docker.container.image.v1+json", json.dumps(config).encode()),
            "layers": [self._layer("application/vnd.ollama.image.model", weights)],
        }
        self.manifests[name] = json.dumps(manifest, separators=(",", ":")).encode()
        return _sha256(self.manifests[name])

    def source(self, name: str) -> str:
        """`name` here, over plain HTTP."""
        return f"http://127.0.0.1:{self.port}/{name}"

    def forget_requests(self) -> None:
        self.requests.clear()
        self.bytes_sent = 0

    def _layer(self, media: str, data: bytes) -> dict[str, Any]:
        digest = f"sha256:{_sha256(data)}"
        self.blobs[digest] = data
        return {"mediaType": media, "digest": digest, "size": len(data)}

    @contextmanager
    def running(self) -> Iterator["Registry"]:
        """Serve until the block ends; connections that stall are ended with it."""
        registry = self

        class Handler(_Handler):
            serves = registry

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        if self.tls is not None:
            server.socket = self.tls.wrap_socket(server.socket, server_side=True)
        self.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield self
        finally:
            self.ended.set()
            server.shutdown()
            thread.join()
            server.server_close()


class _Handler(BaseHTTPRequestHandler):
    serves: Registry
    protocol_version = "HTTP/1.1"

    def handle(self) -> None:
        # an Ollama that is killed while it downloads is what some tests are about
        with suppress(ConnectionError):
            super().handle()

    def do_GET(self) -> None:
        registry = self.serves
        registry.requests.append(f"{self.command} {self.path}")
        if found := re.fullmatch(r"/v2/(.+)/manifests/(.+)", self.path):
            name = f"{found[1]}:{found[2]}"
            if name in registry.refused:
                status, text = registry.refused[name]
                self._answer(status, text.encode())
            elif name in registry.manifests:
                self._answer(200, registry.manifests[name], {"Content-Type": _MEDIA})
            else:
                self._answer(404, b'{"errors":[{"code":"MANIFEST_UNKNOWN"}]}')
        elif (found := re.fullmatch(r"/v2/.+/blobs/(sha256:\w+)", self.path)) and found[1] in registry.blobs:
            self._answer(
                307, b"", {"Location": f"{registry.blobs_at or f'http://localhost:{registry.port}'}/data/{found[1]}"}
            )
        elif (found := re.fullmatch(r"/data/(sha256:\w+)", self.path)) and found[1] in registry.blobs:
            self._blob(found[1])
        elif self.path in registry.answers:
            status, headers = registry.answers[self.path]
            self._answer(status, b"", headers)
        else:
            self._answer(404, b"")

    do_HEAD = do_GET  # noqa: N815  the base class looks for this name

    def _blob(self, digest: str) -> None:
        data = self.serves.blobs[digest]
        status = 200
        span = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if span and not self.serves.whole_only:
            start, end = int(span[1]), int(span[2]) + 1 if span[2] else len(data)
            if start >= len(data):
                self._answer(416, b"")
                return
            status, whole, data = 206, len(data), data[start:end]
        stalls = digest in self.serves.stalled and self.command == "GET"
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        if status == 206:
            self.send_header("Content-Range", f"bytes {start}-{start + len(data) - 1}/{whole}")
        self.end_headers()
        if self.command == "GET":
            stop = len(data) // 2 if self.serves.stalls_after is None else self.serves.stalls_after
            sent = data[:stop] if stalls else data
            self.wfile.write(sent)
            self.serves.bytes_sent += len(sent)
        if stalls:
            self.wfile.flush()
            self.serves.ended.wait(60)

    def _answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  the base class's name
        pass
