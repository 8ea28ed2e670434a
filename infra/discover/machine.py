"""A machine by what its own programs say: nvidia-smi, lspci, /proc, Docker."""

import re
import shlex
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence

from infra.catalogue.types import Catalogue
from infra.discover.cards import by_pci, by_product
from infra.discover.model import Device, Found, Place

Run = Callable[[Sequence[str]], str]
"""What a program prints; empty where it is not there or fails."""

SECONDS = 30
KIB = 1024
SMI = ("nvidia-smi", "--query-gpu=index,uuid,pci.device_id,driver_version,name", "--format=csv,noheader")
DISPLAY = re.compile(r" 03[0-9a-f]{2}: 10de:([0-9a-f]{4})")


def here(command: Sequence[str]) -> str:
    """Runs a program of this machine."""
    if shutil.which(command[0]) is None:
        return ""
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False, timeout=SECONDS)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""


def beyond(host: str) -> Run:
    """Runs programs of another machine over ssh, which asks for nothing."""
    options = ("-o", "BatchMode=yes", "-o", "ConnectTimeout=10")
    return lambda command: here(["ssh", *options, "--", host, shlex.join(command)])


def look(catalogue: Catalogue, run: Run) -> Place:
    """The machine behind `run` as a Docker site."""
    name = run(["uname", "-n"]).strip().partition(".")[0]
    devices, driver = _devices(catalogue, run)
    found = Found(
        name=name,
        devices=devices,
        driver=driver,
        kernel=run(["uname", "-r"]).strip(),
        memory=_memory(run(["cat", "/proc/meminfo"])),
        disk=_disk(run(["df", "-Pk", "/var/lib/docker"]) or run(["df", "-Pk", "/"])),
        notes=tuple(_notes(run, devices, driver)),
    )
    return Place(kind="docker", name=_site_name(name), machines=(found,))


def _devices(catalogue: Catalogue, run: Run) -> tuple[tuple[Device, ...], str]:
    rows = [[part.strip() for part in line.split(",", 4)] for line in run(SMI).splitlines()]
    rows = [row for row in rows if len(row) == 5 and re.fullmatch(r"\d{1,3}", row[0], re.ASCII)]
    if rows:
        found = [
            Device(
                gpu=by_product(catalogue, product) or by_pci(catalogue, pci.lower()[2:6]), called=product, index=index
            )
            for index, _, pci, _, product in rows
        ]
        return tuple(found), rows[0][3]
    ids = DISPLAY.findall(run(["lspci", "-n", "-d", "10de:"]))
    return tuple(Device(gpu=by_pci(catalogue, one), called=f"10de:{one}") for one in ids), ""


def _notes(run: Run, devices: tuple[Device, ...], driver: str) -> Iterator[str]:
    if devices and not driver:
        yield "no driver answers: nvidia-smi is not there or fails, so the cards are those of the PCI bus, unnumbered"
    docker = run(["docker", "info", "--format", "{{json .Runtimes}}"])
    if not docker:
        yield "Docker does not answer: install it, or use an account that may ask it"
    elif devices and "nvidia" not in docker:
        yield (
            "Docker has no NVIDIA runtime: sudo apt-get install nvidia-container-toolkit, "
            "sudo nvidia-ctk runtime configure --runtime=docker, sudo systemctl restart docker"
        )


def _memory(text: str) -> int:
    found = re.search(r"^MemTotal:\s+(\d{1,15}) kB", text, re.MULTILINE | re.ASCII)
    return int(found[1]) * KIB if found else 0


def _disk(text: str) -> int:
    """What is free."""
    fields = text.splitlines()[-1].split() if text else []
    return int(fields[3]) * KIB if len(fields) > 3 and re.fullmatch(r"\d{1,15}", fields[3], re.ASCII) else 0


def _site_name(host: str) -> str:
    name = re.sub(r"[^a-z0-9-]+", "-", host.lower()).strip("-")[:32].rstrip("-")
    return name if name[:1].isalpha() else "home"
