"""Simulated servers for tests, in a thread of the test's own process."""

import asyncio
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from simulator import Server, serving
from simulator.serving import listen

PATIENCE = 10.0


@contextmanager
def running(server: Server, certificate: Path | None = None) -> Iterator[int]:
    """Serves on a free port of loopback, which it gives, until the end of the block."""
    socket = listen()
    tls = None
    if certificate:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(certificate)
    loop = asyncio.new_event_loop()
    ended = asyncio.Event()
    ready = threading.Event()

    async def serve() -> None:
        async with serving(server, socket, tls):
            ready.set()
            await ended.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()), daemon=True)
    thread.start()
    assert ready.wait(PATIENCE), "the simulated server does not serve"
    try:
        yield socket.getsockname()[1]
    finally:
        loop.call_soon_threadsafe(ended.set)
        thread.join(PATIENCE)
        loop.close()
