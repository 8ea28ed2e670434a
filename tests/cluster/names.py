"""The cluster's DNS in small: names of headless Services, answered on a port of loopback with what is ready."""

import json
import socket
import struct
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

QUESTION, ANSWER = b"\x00\x01\x00\x01", 0x8580
NO_SUCH_NAME, TTL = 3, 1

LOOKUP = """
import json, os, socket

def found(host, port, *_, **__):
    addresses = json.loads(open(os.environ["FLEET_TEST_NAMES"]).read()).get(host, [])
    if host[:1].isdigit():
        addresses = [host]
    if not addresses:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, port)) for one in addresses]

socket.getaddrinfo = found
"""
"""For the Python process beside Envoy, which would ask the machine's own resolver."""


class Names:
    """Name -> addresses; replaced as a whole."""

    def __init__(self, folder: Path) -> None:
        self.table: Mapping[str, Sequence[str]] = {}
        self.file = folder / "names.json"
        (folder / "sitecustomize.py").write_text(LOOKUP)
        self.put({})

    def put(self, table: Mapping[str, Sequence[str]]) -> None:
        """From now on these."""
        self.table = table
        beside = self.file.with_suffix(".new")
        beside.write_text(json.dumps(table))
        beside.rename(self.file)

    @property
    def environment(self) -> dict[str, str]:
        """With which a Python process looks names up here."""
        return {"PYTHONPATH": str(self.file.parent), "FLEET_TEST_NAMES": str(self.file)}

    @contextmanager
    def served(self) -> Iterator[int]:
        """Over UDP, until the end of the block. The port."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
            one.bind(("127.0.0.1", 0))
            one.settimeout(0.1)
            stop = threading.Event()
            thread = threading.Thread(target=self._serve, args=(one, stop), daemon=True)
            thread.start()
            try:
                yield one.getsockname()[1]
            finally:
                stop.set()
                thread.join(5)

    def _serve(self, one: socket.socket, stop: threading.Event) -> None:
        while not stop.is_set():
            try:
                asked, whom = one.recvfrom(4096)
                one.sendto(self._answer(asked), whom)
            except OSError:
                continue

    def _answer(self, asked: bytes) -> bytes:
        labels, at = [], 12
        while asked[at]:
            labels.append(asked[at + 1 : at + 1 + asked[at]].decode())
            at += 1 + asked[at]
        question = asked[12 : at + 5]
        addresses = self.table.get(".".join(labels).lower(), ())
        # of another type than A there is nothing under a name that exists
        given = addresses if question.endswith(QUESTION) else ()
        flags = ANSWER | (0 if addresses else NO_SUCH_NAME)
        head = asked[:2] + struct.pack("!HHHHH", flags, 1, len(given), 0, 0)
        records = (b"\xc0\x0c\x00\x01\x00\x01" + struct.pack("!IH", TTL, 4) + socket.inet_aton(ip) for ip in given)
        return head + question + b"".join(records)
