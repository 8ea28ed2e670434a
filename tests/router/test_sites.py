"""What the door sends to a site, and whom it believes there."""

import ctypes
import errno
import json
import os
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.sites import Site, SiteFiles, trusted
from tests.router.conftest import OpenDoor
from tests.router.door import Door, wait_until
from tests.router.fake_ollama import FakeOllama
from tests.router.maps import PROPERTY

StartOllama = Callable[..., FakeOllama]
TOKEN, OTHER = "s3cret-100%-token", "s3cret-other-token"
PIDFD_GETFD = 438
"""The number of the call, the same on every architecture; Python has no name for it."""
KEY = "everyone-ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def one_site(address: str, *, scheme: str = "http") -> str:
    return f'[routes]\nm = ["k80"]\n[pools]\nk80 = {{url = "{scheme}://{address}", token = "rig"}}\n'


def sent(pool: FakeOllama) -> object:
    return pool.asked[-1].headers.get("authorization")


def test_a_site_gets_its_token_and_never_the_clients_key(open_door: OpenDoor, ollama: StartOllama) -> None:
    site, here = ollama("k80"), ollama("t4")
    text = one_site(site.address).replace('m = ["k80"]', 'm = ["k80"]\nn = ["t4"]') + f't4 = "{here.address}"\n'
    door = open_door(text, keys={"everyone": KEY}, tokens={"rig": TOKEN, "lab": OTHER})
    for model in ("m", "n"):
        assert door.ask("POST", "/api/chat", {"model": model}, {"authorization": f"Bearer {KEY}"}).status == 200
    assert sent(site) == f"Bearer {TOKEN}"
    assert sent(here) is None
    assert "s3cret" not in door.log()


def test_whoever_asks_a_site_brings_the_token_the_probe_and_the_poll_too(
    open_door: OpenDoor, ollama: StartOllama
) -> None:
    site = ollama("k80")
    site.wants, site.models = f"Bearer {TOKEN}", {"m:latest": "a" * 64}
    door = open_door(one_site(site.address), tokens={"rig": TOKEN})
    assert door.chat("m").status == 200
    wait_until(lambda: [one["digest"] for one in door.ask("GET", "/api/tags").json["models"]] == ["a" * 64])


def test_the_kernel_watches_over_who_waits_on_a_line_without_tls(open_door: OpenDoor, ollama: StartOllama) -> None:
    """On an idle line by asking, and on one on which a request has gone out by what is not confirmed."""
    if not sys.platform.startswith("linux"):
        pytest.skip("only Linux hands out another process's sockets")
    site, beside = ollama("k80"), ollama("t4")
    text = one_site(site.address).replace('m = ["k80"]', 'm = ["k80"]\nn = ["t4"]') + f't4 = "{beside.address}"\n'
    door = open_door(text, tokens={"rig": TOKEN})
    assert door.chat("m").status == door.chat("n").status == 200
    at_site, in_the_cluster = (options(door.envoy.pid, server.port) for server in (site, beside))
    assert at_site and set(at_site) == {(1, 10, 5, 3, 25_000)}
    assert {(alive, unheard) for alive, *_, unheard in in_the_cluster} == {(0, 0)}


def options(process: int, port: int) -> list[tuple[int, ...]]:
    """Of each connection that a process of ours has with a port of loopback: whether and when the kernel asks whether
    the other side is there, how often, and for how many milliseconds it waits to hear that something has arrived."""
    wanted = [(socket.SOL_SOCKET, socket.SO_KEEPALIVE)]
    wanted += [(socket.IPPROTO_TCP, one) for one in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)]
    wanted += [(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)]
    found = []
    for link in Path(f"/proc/{process}/fd").iterdir():
        with suppress(OSError):
            if link.readlink().name.startswith("socket:"):
                with socket.socket(fileno=borrowed(process, int(link.name))) as one:
                    if one.family == socket.AF_INET and one.getpeername() == ("127.0.0.1", port):
                        found.append(tuple(one.getsockopt(*option) for option in wanted))
    return found


def borrowed(process: int, file: int) -> int:
    """Another name in this process for a file of that one."""
    handle = os.pidfd_open(process)
    try:
        got = ctypes.CDLL(None, use_errno=True).syscall(PIDFD_GETFD, handle, file, 0)
    finally:
        os.close(handle)
    if got < 0 and ctypes.get_errno() == errno.EPERM:
        pytest.skip("this container hands out no process's sockets: it lacks the capability SYS_PTRACE")
    if got < 0:
        raise OSError(ctypes.get_errno(), "pidfd_getfd")
    return int(got)


def test_the_next_pool_of_an_order_gets_its_own_token(open_door: OpenDoor, ollama: StartOllama) -> None:
    first, second = ollama("k80"), ollama("m60")
    first.status = 503
    pools = f'k80 = {{url = "http://{first.address}", token = "rig"}}\nm60 = {{url = "http://{second.address}"'
    door = open_door(
        f'[routes]\nm = ["k80", "m60"]\n[pools]\n{pools}, token = "lab"}}\n', tokens={"rig": TOKEN, "lab": OTHER}
    )
    assert door.chat("m").pool == "m60"
    assert (sent(first), sent(second)) == (f"Bearer {TOKEN}", f"Bearer {OTHER}")


def test_what_a_site_is_sent_does_not_reach_the_next_pool(open_door: OpenDoor, ollama: StartOllama) -> None:
    first, second = ollama("k80"), ollama("t4")
    first.status = 503
    pools = f'k80 = {{url = "http://{first.address}", token = "rig"}}\nt4 = "{second.address}"'
    door = open_door(f'[routes]\nm = ["k80", "t4"]\n[pools]\n{pools}\n', tokens={"rig": TOKEN})
    assert door.ask("POST", "/api/chat", {"model": "m"}, {"authorization": "Bearer of-a-client"}).pool == "t4"
    assert (sent(first), sent(second)) == (f"Bearer {TOKEN}", None)


