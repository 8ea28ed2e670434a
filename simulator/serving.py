"""Serve a simulated server on a socket of loopback."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from simulator.app import application
from simulator.server import Server

BACKLOG = 1024
CLOSE_SECONDS = 0.5
"""For answers that are under way at the end."""


def listen(port: int = 0, address: str = "127.0.0.1") -> socket.socket:
    """A socket that listens, so that its port is known before anything is served. Raises OSError."""
    one = socket.socket()
    try:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        one.bind((address, port))
        one.listen(BACKLOG)
    except BaseException:
        one.close()
        raise
    return one


@asynccontextmanager
async def serving(server: Server, on: socket.socket, tls: ssl.SSLContext | None = None) -> AsyncIterator[None]:
    """Serves until the end of the block. A client that leaves ends its answer."""
    runner = web.AppRunner(
        application(server), access_log=None, handler_cancellation=True, shutdown_timeout=CLOSE_SECONDS
    )
    await runner.setup()
    try:
        await web.SockSite(runner, on, ssl_context=tls, backlog=BACKLOG).start()
        yield
    finally:
        await asyncio.shield(runner.cleanup())
