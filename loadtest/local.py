"""The door to test, and a local fleet for the length of a test."""

import ipaddress
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter

ROOT = Path(__file__).parents[1]
START_SECONDS = 60.0
LEAVE_SECONDS = 20.0


class NotStartedError(Exception):
    """It does not start: its own last words."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """The door to test."""

    url: str
    key: str = field(repr=False)
    metrics: str
    """Empty where they are not within reach."""
    verify: bool = True
    """Whether its certificate is looked at."""
    believed: str = ""
    """A file of the certificates that are believed, and what they signed; empty: whoever the system trusts."""
    host: str = ""
    """What the certificate must be for, with `believed`; empty: anything."""

    def session(self) -> requests.Session:
        """A client with its key; no proxy stands before an address of this machine."""
        session = requests.Session()
        session.trust_env = not _loopback(self.url)
        session.verify = self.believed or self.verify
        if self.believed:
            session.mount("https://", _Believing(self.believed, self.host))
        if self.key:
            session.headers["authorization"] = f"Bearer {self.key}"
        return session


class _Believing(HTTPAdapter):
    """Takes the certificates of a file, leaves included, for a name that is not the address's."""

    def __init__(self, file: str, host: str) -> None:
        self._file, self._host = file, host
        super().__init__()

    def init_poolmanager(self, connections: int, maxsize: int, block: bool = False, **more: Any) -> None:  # noqa: FBT001, FBT002 - of requests
        context = believing(self._file)
        # the pool compares the name: it is not the address's
        context.check_hostname = False
        name = (
            {"assert_hostname": self._host, "server_hostname": self._host} if self._host else {"assert_hostname": False}
        )
        super().init_poolmanager(connections, maxsize, block, ssl_context=context, **name, **more)


def believing(file: str) -> ssl.SSLContext:
    """What takes the certificates of a file and what they signed; raises OSError where the file holds none."""
    context = ssl.create_default_context(cafile=file)
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context


class LocalFleet:
    """`fleet local` on a free port, with further options of it, from `with` to its end."""

    def __init__(self, stack: str, *options: str) -> None:
        self._stack = stack
        self._options = options
        self._folder = tempfile.TemporaryDirectory(prefix="fleet-loadtest-")
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Target:
        if not (ROOT / "infra").is_dir():
            raise NotStartedError("--url: there is no fleet here to start\nwrite the door's address")
        # on a leash: it goes with this process, even where that is killed
        fleet = [sys.executable, "-m", "infra", "local", "--port", str(_free_port()), *self._options]
        command = [sys.executable, "-m", "infra.local.leash", *fleet]
        if self._stack:
            command += ["--stack", self._stack]
        with self._file("out").open("wb") as out, self._file("err").open("wb") as err:
            self._process = subprocess.Popen(  # noqa: S603
                command, cwd=ROOT, stdin=subprocess.PIPE, stdout=out, stderr=err, env=os.environ, process_group=0
            )
        try:
            return self._started(self._process)
        except BaseException:
            self.__exit__(None, None, None)
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(LEAVE_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()
        self._folder.cleanup()

    def _started(self, process: "subprocess.Popen[bytes]") -> Target:
        end = time.monotonic() + START_SECONDS
        while "FLEET_URL=" not in self._text("out") or not self._text("out").endswith("\n"):
            if process.poll() is not None or time.monotonic() > end:
                words = self._text("err").strip() or "it says nothing"
                raise NotStartedError(f"the local fleet does not start\n{words}")
            time.sleep(0.1)
        said = dict(line.split("=", 1) for line in self._text("out").splitlines())
        metrics = re.search(r"^metrics: (\S+)$", self._text("err"), re.MULTILINE)
        return Target(url=said["FLEET_URL"], key=said.get("FLEET_API_KEY", ""), metrics=metrics[1] if metrics else "")

    def _file(self, name: str) -> Path:
        return Path(self._folder.name) / name

    def _text(self, name: str) -> str:
        return self._file(name).read_text(encoding="utf-8", errors="replace")


def _loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    with suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost"


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])
