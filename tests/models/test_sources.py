"""Where models come from: a registry behind TLS and a proxy, a volume, a file; and what is said when they do not."""

import hashlib
import shutil
import socket
import socketserver
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from infra.plan.model import Prepared
from tests.models.pod import Pod
from tests.models.registry import Registry
from tests.required import leave_out

TINY = "library/tiny:latest"
TLS, UNKNOWN_MODEL, DISK_FULL, WRONG_DIGEST, NO_SOURCE = 12, 14, 15, 17, 22
HOST = "registry.test"


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a certificate that signs itself, and its key."""
    folder = tmp_path_factory.mktemp("certificate")
    program = shutil.which("openssl")
    if program is None:
        leave_out("TLS left out: no openssl on PATH; `apt-get install openssl` brings it")
    names = f"subjectAltName=DNS:{HOST},DNS:blobs.test,IP:127.0.0.1"
    subprocess.run(
        [
            *(str(program), "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"),
            *("-days", "30", "-subj", "/CN=test", "-addext", names),
            *("-keyout", folder / "key.pem", "-out", folder / "ca.pem"),
        ],
        check=True,
        capture_output=True,
    )
    return folder


@pytest.fixture
def secure(certificate: Path) -> Iterator[Registry]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate / "ca.pem", certificate / "key.pem")
    with Registry(tls=context, blobs_at="https://blobs.test").running() as running:
        yield running


def trusted(certificate: Path, tmp_path: Path) -> str:
    folder = tmp_path / "trusted"
    folder.mkdir()
    shutil.copy(certificate / "ca.pem", folder / "proxy-ca.pem")
    return str(folder)


@contextmanager
def proxy(to: int, *, refuses: bool = False) -> Iterator[tuple[str, list[str]]]:
    """A proxy on loopback that leads every CONNECT to the port `to`; its URL, and what it was asked for."""
    asked: list[str] = []

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            asked.append(self.rfile.readline().decode().split(" ")[1])
            while self.rfile.readline().strip():
                pass
            if refuses:
                self.wfile.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
                return
            self.wfile.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            with socket.create_connection(("127.0.0.1", to)) as registry:
                back = threading.Thread(target=self._pass, args=(registry, self.connection), daemon=True)
                back.start()
                self._pass(self.connection, registry)
                back.join(5)

        @staticmethod
        def _pass(source: socket.socket, target: socket.socket) -> None:
            try:
                while data := source.recv(65536):
                    target.sendall(data)
                target.shutdown(socket.SHUT_WR)
            except OSError:
                pass

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True
        block_on_close = False

    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}", asked
        finally:
            server.shutdown()
            thread.join()


def pulled(source: str, digest: str | None = None) -> Prepared:
    return Prepared(name="tiny", action="pull", source=source, digest=digest)


def test_a_model_comes_through_a_proxy_with_a_ca_of_its_own(
    pod: Pod, secure: Registry, weights: bytes, certificate: Path, tmp_path: Path
) -> None:
    digest = secure.publish(TINY, weights)
    pod.mount(pulled(f"{HOST}/{TINY}", digest))
    with proxy(secure.port) as (url, asked):
        run = pod.init(HTTPS_PROXY=url, SSL_CERT_DIR=trusted(certificate, tmp_path))
    assert run.code == 0, run.output
    assert {f"{HOST}:443", "blobs.test:443"} <= set(asked)
    with pod.serving() as server:
        assert server.chat("tiny")["done"]


def test_a_ca_that_is_not_known_is_named(pod: Pod, secure: Registry, weights: bytes) -> None:
    secure.publish(TINY, weights)
    pod.mount(pulled(f"{HOST}/{TINY}"))
    with proxy(secure.port) as (url, _):
        run = pod.init(HTTPS_PROXY=url)
    assert run.code == TLS, run.output
    assert run.message.startswith(f"TLS to the registry failed for {HOST}/{TINY} (a proxy's CA missing")
    assert "x509" in run.message


def test_a_proxy_that_is_not_there_or_refuses_is_named(pod: Pod, secure: Registry) -> None:
    pod.mount(pulled(f"{HOST}/{TINY}"))
    absent = pod.init(HTTPS_PROXY="http://127.0.0.1:1")
    with proxy(secure.port, refuses=True) as (url, _):
        refused = pod.init(HTTPS_PROXY=url)
    for run in (absent, refused):
        assert run.code == TLS, run.output
        assert run.message.startswith(f"the proxy does not let {HOST}/{TINY} through: ")


def test_a_model_that_is_on_the_volume_is_verified_without_a_registry(
    pod: Pod, registry: Registry, weights: bytes
) -> None:
    digest = registry.publish(TINY, weights)
    pod.hold(registry)
    folder = pod.store / "manifests" / "registry.ollama.ai" / "library" / "tiny"
    folder.mkdir(parents=True)
    (folder / "latest").write_bytes(registry.manifests[TINY])

    def verify(name: str, digest: str | None) -> None:
        pod.mount(Prepared(name=name, action="verify", digest=digest))

    verify("tiny", digest)
    run = pod.init()
    assert (run.code, registry.requests) == (0, []), run.output

    verify("tiny", "0" * 64)
    run = pod.init()
    assert run.code == WRONG_DIGEST, run.output
    assert run.message == f"digest differs for tiny: {pod.store} has {digest}, the file pins {'0' * 64}\n"
    assert (folder / "latest").exists()  # it is not ours to remove

    verify("other", None)
    run = pod.init()
    assert run.code == NO_SOURCE, run.output
    assert run.message == f"other is not whole in {pod.store}, and registry: none fetches nothing\n"


def test_a_model_is_made_from_a_file_on_the_volume(pod: Pod, weights: bytes) -> None:
    digest = hashlib.sha256(weights).hexdigest()
    text = "FROM ./mine.gguf\nPARAMETER num_ctx 256\n"

    def mount(digest: str | None) -> None:
        pod.mount(Prepared(name="mine", action="create", source=text, digest=digest))

    mount(digest)
    missing = pod.init()
    assert missing.code == NO_SOURCE, missing.output
    assert missing.message == f"mine is made from {pod.store}/files/mine.gguf, which is not there\n"

    (pod.store / "files").mkdir()
    (pod.store / "files" / "mine.gguf").write_bytes(weights)
    mount("0" * 64)
    wrong = pod.init()
    assert wrong.code == WRONG_DIGEST, wrong.output
    assert digest in wrong.message

    mount(digest)
    assert pod.init().code == 0
    second = pod.init()
    assert second.code == 0
    assert "creating" not in second.output
    with pod.serving() as server:
        assert server.chat("mine")["done"]
        assert server.loaded_context("mine:latest") == 256


def test_a_chain_of_declared_models_is_made_in_order(pod: Pod, registry: Registry, weights: bytes) -> None:
    pod.mount(
        pulled(registry.source(TINY), registry.publish(TINY, weights)),
        Prepared(name="c", action="create", source="FROM tiny\nPARAMETER temperature 0.1\n"),
        Prepared(name="b", action="create", source="FROM c\nPARAMETER top_k 7\n"),
        Prepared(name="gpt-4", action="copy", source="b"),
    )
    assert pod.init().code == 0
    with pod.serving() as server:
        assert set(server.parameters("gpt-4").split()) == {"temperature", "0.1", "top_k", "7"}
        assert server.chat("gpt-4")["done"]
