"""Replicas that mean harm: what they list reaches no client in another form than Ollama's, and holds nobody up."""

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router import listed, poll
from router.answers import Lists
from router.deciding import decide
from router.facts import Facts
from router.poll import Poller, Replica, Seen
from router.reading import parse
from router.routing import canonical
from tests.router.maps import PROPERTY

HEAD = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n"
MAP = '[routes]\nm = ["t4"]\n[pools]\nt4 = "127.0.0.1:{}"\n'
DIGEST = "a" * 64

Talk = Callable[[socket.socket], None]


@contextmanager
def talking(talk: Talk) -> Iterator[int]:
    """A server that says `talk` to each connection; its port."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    try:
                        talk(connection)
                    except OSError:
                        continue

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)


def seen(port: int) -> Seen:
    poller = Poller("")
    fleet = parse(MAP.format(port))
    poller.follow(fleet.pools, {})
    poller.round()
    poller.settle(10)
    assert not poller._busy
    return poller.seen


def says(body: bytes) -> Talk:
    """The same to every question."""

    def talk(connection: socket.socket) -> None:
        while connection.recv(65536):
            connection.sendall(HEAD % len(body) + body)

    return talk


@pytest.mark.parametrize(
    "body",
    [
        b"not JSON",
        b"[" * 100_000,
        b'{"models": 3, "version": 3}',
        b'{"models": [{"model": "m"}], "version": "' + b"1" * (50 * 2**20) + b'"}',
    ],
    ids=["no JSON", "deep", "no list", "50 MB"],
)
def test_an_answer_that_is_none_is_not_taken(body: bytes) -> None:
    with talking(says(body)) as port:
        assert seen(port) == {}


def test_a_redirect_is_not_followed() -> None:
    def talk(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n")

    with talking(talk) as port:
        assert seen(port) == {}


@pytest.mark.parametrize("endless", [b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n "])
def test_a_replica_that_never_ends_its_answer_keeps_no_thread(monkeypatch: pytest.MonkeyPatch, endless: bytes) -> None:
    monkeypatch.setattr(poll, "DONE_WITHIN", 0.5)
    over = threading.Event()

    def talk(connection: socket.socket) -> None:
        connection.recv(65536)
        while not over.wait(0.05):
            connection.sendall(endless)

    with talking(talk) as port:
        try:
            assert seen(port) == {}
        finally:
            over.set()


def test_one_strange_entry_costs_the_list_no_other_and_no_field_its_form() -> None:
    strange = {
        "model": "m",
        "digest": 3,
        "modified_at": "yesterday",
        "size": 1e300,
        "details": {"family": ["llama"], "format": "gguf", "families": "all"},
        "remote_host": {"x": []},
        "unknown": "x" * 10_000,
    }
    good = {"model": "n:latest", "digest": DIGEST, "size": 5, "modified_at": "2026-08-21T10:11:12.123456789+02:00"}
    with talking(says(json.dumps({"models": [strange, 3, good], "version": "9" * 5000}).encode())) as port:
        (replica,) = seen(port)["t4"]
    assert replica.models == {"m:latest": {"model": "m", "details": {"format": "gguf"}}, "n:latest": good}
    assert replica.version == ""
    fleet = parse(MAP.format(port))
    lists = Lists(fleet, decide(fleet, Facts(), {}), Facts(version="0.30.0"), {"t4": (replica,)})
    (entry,) = json.loads(lists.text("/api/tags"))["models"]
    assert (entry["digest"], entry["size"], entry["modified_at"]) == ("0" * 64, 0, "1970-01-01T00:00:00Z")
    assert json.loads(lists.text("/api/version")) == {"version": "0.30.0"}
    assert {len(one["digest"]) for one in json.loads(lists.text("/api/ps"))["models"]} == {64}


ANY = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(sorted(listed.FIELDS)), inner),
    max_leaves=8,
)
ENTRIES = st.fixed_dictionaries(
    {"model": st.sampled_from(["m", "M:latest", 3])},
    optional={"details": ANY} | dict.fromkeys(listed.FIELDS.keys() - {"model"}, ANY),
)


@given(st.lists(ENTRIES, max_size=4), ANY)
@PROPERTY
def test_whatever_a_replica_lists_the_door_answers_in_ollamas_form(found: list[object], version: object) -> None:
    entries = listed.entries({"models": found})
    replica = Replica(
        address="10.0.0.1:1",
        models={canonical(entry["model"]): entry for entry in entries},
        loaded=tuple(entries),
        version=listed.version({"version": version}),
        asked_at=time.monotonic(),
    )
    fleet = parse(MAP.format(1))
    lists = Lists(fleet, decide(fleet, Facts(), {"t4": (replica,)}), Facts(), {"t4": (replica,)})
    for path in ("/api/tags", "/api/ps", "/api/version", "/v1/models"):
        json.loads(lists.text(path), parse_constant=pytest.fail)
    for entry in (*lists.tags()["models"], *lists.loaded()["models"]):
        assert listed.DIGEST.fullmatch(entry["digest"])
        assert isinstance(entry.get("size", 0), int)
