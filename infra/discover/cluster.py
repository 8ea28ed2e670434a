"""A cluster by its nodes: capacity, and the labels that NFD and GPU feature discovery put there."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from infra.catalogue.types import Catalogue
from infra.config.types import UNITS
from infra.discover.cards import by_pci, by_product
from infra.discover.model import Device, Found, Place

RESOURCE = "nvidia.com/gpu"
GKE = "cloud.google.com/gke-accelerator"
NFD = re.compile(r"feature\.node\.kubernetes\.io/pci-03\d\d_10de(?:_([0-9a-f]{4}))?\.present")


def look(catalogue: Catalogue, context: str, nodes: str, classes: str = "") -> Place:
    """The cluster behind a context, from what kubectl prints of its nodes and runtime classes. Raises ValueError."""
    try:
        items: list[Mapping[str, Any]] = json.loads(nodes)["items"]
        machines = tuple(_node(catalogue, item) for item in items)
    except (KeyError, TypeError, AttributeError, RecursionError):
        raise ValueError("it is not a list of nodes") from None
    versions = [str(item.get("status", {}).get("nodeInfo", {}).get("kubeletVersion", "")) for item in items]
    plugin = any(RESOURCE in item.get("status", {}).get("capacity", {}) for item in items)
    return Place(
        kind="kubernetes",
        name=_name(context),
        context=context,
        machines=machines,
        k3s=any("+k3s" in version for version in versions),
        device_plugin=plugin,
        notes=tuple(_notes(machines, classes, plugin=plugin)),
    )


def _node(catalogue: Catalogue, item: Mapping[str, Any]) -> Found:
    metadata, status = item["metadata"], item.get("status", {})
    labels: Mapping[str, str] = metadata.get("labels") or {}
    allocatable = status.get("allocatable") or status.get("capacity") or {}
    devices = tuple(_devices(catalogue, labels, _count(status.get("capacity", {}).get(RESOURCE, 0))))
    driver = labels.get("nvidia.com/cuda.driver-version.full") or ".".join(
        labels[key] for part in ("major", "minor", "rev") if (key := f"nvidia.com/cuda.driver.{part}") in labels
    )
    return Found(
        name=str(metadata["name"]),
        devices=devices,
        driver=driver,
        kernel=status.get("nodeInfo", {}).get("kernelVersion", ""),
        os=_system(str(status.get("nodeInfo", {}).get("osImage", ""))),
        memory=_bytes(allocatable.get("memory", "0")),
        disk=_bytes(allocatable.get("ephemeral-storage", "0")),
        notes=tuple(_of_node(labels, devices)),
    )


def _system(image: str) -> str:
    """`Ubuntu 22.04.4 LTS` is ubuntu22.04: point releases of one system take the same packages."""
    found = re.match(r"([A-Za-z]+)(?: Linux)? (\d{1,4}(?:\.\d{1,4})?)", image, re.ASCII)
    return f"{found[1].lower()}{found[2]}" if found else ""


def _devices(catalogue: Catalogue, labels: Mapping[str, str], capacity: int) -> Iterator[Device]:
    product = labels.get("nvidia.com/gpu.product")
    count = capacity or _count(labels.get("nvidia.com/gpu.count", 0))
    if product:
        yield from [Device(gpu=by_product(catalogue, product), called=product)] * max(count, 1)
        return
    if accelerator := labels.get(GKE):
        name = next(
            (one for one, gpu in catalogue.gpus.items() if gpu.google and gpu.google.accelerator == accelerator), ""
        )
        yield from [Device(gpu=name, called=accelerator)] * max(count, 1)
        return
    ids = [found[1] or "" for key in sorted(labels) if (found := NFD.fullmatch(key))]
    if len(ids) == 1:
        called = f"10de:{ids[0]}" if ids[0] else "an NVIDIA card"
        yield from [Device(gpu=by_pci(catalogue, ids[0]), called=called)] * max(count, 1)
        return
    for one in ids:
        yield Device(gpu=by_pci(catalogue, one), called=f"10de:{one}")
    if not ids:
        yield from [Device(gpu="", called="a GPU without a label")] * count


def _of_node(labels: Mapping[str, str], devices: tuple[Device, ...]) -> Iterator[str]:
    if len({device.called for device in devices}) > 1:
        yield "cards of several kinds: Kubernetes does not tell them apart; a Docker site does"
    if any(not device.gpu for device in devices):
        yield "which GPU it is no label says: node feature discovery or GPU feature discovery would"
    if labels.get("nvidia.com/gpu.sharing-strategy", "none") != "none":
        yield f"its GPUs are shared ({labels['nvidia.com/gpu.sharing-strategy']}): memory is not what one pod has"


def _notes(machines: tuple[Found, ...], classes: str, *, plugin: bool) -> Iterator[str]:
    if any(machine.devices for machine in machines) and not plugin:
        yield "no node offers nvidia.com/gpu: the fleet brings NVIDIA's device plugin"
    if classes:
        yield f"runtime classes: {', '.join(sorted(classes.split()))}"


def _count(said: object) -> int:
    """Raises ValueError for what no node has."""
    if not re.fullmatch(r"\d{1,4}", str(said), re.ASCII):
        raise ValueError("it is not a number of GPUs")
    return int(str(said))


def _bytes(quantity: str) -> int:
    found = re.fullmatch(r"(\d{1,18})([KMGT]i?)?", quantity, re.ASCII)
    return int(found[1]) * UNITS[found[2] or ""] if found else 0


def _name(context: str) -> str:
    name = re.sub(r"[^a-z0-9-]+", "-", context.lower()).strip("-")[:32].rstrip("-")
    return name if name[:1].isalpha() else "cluster"
