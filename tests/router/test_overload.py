"""Bodies that would take more memory than the router may: the large ones are given up, small requests go on."""

import http.client
import json
import select
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from tests.router.conftest import OpenDoor
from tests.router.door import Door, wait_until
from tests.router.fake_ollama import FakeOllama
from tests.router.test_waking import Sleeping, in_flight, sleeping, sleeps

__all__ = ["sleeping"]

MEMORY = 384 * 2**20
"""That a door of these tests may take, which takes 70 MB when it does nothing."""
PATIENCE = 30
HALF_SENT, CUT_OFF = b"half sent", b"cut off"
PIECE = 65536
FRAME = 16384
"""The largest that every server of HTTP/2 takes."""
DATA, HEADERS, SETTINGS, END_HEADERS = 0, 1, 4, 4
VALUES = 1_500_000


class Upload(threading.Thread):
    """One client that sends a body in pieces and stops where it is answered."""

    def __init__(self, door: Door, size: int, *, whole: bool) -> None:
        super().__init__(daemon=True)
        self._port, self._size, self._whole = door.port, size, whole
        self.leave = threading.Event()
        self.end = b""
        """What came back; HALF_SENT while nothing has and all but the end is sent."""

    def run(self) -> None:
        with socket.create_connection(("127.0.0.1", self._port), PATIENCE) as connection:
            try:
                self._send(connection)
            except OSError:
                self.end = CUT_OFF

    def _send(self, connection: socket.socket) -> None:
        body = b'{"model":"m","prompt":"' + b"x" * self._size + b'"}'
        head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: door\r\ncontent-length: {len(body)}\r\n\r\n"
        connection.sendall(head.encode())
        end = len(body) if self._whole else len(body) - 2
        for start in range(0, end, PIECE):
            if select.select([connection], [], [], 0.005)[0]:
                break
            connection.sendall(body[start : min(start + PIECE, end)])
        else:
            if not self._whole:
                self.end = HALF_SENT
                self.leave.wait(PATIENCE)
                return
        # who waits does so while all the others come and go
        connection.settimeout(4 * PATIENCE)
        self.end = connection.recv(PIECE) or CUT_OFF


@contextmanager
def uploads(door: Door, count: int, size: int, *, whole: bool) -> Iterator[list[Upload]]:
    """That many at a time."""
    threads = [Upload(door, size, whole=whole) for _ in range(count)]
    try:
        for thread in threads:
            thread.start()
        yield threads
    finally:
        for thread in threads:
            thread.leave.set()
            thread.join(PATIENCE)


