"""A pod without Kubernetes: the folders that it mounts, its init container, its server and the script beside it."""

import json
import os
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from signal import SIGKILL, SIGTERM
from typing import Any

from infra.local.ports import free_ports
from infra.plan.model import Prepared
from prepare import definitions, scripts
from tests.models.registry import Registry

_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass(frozen=True)
class Ended:
    """How a run of the script ended."""

    code: int
    output: str
    message: str
    """The termination message."""
    seconds: float


class Running:
    """A process in a group of its own, with its output in a file."""

    def __init__(self, arguments: Sequence[str | Path], environment: dict[str, str], log: Path) -> None:
        self._log = log
        with log.open("wb") as file:
            self.process = subprocess.Popen(
                arguments, env=environment, stdin=subprocess.DEVNULL, stdout=file, stderr=file, start_new_session=True
            )

    @property
    def output(self) -> str:
        return self._log.read_text(errors="replace")

    def stop(self) -> None:
        """SIGTERM to the process, SIGKILL to what is left of its group after some seconds."""
        with suppress(ProcessLookupError):
            self.process.send_signal(SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(10)
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, SIGKILL)
        self.process.wait()


def wait_until(true: Callable[[], bool], seconds: float, run: Running) -> None:
    """Wait while `run` goes on; its output is the error's text."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, f"not within {seconds} s:\n{run.output}"
        time.sleep(0.1)


class Pod:
    """One pod. What it downloaded stays in `store`, as on a volume."""

    def __init__(self, root: Path, ollama: Path) -> None:
        self.root = root
        self.ollama = ollama
        (self.port,) = free_ports(1)
        self.store = root / "models"
        self.state = root / "home" / "fleet"
        self.script = root / "shell" / "prepare.sh"
        self.within: tuple[str, ...] = ()
        """A command that runs the script, for a file system of the test's own."""
        self._lists = root / "definitions"
        self._number = 0
        for folder in (root / "home", root / "tmp", root / "bin", root / "shell", self.state, self._lists):
            folder.mkdir(parents=True)
        for name, text in scripts().items():
            (root / "shell" / name).write_text(text, encoding="utf-8")
        (root / "bin" / "ollama").symlink_to(ollama)

    def mount(self, *prepared: Prepared, elsewhere: Mapping[str, Sequence[Prepared]] | None = None) -> None:
        """Mount this list, and how the models of other pools are made."""
        self.mount_data(definitions(prepared, elsewhere))

    def mount_data(self, data: Mapping[str, str]) -> None:
        """Mount the data of a ConfigMap as the list."""
        self._swap(self._lists, data)

    def route(self, text: str, *, override: str | None = None) -> None:
        """Mount this map, and this override of it."""
        self._swap(self.root / "routes", {"routes.toml": text})
        self._swap(self.root / "override", {} if override is None else {"routes.toml": override})

    def _swap(self, folder: Path, data: Mapping[str, str]) -> None:
        """As the kubelet does it: a new folder, then the symlink ..data to it."""
        self._number += 1
        fresh = folder / f"..{self._number}"
        fresh.mkdir(parents=True)
        for name, text in data.items():
            (fresh / name).write_text(text, encoding="utf-8")
            if not (folder / name).is_symlink():
                (folder / name).symlink_to(f"..data/{name}")
        link = folder / "..new"
        link.symlink_to(fresh.name)
        link.replace(folder / "..data")
        for old in folder.iterdir():
            if old.is_symlink() and old.name not in {"..data", *data}:
                old.unlink()

    def hold(self, registry: Registry) -> None:
        """Have the registry's blobs on the volume already, so that a pull only reads its manifest."""
        (self.store / "blobs").mkdir(parents=True, exist_ok=True)
        for digest, data in registry.blobs.items():
            (self.store / "blobs" / digest.replace(":", "-")).write_bytes(data)

    def environment(self, **more: str) -> dict[str, str]:
        return {
            "PATH": f"{self.root}/bin:/usr/local/bin:/usr/bin:/bin",
            "HOME": f"{self.root}/home",
            "TMPDIR": f"{self.root}/tmp",
            "OLLAMA_MODELS": str(self.store),
            "OLLAMA_HOST": f"127.0.0.1:{self.port}",
            "OLLAMA_CONTEXT_LENGTH": "256",
            "OLLAMA_NO_CLOUD": "1",
            "FLEET_MODELS": str(self._lists),
            "FLEET_ROUTES": f"{self.root}/routes",
            "FLEET_OVERRIDE": f"{self.root}/override",
            "FLEET_POOL": "t4",
            "TERMINATION_LOG": f"{self.root}/termination-log",
            "PULL_DEADLINE": "30",
            "PULL_TRIES": "2",
            "RETRY_SECONDS": "1",
            "WATCH_SECONDS": "0.2",
            **more,
        }

    def init(self, **more: str) -> Ended:
        """The init container, to its end."""
        start = time.monotonic()
        self.termination_log.unlink(missing_ok=True)
        with self.running("init", **{"RETRY_SECONDS": "0", **more}) as run:
            code = run.process.wait(60)
        message = self.termination_log.read_text() if self.termination_log.exists() else ""
        return Ended(code, run.output, message, time.monotonic() - start)

    def probe(self, mode: str, **more: str) -> Ended:
        """A probe of the server, to its end."""
        with self.running(mode, **more) as run:
            code = run.process.wait(30)
        message = self.termination_log.read_text() if self.termination_log.exists() else ""
        return Ended(code, run.output, message, 0)

    @property
    def termination_log(self) -> Path:
        return self.root / "termination-log"

    @contextmanager
    def running(self, *arguments: str, **more: str) -> Iterator[Running]:
        """The script with these arguments, ended with the block."""
        run = Running(
            [*self.within, "sh", self.script, *arguments],
            self.environment(**more),
            self.root / f"{arguments[0]}-{time.monotonic_ns()}.log",
        )
        try:
            yield run
        finally:
            run.stop()

    @contextmanager
    def serving(self, **more: str) -> Iterator["Server"]:
        """The pod's server, ended with the block."""
        run = Running(["sh", self.script, "serve"], self.environment(**more), self.root / "server.log")
        server = Server(self.port, run)
        try:
            wait_until(server.answers, 20, run)
            yield server
        finally:
            run.stop()


@dataclass(frozen=True)
class Server:
    """A running server's API."""

    port: int
    run: Running

    def answers(self) -> bool:
        try:
            self.ask("/api/version")
        except OSError:
            return False
        return True

    def models(self) -> set[str]:
        return {model["name"] for model in self.ask("/api/tags")["models"]}

    def remove(self, model: str) -> None:
        self.ask("/api/delete", {"model": model}, empty=True, method="DELETE")

    def parameters(self, model: str) -> str:
        return " ".join(str(self.ask("/api/show", {"model": model}).get("parameters", "")).split())

    def chat(self, model: str) -> dict[str, Any]:
        options = {"num_predict": 3, "seed": 1}
        messages = [{"role": "user", "content": "hello"}]
        return self.ask("/api/chat", {"model": model, "messages": messages, "stream": False, "options": options})

    def loaded_context(self, model: str) -> int:
        return next(int(one["context_length"]) for one in self.ask("/api/ps")["models"] if one["name"] == model)

    def ask(
        self, path: str, body: dict[str, Any] | None = None, *, empty: bool = False, method: str | None = None
    ) -> dict[str, Any]:
        data = None if body is None else json.dumps(body).encode()
        asked = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", data, method=method)
        with _opener.open(asked, timeout=20) as reply:
            answer: dict[str, Any] = {} if empty else json.load(reply)
            return answer
