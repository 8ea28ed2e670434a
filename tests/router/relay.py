"""A TCP relay in the place of Tailscale, WireGuard or a home line, that can be made to fail as one does."""

import socket
import threading
import time
from contextlib import suppress
from typing import Literal

Mode = Literal["open", "slow", "silent", "refused"]
SLOW_SECONDS = 0.3


class Relay:
    """From a free port of loopback to `target`. `mode` may change at any time, for connections that are open too."""

    def __init__(self, target: int) -> None:
        self.mode: Mode = "open"
        self._target = target
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listening.getsockname()[1])
        self._ends: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def become(self, mode: Mode) -> None:
        """Fail, or be well again; what is open when it fails is cut where the line would cut it."""
        self.mode = mode
        if mode == "refused":
            self._cut()

    def close(self) -> None:
        """End every connection and listen no more."""
        self._listening.close()
        self._cut()

    def _cut(self) -> None:
        for end in self._ends:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
        self._ends.clear()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listening.accept()
            except OSError:
                return
            if self.mode == "refused":
                near.close()
                continue
            try:
                far = socket.create_connection(("127.0.0.1", self._target))
            except OSError:
                near.close()
                continue
            self._ends += [near, far]
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=self._pass, args=(source, sink), daemon=True).start()

    def _pass(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                if self.mode == "slow":
                    time.sleep(SLOW_SECONDS)
                if self.mode == "silent":
                    continue
                sink.sendall(data)
        with suppress(OSError):
            sink.shutdown(socket.SHUT_WR)