def test_a_request_that_a_site_refuses_for_its_token_goes_to_the_next_pool(
    open_door: OpenDoor, ollama: StartOllama
) -> None:
    first, second = ollama("k80"), ollama("t4")
    # its probes have not found out yet
    first.status = 401
    pools = f'k80 = {{url = "http://{first.address}", token = "rig"}}\nt4 = "{second.address}"'
    door = open_door(f'[routes]\nm = ["k80", "t4"]\n[pools]\n{pools}\n', tokens={"rig": TOKEN})
    answer = door.chat("m")
    assert (answer.status, answer.pool, answer.headers["x-fleet-attempts"]) == (200, "t4", "2")


def test_a_pool_that_spills_sends_its_token_too(open_door: OpenDoor, ollama: StartOllama) -> None:
    site = ollama("k80")
    site.wants = f"Bearer {TOKEN}"
    door = open_door(one_site(site.address), facts={"pools": {"k80": {"spillsAt": 2}}}, tokens={"rig": TOKEN})
    wait_until(lambda: door.chat("m").status == 200)


def test_a_token_is_exchanged_without_a_restart_and_a_broken_one_is_not(
    open_door: OpenDoor, ollama: StartOllama
) -> None:
    site = ollama("k80")
    door = open_door(one_site(site.address), tokens={"rig": TOKEN})

    def token() -> object:
        door.chat("m")
        return sent(site)

    door.tokens.publish({"rig": f"{OTHER}\n"})
    wait_until(lambda: token() == f"Bearer {OTHER}")
    door.tokens.publish({"rig": "two\nlines"})
    wait_until(lambda: door.metric("ollama_fleet_door_faults") == 1)
    assert token() == f"Bearer {OTHER}"
    assert "tokens, rig: it is no token" in door.log()
    assert "s3cret" not in door.log()
    (door.tokens.folder / "rig").unlink()
    wait_until(lambda: "tokens, rig: it is gone" in door.log())
    assert token() == f"Bearer {OTHER}"


def test_a_site_that_asks_for_another_token_is_named_with_the_cause(open_door: OpenDoor, ollama: StartOllama) -> None:
    site = ollama("k80")
    site.wants, site.models = f"Bearer {OTHER}", {}
    door = open_door(one_site(site.address), tokens={"rig": TOKEN})

    def cause() -> str:
        return str(door.ask("GET", "/fleet/status.json").json["pools"][0]["cause"])

    wait_until(lambda: cause() == f"{site.address} answers 401 to /api/tags")


def test_a_site_whose_name_leads_nowhere_is_down_and_does_not_sleep(open_door: OpenDoor) -> None:
    door = open_door(one_site("nowhere.invalid"), tokens={"rig": TOKEN})
    wait_until(lambda: _state(door) == "down" and "the site's url leads nowhere" in str(_pool(door)["cause"]))
    assert (door.chat("m").status, "at site rig" in door.chat("m").json["error"]) == (503, True)


@pytest.mark.parametrize("known", [True, False])
def test_a_site_with_an_authority_of_its_own_is_believed_with_it_alone(
    open_door: OpenDoor, ollama: StartOllama, certificate: Path, known: bool
) -> None:
    site = ollama("k80", certificate)
    site.models = {"m:latest": "a" * 64}
    authorities = {"rig": _public(certificate)} if known else {}
    door = open_door(one_site(f"localhost:{site.port}", scheme="https"), tokens={"rig": TOKEN}, authorities=authorities)
    if known:
        assert door.chat("m").status == 200
        wait_until(lambda: _state(door) == "ready")
        assert sent(site) == f"Bearer {TOKEN}"
    else:
        assert door.chat("m").status == 503
        wait_until(lambda: "certificate that is refused" in str(_pool(door)["cause"]))
        assert site.asked == []


def _public(certificate: Path) -> str:
    text = certificate.read_text()
    return text[text.index("-----BEGIN CERTIFICATE") :]


def _pool(door: Door) -> dict[str, object]:
    found: dict[str, object] = door.ask("GET", "/fleet/status.json").json["pools"][0]
    return found


def _state(door: Door) -> object:
    return _pool(door)["state"]


def test_what_is_no_certificate_is_no_authority(tmp_path: Path) -> None:
    (tmp_path / "ca-rig.pem").write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    files = SiteFiles(tmp_path, None)
    files.look()
    assert files.faults == ("ca-rig.pem: it holds no certificate that can be read",)
    assert files.sites == {"rig": Site()}
    assert not trusted("")


def test_a_site_does_not_show_its_token() -> None:
    assert TOKEN not in repr(Site(token=TOKEN))


@given(
    st.dictionaries(st.from_regex(r"[a-z]([-a-z0-9]{0,8}[a-z0-9])?", fullmatch=True), st.text(max_size=30), max_size=3)
)
@PROPERTY
def test_whatever_tokens_hold_they_are_sent_or_refused(
    tmp_path_factory: pytest.TempPathFactory, tokens: dict[str, str]
) -> None:
    folder = tmp_path_factory.mktemp("tokens")
    for name, token in tokens.items():
        (folder / name).write_bytes(token.encode("utf-8", "surrogatepass"))
    files = SiteFiles(folder, folder)
    files.look()
    for site in files.sites.values():
        json.dumps(site.headers).encode("ascii")
        assert site.token.isprintable() and " " not in site.token
