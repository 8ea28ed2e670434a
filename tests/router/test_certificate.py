"""The door's own certificate: a renewed one is served at once, a broken one is not."""

import http.client
import ssl
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.router.certificates import tls_secret
from tests.router.conftest import OpenDoor
from tests.router.door import Door, wait_until

MAP = '[routes]\nm = ["t4"]\n[pools]\nt4 = "127.0.0.1:9"\n'


def test_a_certificate_is_exchanged_without_a_restart_and_a_broken_one_is_not(
    open_door: OpenDoor, tmp_path: Path
) -> None:
    first, second = tls_secret(tmp_path / "first", "first.example"), tls_secret(tmp_path / "second", "second.example")
    door = open_door(MAP, pair=first)
    wait_until(lambda: _served(door) == _der(first))
    door.tls.publish(second)
    wait_until(lambda: _served(door) == _der(second))
    door.tls.publish({"tls.crt": first["tls.crt"], "tls.key": second["tls.key"]})
    wait_until(lambda: door.metric("ollama_fleet_door_faults") == 1)
    assert _served(door) == _der(second)
    assert "no pair that can serve" in door.log()
    with pytest.raises((ConnectionError, http.client.HTTPException)):
        door.ask("GET", "/")


def _served(door: Door) -> bytes:
    return ssl.PEM_cert_to_DER_cert(ssl.get_server_certificate(("127.0.0.1", door.port), timeout=5))


def _der(pair: Mapping[str, str]) -> bytes:
    return ssl.PEM_cert_to_DER_cert(pair["tls.crt"])
