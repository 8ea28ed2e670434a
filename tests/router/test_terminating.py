"""TLS around a server that speaks none, as the chat page has it: the real Envoy before it, and on its way to a door."""

import http.client
import http.server
import itertools
import json
import shutil
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from infra.local.ports import free_ports
from router import terminating
from simulator import Behaviour, Model, Server
from tests.router.conftest import self_signed
from tests.router.door import Mount, stop, wait_until
from tests.simulated import running

START_SECONDS = 20.0
MEMORY = 2**28
PICTURE = b"x" * 8_000_000


@contextmanager
def opened(envoy: Path, folder: Path, certificate: Path, server: int) -> Iterator[tuple[int, int]]:
    """Its port, while Envoy holds it with this certificate, and Envoy's process."""
    (port,) = free_ports(1)
    pair, configuration = folder / "pair", folder / "configuration"
    pair.mkdir()
    configuration.mkdir()
    for name in ("tls.crt", "tls.key"):
        (pair / name).write_bytes(certificate.read_bytes())
    files = terminating.files(port, server, configuration=str(configuration), pair=str(pair), memory=MEMORY)
    for name, text in files.items():
        (configuration / name).write_text(text)
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [envoy, "-c", configuration / terminating.FILE, "--disable-hot-restart", "-l", "warning"],
            stdout=log,
            stderr=log,
        )
    try:
        yield port, process.pid
    finally:
        stop(process)


def connection(port: int, certificate: Path) -> http.client.HTTPSConnection:
    context = ssl.create_default_context(cafile=str(certificate))
    return http.client.HTTPSConnection("localhost", port, timeout=10, context=context)


def answers(port: int, certificate: Path) -> bool:
    one = connection(port, certificate)
    try:
        one.request("GET", "/api/version")
        return one.getresponse().status == http.client.OK
    except OSError:
        return False
    finally:
        one.close()


def test_a_stream_passes_under_the_certificate_and_nothing_passes_in_clear(
    envoy: Path, certificate: Path, tmp_path: Path
) -> None:
    with (
        running(Server("t4", [Model(name="m")], Behaviour())) as server,
        opened(envoy, tmp_path, certificate, server) as (port, _),
    ):
        wait_until(lambda: answers(port, certificate), START_SECONDS)
        one = connection(port, certificate)
        one.request("POST", "/api/chat", json.dumps({"model": "m", "messages": [{"role": "user", "content": "hi"}]}))
        lines = one.getresponse().read().splitlines()
        assert json.loads(lines[-1])["done"] is True
        one.close()
        clear = http.client.HTTPConnection("localhost", port, timeout=10)
        clear.request("GET", "/api/version")
        try:
            assert clear.getresponse().status != http.client.OK
        except (http.client.HTTPException, OSError):
            pass
        finally:
            clear.close()


def test_a_websocket_is_let_through(envoy: Path, certificate: Path, tmp_path: Path) -> None:
    """The page lives on one: the request for it reaches the server as such."""
    with (
        running(Server("t4", [Model(name="m")], Behaviour())) as server,
        opened(envoy, tmp_path, certificate, server) as (port, _),
    ):
        wait_until(lambda: answers(port, certificate), START_SECONDS)
        one = connection(port, certificate)
        one.request("GET", "/no-such-path", headers={"connection": "Upgrade", "upgrade": "websocket"})
        # the simulator has no such page; an Envoy that takes no upgrade answers 403 by itself
        assert one.getresponse().status == http.client.NOT_FOUND
        one.close()


