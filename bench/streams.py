"""Streams of 200 chunks for bench/door.py: a server of its own process, and a client that times them."""

import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

CHUNKS = 200
CHUNK = json.dumps({"model": "m", "message": {"role": "assistant", "content": " word"}, "done": False}).encode() + b"\n"
START_SECONDS = 10.0


@contextmanager
def streaming() -> Iterator[int]:
    """A server that writes `CHUNKS` chunks, each by itself, as fast as it can. Its port."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = int(one.getsockname()[1])
    with subprocess.Popen([sys.executable, __file__, str(port)]) as process:
        try:
            end = time.monotonic() + START_SECONDS
            while not listens(port) and time.monotonic() < end:
                time.sleep(0.05)
            yield port
        finally:
            process.terminate()


def listens(port: int) -> bool:
    """Whether a port of loopback takes connections."""
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0


def stream(connection: socket.socket, model: str, key: str) -> tuple[float, float]:
    """Milliseconds to the first chunk and to the end of one stream."""
    body = json.dumps({"model": model, "prompt": "hello"}).encode()
    head = (
        "POST /api/generate HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\n"
        f"authorization: Bearer {key}\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    start = time.perf_counter()
    connection.sendall(head.encode() + body)
    read, first, tail = 0, 0.0, b""
    while not tail.endswith(b"0\r\n\r\n"):
        got = connection.recv(65536)
        if not got:
            raise ConnectionError("the stream broke off")
        read += len(got)
        tail = (tail + got)[-400:]
        if not first and CHUNK[:20] in tail:
            first = time.perf_counter()
    end = time.perf_counter()
    if read < CHUNKS * len(CHUNK):
        raise ConnectionError(f"no stream: {tail!r}")
    return 1000 * ((first or end) - start), 1000 * (end - start)


def _serve(port: int) -> None:
    """One connection after the other is a thread; blocking writes without Nagle, so that each chunk goes by itself."""
    listening = socket.create_server(("127.0.0.1", port))

    def serve(connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        rest = b""
        while True:
            while b"\r\n\r\n" not in rest:
                more = connection.recv(65536)
                if not more:
                    return
                rest += more
            head, _, rest = rest.partition(b"\r\n\r\n")
            fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
            length = int(fields.get(b"content-length", 0))
            while len(rest) < length:
                rest += connection.recv(65536)
            rest = rest[length:]
            if b"/api/generate" not in head.split(b"\r\n")[0]:
                said = b'{"version": "0.32.15", "models": []}'
                connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(said), said))
                continue
            connection.sendall(
                b"HTTP/1.1 200 OK\r\ncontent-type: application/x-ndjson\r\ntransfer-encoding: chunked\r\n\r\n"
            )
            for _ in range(CHUNKS):
                connection.sendall(b"%x\r\n%s\r\n" % (len(CHUNK), CHUNK))
            connection.sendall(b"0\r\n\r\n")

    while True:
        connection, _ = listening.accept()
        threading.Thread(target=serve, args=(connection,), daemon=True).start()


if __name__ == "__main__":
    _serve(int(sys.argv[1]))
