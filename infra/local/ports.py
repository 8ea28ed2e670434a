"""Ports of loopback for processes that have to be told theirs before they start."""

import itertools
import os
import socket
import threading

LOOPBACK = "127.0.0.1"
FIRST, EACH, BLOCKS = 10_000, 1_000, 22
"""From 32,768 on Linux gives ports to clients: one that was free a moment ago may be a connection's by the time a
server binds it, which is what ended an Envoy in CI. Below it each process walks through a block of its own; two that
share one, because more than that many processes came between them, begin at different places of it."""

_own = FIRST + os.getpid() % BLOCKS * EACH
_walked = itertools.count(os.getpid() // BLOCKS * 97 % EACH)
_lock = threading.Lock()


def free_ports(count: int) -> list[int]:
    """Ports that nothing listens on; none comes again before the whole block did. Raises OSError when all are taken."""
    found: list[int] = []
    with _lock:
        for step in itertools.islice(_walked, EACH):
            port = _own + step % EACH
            found += [port] if _is_free(port) else []
            if len(found) == count:
                return found
    raise OSError(f"no {count} free ports from {_own} to {_own + EACH - 1}")


def _is_free(port: int) -> bool:
    with socket.socket() as one:
        # as servers do it: a port whose last connections are still closing is free
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            one.bind((LOOPBACK, port))
        except OSError:
            return False
    return True