class Pictures(http.server.ThreadingHTTPServer):
    """Of which each is more than there is room for on the way."""

    daemon_threads, block_on_close, request_queue_size = True, False, 256

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that leaves is part of the test."""


class Picture(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        if self.path == "/picture":
            self.wfile.write(PICTURE)


def test_who_reads_nothing_of_what_he_asked_for_takes_no_memory(envoy: Path, certificate: Path, tmp_path: Path) -> None:
    with ExitStack() as stack:
        server = stack.enter_context(Pictures(("127.0.0.1", 0), Picture))
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        stack.callback(server.shutdown)
        port, process = stack.enter_context(opened(envoy, tmp_path, certificate, server.server_address[1]))
        wait_until(lambda: answers(port, certificate), START_SECONDS)
        trusting = ssl.create_default_context(cafile=str(certificate))
        for _ in range(60):
            one = http.client.HTTPSConnection("localhost", port, timeout=10, context=trusting)
            stack.callback(one.close)
            one.request("GET", "/picture")
        wait_until(lambda: answers(port, certificate), START_SECONDS)
        status = Path(f"/proc/{process}/status").read_text().splitlines()
        taken = next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))
        assert taken < 2**27


def test_who_never_ends_his_headers_is_hung_up_and_connections_have_a_bound() -> None:
    files = terminating.files(1, 2, configuration="/a", pair="/b", memory=MEMORY)
    bootstrap = json.loads(files[terminating.FILE])
    (listener,) = bootstrap["static_resources"]["listeners"]
    manager = listener["filter_chains"][0]["filters"][0]["typed_config"]
    assert manager["request_headers_timeout"] == "10s"
    heap, connections = (one["typed_config"] for one in bootstrap["overload_manager"]["resource_monitors"])
    assert (heap["max_heap_size_bytes"], connections["max_active_downstream_connections"]) == (MEMORY, 1000)


@contextmanager
def asking(envoy: Path, folder: Path, certificate: Path, door: int, name: str = "") -> Iterator[tuple[int, Mount]]:
    """The port on loopback that leads to a door with TLS, and the mounted certificate that is believed of it."""
    port, listen = free_ports(2)
    pair, configuration = folder / "pair", folder / "configuration"
    believed = Mount(folder / "believed")
    pair.mkdir()
    configuration.mkdir()
    for file in ("tls.crt", "tls.key"):
        (pair / file).write_bytes(certificate.read_bytes())
    believed.publish({"tls.crt": certificate.read_text()})
    way = terminating.Door(listen=listen, address="localhost", port=door, name=name, folder=str(believed.folder))
    files = terminating.files(port, listen, configuration=str(configuration), pair=str(pair), memory=MEMORY, door=way)
    for file, text in files.items():
        (configuration / file).write_text(text)
    with (folder / "log").open("wb") as log:
        command = [envoy, "-c", configuration / terminating.FILE, "--disable-hot-restart", "-l", "warning"]
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        wait_until(lambda: status(listen) is not None, START_SECONDS)
        yield listen, believed
    finally:
        stop(process)


def status(port: int) -> int | None:
    """Of a request in clear on loopback; None where nobody listens."""
    one = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        one.request("GET", "/api/version")
        return one.getresponse().status
    except OSError:
        return None
    finally:
        one.close()


@pytest.mark.parametrize(("name", "answered"), [("", 200), ("localhost", 200), ("other.example.org", 503)])
def test_the_way_to_the_door_leads_to_its_certificate_and_to_no_other_name(
    envoy: Path, certificate: Path, tmp_path: Path, name: str, answered: int
) -> None:
    with (
        running(Server("t4", [Model(name="m")], Behaviour()), certificate) as door,
        asking(envoy, tmp_path, certificate, door, name) as (listen, _),
    ):
        assert status(listen) == answered


def test_whoever_shows_another_certificate_is_not_asked_until_the_secret_has_that_one(
    envoy: Path, certificate: Path, another: Path, tmp_path: Path
) -> None:
    """A renewed one is taken up, as the kubelet swaps it in."""
    with (
        running(Server("t4", [Model(name="m")], Behaviour()), another) as door,
        asking(envoy, tmp_path, certificate, door, "localhost") as (listen, believed),
    ):
        assert status(listen) == http.client.SERVICE_UNAVAILABLE
        believed.publish({"tls.crt": another.read_text()})
        wait_until(lambda: status(listen) == http.client.OK, START_SECONDS)


def test_a_renewed_certificate_of_the_same_authority_is_believed_at_once_and_for_its_name_alone(
    envoy: Path, issued: Callable[[str], Path], tmp_path: Path
) -> None:
    """The door may have it before the chat's mount does."""
    before, after, elsewhere = issued("localhost"), issued("localhost"), issued("elsewhere.example.org")
    for number, (shown, answered) in enumerate(((after, 200), (elsewhere, 503))):
        folder = tmp_path / str(number)
        folder.mkdir()
        with (
            running(Server("t4", [Model(name="m")], Behaviour()), shown) as door,
            asking(envoy, folder, before, door, "localhost") as (listen, _),
        ):
            assert status(listen) == answered


@pytest.mark.parametrize(("name", "answered"), [("llm.example.org", 200), ("a.llm.example.org", 503)])
def test_a_certificate_for_all_names_of_a_domain_is_for_each_of_them(
    envoy: Path, issued: Callable[[str], Path], tmp_path: Path, name: str, answered: int
) -> None:
    shown = issued("*.example.org")
    with (
        running(Server("t4", [Model(name="m")], Behaviour()), shown) as door,
        asking(envoy, tmp_path, shown, door, name) as (listen, _),
    ):
        assert status(listen) == answered


def test_a_stream_passes_to_the_door(envoy: Path, certificate: Path, tmp_path: Path) -> None:
    with (
        running(Server("t4", [Model(name="m")], Behaviour()), certificate) as door,
        asking(envoy, tmp_path, certificate, door, "localhost") as (listen, _),
    ):
        one = http.client.HTTPConnection("127.0.0.1", listen, timeout=10)
        one.request("POST", "/api/chat", json.dumps({"model": "m", "messages": [{"role": "user", "content": "hi"}]}))
        assert json.loads(one.getresponse().read().splitlines()[-1])["done"] is True
        one.close()


@pytest.fixture
def another(tmp_path: Path) -> Path:
    """A second certificate for `localhost`, of nobody that the first one knows."""
    return self_signed(tmp_path)


@pytest.fixture
def issued(tmp_path: Path) -> Callable[[str], Path]:
    """Makes certificates of one authority for a name, each a file with key, leaf and authority."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("no openssl on PATH, which makes the test's certificate")
    numbers = itertools.count()

    def ran(*words: str) -> None:
        subprocess.run([openssl, *words], cwd=tmp_path, check=True, capture_output=True, timeout=30)

    new_key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    ran("req", "-x509", *new_key, "-keyout", "ca.key", "-out", "ca.pem", "-days", "2", "-subj", "/CN=authority")

    def one(name: str) -> Path:
        stem = f"issued{next(numbers)}"
        ran("req", *new_key, "-keyout", f"{stem}.key", "-out", f"{stem}.csr", "-subj", f"/CN={name}")
        (tmp_path / f"{stem}.ext").write_text(f"subjectAltName=DNS:{name}\n")
        signing = ("-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-extfile", f"{stem}.ext")
        ran("x509", "-req", "-in", f"{stem}.csr", "-out", f"{stem}.pem", *signing)
        both = tmp_path / f"{stem}-both.pem"
        both.write_text("".join((tmp_path / f).read_text() for f in (f"{stem}.key", f"{stem}.pem", "ca.pem")))
        return both

    return one
