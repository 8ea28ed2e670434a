"""A Compose file without Docker: its very commands as processes of this machine, its folders below one of the test's.

What Docker would do is done by name: paths, host names and ports of the file become those of the test.
"""

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from infra.local.ports import free_ports
from tests.router.door import ROOT, stop

STAND_IN = Path(__file__).with_name("stand_in.py")
PORTS = {"--port=": 8080, "--admin-port=": 9901, "--metrics-port=": 9902, "--beside-port=": 9903, "--spill-port=": 9904}
SMI = """#!/bin/sh
printf '470.256.02, 0x000010DE, %s\\n' "$FLEET_CARD"
"""


def parsed(text: str) -> dict[str, Any]:
    """The file as Compose reads it."""
    found: dict[str, Any] = YAML(typ="safe").load(text)
    return found


class Composed:
    """One machine. `folder` holds the file and the secrets beside it."""

    def __init__(self, text: str, folder: Path, envoy: Path, cards: Mapping[str, str]) -> None:
        self.document = parsed(text)
        self.folder = folder
        self._envoy = envoy
        self._cards = cards
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        services = self.document["services"]
        servers = [name for name in services if name.startswith("ollama-")]
        ports = free_ports(len(PORTS) + 2 * len(servers))
        self._ports = {f"{option}{port}": f"{option}{ports.pop()}" for option, port in PORTS.items()}
        self.port = int(self._ports["--port=8080"].removeprefix("--port="))
        self._addresses = {name: f"127.0.0.1:{ports.pop()}" for name in servers}
        self._init = {f"prepare-{name}": f"127.0.0.1:{ports.pop()}" for name in servers}
        for path in ("run", "machine/usr/bin", "machine/dev", "proc/driver/nvidia", "bin"):
            (folder / path).mkdir(parents=True)
        for path in ("machine/usr/bin/nvidia-ctk", "machine/dev/nvidia-uvm", "machine/dev/nvidia-uvm-tools"):
            (folder / path).touch()
        (folder / "proc/driver/nvidia/version").write_text(
            "NVRM version: NVIDIA UNIX x86_64 Kernel Module  470.256.02  Thu May  2 14:37:44 UTC 2024\n"
        )
        self._program(
            "bin/lspci", "#!/bin/sh\nprintf '0%s:00.0 0302: 10de:%s (rev a1)\\n' 3 102d 4 102d 5 13f2 6 13f2\n"
        )
        self._program("bin/ollama", f'#!/bin/sh\nexec {sys.executable} {STAND_IN} "$@"\n')
        for name in self._cards:
            (folder / "bin" / name).mkdir()
            self._program(f"bin/{name}/nvidia-smi", SMI)

    def _program(self, path: str, text: str) -> None:
        (self.folder / path).write_text(text)
        (self.folder / path).chmod(0o755)

    def up(self) -> None:
        """Every service after those that it waits for; one that has to end ends well."""
        for name in self._order():
            service = self.document["services"][name]
            if name == "door":
                continue  # it holds a network, and here there is one
            self._mount(name, service)
            process = self._start(name, service)
            if any(
                after.get(name, {}).get("condition") == "service_completed_successfully"
                for after in (other.get("depends_on", {}) for other in self.document["services"].values())
            ):
                assert process.wait(60) == 0, self.log(name)
            if "healthcheck" in service and name == "control":
                self.wait_healthy(name)

    def wait_healthy(self, name: str, seconds: float = 30) -> None:
        """Until the service's own health check passes."""
        import time

        end = time.monotonic() + seconds
        while self.health(name) != 0:
            assert time.monotonic() < end, self.log(name)
            time.sleep(0.2)

    def health(self, name: str) -> int:
        """The exit status of the service's health check."""
        service = self.document["services"][name]
        (_, *command) = service["healthcheck"]["test"]
        run = subprocess.run(
            [self._here(name, word) for word in command], env=self._environment(name, service), check=False,
            capture_output=True, timeout=60,
        )  # fmt: skip
        return run.returncode

    def stop(self, name: str) -> None:
        """Stop one service."""
        stop(self._processes.pop(name))

    def start(self, name: str) -> None:
        """Start one that was stopped."""
        self._start(name, self.document["services"][name])

    def down(self) -> None:
        """Stop what is left, the last first."""
        for name in reversed(list(self._processes)):
            self.stop(name)

    def log(self, name: str) -> str:
        """What a service wrote."""
        return (self.folder / f"{name}.log").read_text(errors="replace")

    def _order(self) -> Iterator[str]:
        services, done = dict(self.document["services"]), set[str]()
        while services:
            ready = [name for name, service in services.items() if set(service.get("depends_on", {})) <= done]
            assert ready, f"{sorted(services)} wait for each other"
            for name in ready:
                yield name
                del services[name]
                done.add(name)

    def _start(self, name: str, service: Mapping[str, Any]) -> "subprocess.Popen[bytes]":
        command = [*service.get("entrypoint", [str(self._envoy)]), *service.get("command", [])]
        with (self.folder / f"{name}.log").open("ab") as log:
            self._processes[name] = subprocess.Popen(
                [self._here(name, word) for word in command], env=self._environment(name, service), cwd=ROOT,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        return self._processes[name]

    def _environment(self, name: str, service: Mapping[str, Any]) -> dict[str, str]:
        own = {key: self._here(name, str(value)) for key, value in service.get("environment", {}).items()}
        (self.folder / "volumes" / name).mkdir(parents=True, exist_ok=True)
        path = f"{self.folder}/bin:{Path(sys.executable).parent}:/usr/bin:/bin"
        if name in self._cards:
            path = f"{self.folder}/bin/{name}:{path}"
        return {
            "PATH": path, "TMPDIR": os.environ.get("TMPDIR", "/tmp"), "FLEET_PROC": f"{self.folder}/proc",
            "FLEET_DEV": f"{self.folder}/machine/dev" if name in self._cards else "/dev",
            "FLEET_SYS": "/nowhere", "WATCH_SECONDS": "1",
            "FLEET_MODELS": f"{self.folder}/mounts/{name}/models", "FLEET_SERVICE": name,
            "FLEET_CARD": self._cards.get(name, ""), **own,
            "PYTHONPATH": ":".join(filter(None, (own.get("PYTHONPATH"), str(ROOT)))),
        }  # fmt: skip

    def _mount(self, name: str, service: Mapping[str, Any]) -> None:
        for config in service.get("configs", ()):
            file = Path(self._here(name, config["target"]))
            file.parent.mkdir(parents=True, exist_ok=True)
            text = self.document["configs"][config["source"]]["content"].replace("$$", "$")
            file.write_text(self._hosts(text) if file.name == "routes.toml" else text)

    def _hosts(self, text: str) -> str:
        for host, address in self._addresses.items():
            text = text.replace(f"{host}:11434", address)
        return text

    def _here(self, name: str, text: str) -> str:
        """A word of the file as this machine has it."""
        service = self.document["services"][name]
        text = text.replace("$$", "$")
        for volume in service.get("volumes", ()):
            if isinstance(volume, dict) and volume["source"].startswith("./"):
                text = text.replace(volume["target"], f"{self.folder}/{volume['source'][2:]}")
        own = self._addresses.get(name) or self._init.get(name) or ""
        text = text.replace("0.0.0.0:11434", own).replace("127.0.0.1:11434", own)
        text = self._hosts(text)
        for option, here in self._ports.items():
            text = text.replace(f"{option} ", f"{here} ").removesuffix(option) + (here if text.endswith(option) else "")
        if " -m router " in text:
            text += " --address=127.0.0.1"
            text = text.replace(" && ", " --address=127.0.0.1 && ")
        text = text.replace("/etc/ollama-fleet", f"{self.folder}/mounts/{name}")
        text = text.replace("/opt/ollama-fleet", f"{self.folder}/mounts/{name}/program")
        text = text.replace("/run/ollama-fleet", f"{self.folder}/run")
        text = re.sub(r"^/machine\b", f"{self.folder}/machine", text)
        home = next((one.partition(":")[0] for one in service.get("volumes", ()) if str(one).endswith(":/ollama")), "")
        store = next((one.partition(":")[0] for one in service.get("volumes", ()) if str(one).endswith("/models")), "")
        text = re.sub(r"^/ollama/models$", f"{self.folder}/volumes/{store}", text)
        return re.sub(r"^/ollama\b", f"{self.folder}/volumes/{home}", text)