def most_memory(door: Door) -> int:
    """Bytes that Envoy has had at most."""
    status = Path(f"/proc/{door.envoy.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))


def test_while_large_bodies_come_small_requests_go_on_and_who_waits_is_answered(
    open_door: OpenDoor, sleeping: Callable[..., Sleeping], ollama: Callable[..., FakeOllama]
) -> None:
    pool = sleeping()
    text = f'[routes]\nm = ["t4"]\nn = ["k80"]\n[pools]\nt4 = "{pool.address}"\nk80 = "{ollama("k80").address}"\n'
    door = open_door(text, facts=sleeps(), memory=MEMORY)
    small: Counter[int] = Counter()
    # 126 MiB at most: from 134 on a piece may be refused. With five of 8 MB it was 182 to 227, and one was, once.
    with uploads(door, 3, 4_000_000, whole=True) as waiting:
        wait_until(lambda: in_flight(door) == len(waiting), PATIENCE)
        with uploads(door, 32, 12_000_000, whole=False) as sent:
            while not all(upload.end for upload in sent):
                small[door.chat("n").status] += 1
            small.update(door.chat("n").status for _ in range(50))
            assert in_flight(door) == len(waiting)
        pool.wake()
        wait_until(lambda: all(upload.end for upload in waiting), PATIENCE)
    assert {upload.end[:12] for upload in waiting} == {b"HTTP/1.1 200"}
    assert small[200] > 0.8 * small.total()
    refused = [upload.end for upload in sent if upload.end not in (HALF_SENT, CUT_OFF)]
    assert len(refused) > 3
    head, _, body = refused[0].partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 503 ")
    assert b"retry-after: 10" in head
    assert "no memory for this request" in json.loads(body)["error"]["message"]
    assert most_memory(door) < MEMORY


def frame(kind: int, stream: int, content: bytes = b"", *, flags: int = 0) -> bytes:
    """A frame of HTTP/2 (RFC 9113, section 4.1)."""
    return len(content).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + content


def unfinished(connection: socket.socket, streams: int, size: int) -> None:
    """That many requests at a time on one connection of HTTP/2, each with a body that lacks its end. As many bytes in
    all as whoever begins may send unasked."""
    names = {":method": "POST", ":path": "/api/chat", ":scheme": "http", ":authority": "door"}
    # neither compressed nor remembered: each as its length and itself
    fields = b"".join(
        b"\0" + bytes((len(name),)) + name.encode() + bytes((len(value),)) + value.encode()
        for name, value in names.items()
    )
    connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(SETTINGS, 0))
    odd = range(1, 2 * streams, 2)
    connection.sendall(b"".join(frame(HEADERS, stream, fields, flags=END_HEADERS) for stream in odd))
    piece = b"x" * FRAME
    for _ in range(size // FRAME):
        for stream in odd:
            connection.sendall(frame(DATA, stream, piece))


def test_very_many_bodies_over_http_2_that_are_not_large_do_not_fill_the_memory_either(
    open_door: OpenDoor, ollama: Callable[..., FakeOllama]
) -> None:
    """Those of more than 32 KiB are given up, and at the last whole connections."""
    door = open_door(f'[routes]\nm = ["t4"]\n[pools]\nt4 = "{ollama("t4").address}"\n', memory=MEMORY)
    with ExitStack() as stack:
        for _ in range(34):
            connection = stack.enter_context(socket.create_connection(("127.0.0.1", door.port), PATIENCE))
            with suppress(OSError):
                unfinished(connection, 150, 7 * FRAME)
    assert door.envoy.poll() is None
    assert most_memory(door) < MEMORY
    wait_until(lambda: door.chat("m").status == 200, PATIENCE)


@pytest.mark.parametrize(
    ("values", "status"),
    [
        (b"1," * VALUES, 400),
        (b"[]," * VALUES, 400),
        (b"[" * 400 + b"]" * 400 + b"," + b"[[[[[[[[]]]]]]]]," * (VALUES // 8), 400),
        (b'"a\\\\","\\"",' * VALUES, 400),
        (b'"' + b"a, [b], {c}, " * VALUES + b'",', 200),
        (b"1," * 50_000, 200),
    ],
    ids=["numbers", "lists", "lists in lists", "strings", "text", "few"],
)
def test_a_body_of_more_values_than_a_parser_has_memory_for_is_refused_unread(
    open_door: OpenDoor, ollama: Callable[..., FakeOllama], values: bytes, status: int
) -> None:
    door = open_door(f'[routes]\nm = ["t4"]\n[pools]\nt4 = "{ollama("t4").address}"\n', memory=MEMORY)
    answer = door.ask("POST", "/api/chat", b'{"model":"m","x":[' + values + b"1]}")
    assert answer.status == status
    if status != 200:
        assert answer.json == {"error": "the request holds too many JSON values"}
    assert most_memory(door) < MEMORY


def test_who_does_not_say_how_long_a_body_is_has_its_values_counted(
    open_door: OpenDoor, ollama: Callable[..., FakeOllama]
) -> None:
    door = open_door(f'[routes]\nm = ["t4"]\n[pools]\nt4 = "{ollama("t4").address}"\n', memory=MEMORY)
    connection = http.client.HTTPConnection("127.0.0.1", door.port, timeout=PATIENCE)
    pieces = [b'{"model":"m","x":[', *(b"1," * (VALUES // 50) for _ in range(50)), b"1]}"]
    connection.request("POST", "/api/chat", iter(pieces), {"transfer-encoding": "chunked"}, encode_chunked=True)
    assert connection.getresponse().status == 400
    connection.close()
