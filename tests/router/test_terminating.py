"""TLS before a server that speaks none, as the chat page has it: the real Envoy before a simulated server."""

import http.client
import json
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from infra.local.ports import free_ports
from router import terminating
from simulator import Behaviour, Model, Server
from tests.router.door import stop, wait_until
from tests.simulated import running

START_SECONDS = 20.0


@contextmanager
def opened(envoy: Path, folder: Path, certificate: Path, server: int) -> Iterator[int]:
    """Its port, while Envoy holds it with this certificate."""
    (port,) = free_ports(1)
    pair, configuration = folder / "pair", folder / "configuration"
    pair.mkdir()
    configuration.mkdir()
    for name in ("tls.crt", "tls.key"):
        (pair / name).write_bytes(certificate.read_bytes())
    for name, text in terminating.files(port, server, configuration=str(configuration), pair=str(pair)).items():
        (configuration / name).write_text(text)
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [envoy, "-c", configuration / terminating.FILE, "--disable-hot-restart", "-l", "warning"],
            stdout=log,
            stderr=log,
        )
    try:
        yield port
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
        opened(envoy, tmp_path, certificate, server) as port,
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
        opened(envoy, tmp_path, certificate, server) as port,
    ):
        wait_until(lambda: answers(port, certificate), START_SECONDS)
        one = connection(port, certificate)
        one.request("GET", "/no-such-path", headers={"connection": "Upgrade", "upgrade": "websocket"})
        # the simulator has no such page; an Envoy that takes no upgrade answers 403 by itself
        assert one.getresponse().status == http.client.NOT_FOUND
        one.close()
