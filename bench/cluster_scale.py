"""What a large fleet asks of Kubernetes: `.venv/bin/python -m bench.cluster_scale` (--models --pools --nodes).

Starts a control plane of its own on loopback (`make tools` brings it), with played nodes; applies every object twice,
one after the other; prints a table for docs/scale.md. Nothing is judged here.
"""

import argparse
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import tools
from bench.plan_speed import stack as of_size
from infra import stack as stacks
from infra.commands import manifests, recorded
from infra.plan.model import CONFIG_MAP_BYTES
from tests.cluster import keda, machines
from tests.cluster.control_plane import CONTROL_PLANE, NODES, control_plane, fake_nodes
from tests.cluster.kube import Kube, Manifest, until
from tests.cluster.readiness import complaint

SERVER = "kube-apiserver"


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints the table."""
    options = _options(arguments)
    fleet = of_size(options.models, options.pools)["config"][stacks.KEY]
    # as many nodes in all as were asked for
    for number, pool in enumerate(fleet["pools"].values()):
        share = options.nodes // options.pools + (number < options.nodes % options.pools)
        pool["replicas"] = f"0..{max(1, share)}"
    settings = {"gcp:project": "example-project"}
    started = time.perf_counter()
    recording = recorded.of_stack(stacks.Stack(name="scale", path=Path(), fleet=fleet, settings=settings))
    objects = manifests.objects(recording)
    _row("models, pools, nodes", f"{options.models}, {options.pools}, {options.nodes}")
    _row("plan and program, without an engine", f"{time.perf_counter() - started:.1f} s")
    _row("resources of the program", str(len(recording.resources)))
    _row("objects in Kubernetes", f"{len(objects)}: {_counted(objects)}")
    for name, size in _largest(objects):
        _row(f"ConfigMap {name}", f"{size:,} bytes, {100 * size / CONFIG_MAP_BYTES:.0f} % of the limit")
    with tempfile.TemporaryDirectory() as folder, _running(Path(folder)) as (kube, server):
        _measure(kube, server, list(machines.nodes(recording)), objects)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    for name, default in (("models", 1000), ("pools", 50), ("nodes", 200)):
        parser.add_argument(f"--{name}", type=int, default=default)
    return parser.parse_args(arguments)


@contextmanager
def _running(folder: Path) -> Iterator[tuple[Kube, int]]:
    """A control plane, and the process of its API server."""
    found = {name: tools.find(name) for name in (*CONTROL_PLANE, NODES)}
    if missing := [name for name, path in found.items() if path is None]:
        raise SystemExit(f"no {', '.join(missing)}: `make tools` brings what is missing")
    programs = {name: path for name, path in found.items() if path}
    started = time.perf_counter()
    definition = tools.find_file("keda-scaled-object")
    if definition is None:
        sys.exit("no definition of what KEDA scales; `make tools` brings it")
    with (
        control_plane(folder, programs) as (kube, processes),
        fake_nodes(folder, programs, kube),
        keda.defined(kube, definition),
    ):
        _row("start of the control plane", f"{time.perf_counter() - started:.1f} s")
        yield kube, processes.ids[CONTROL_PLANE.index(SERVER)]


def _measure(kube: Kube, server: int, nodes: Sequence[Manifest], objects: Sequence[Manifest]) -> None:
    idle = _memory(server)
    for node in nodes:
        kube.create(node)
    workloads = [one for one in objects if one["kind"] in ("Deployment", "DaemonSet")]
    for turn in ("first", "second"):
        before = _requests(kube)
        started = time.perf_counter()
        for manifest in objects:
            kube.apply(manifest)
        _row(f"{turn} apply, one object after the other", f"{time.perf_counter() - started:.1f} s")
        until(lambda: not any(complaint(kube, one) for one in workloads), "every workload ready", seconds=600)
        _row(f"until all is ready, after the {turn} apply", f"{time.perf_counter() - started:.1f} s")
        _row(f"requests to the API server, {turn} apply", _told(_requests(kube) - before))
    _row("pods", str(len(kube.list("v1", "Pod"))))
    servers = [one for one in workloads if one["kind"] == "Deployment" and one["metadata"]["name"] != "ollama-router"]
    started = time.perf_counter()
    for deployment in servers:
        most = sum(node["metadata"]["labels"].items() >= _selector(deployment).items() for node in nodes)
        kube.scale(deployment, most)
    until(lambda: not any(complaint(kube, one) for one in servers), "every replica ready", seconds=600)
    _row("all pools from none to their most replicas", f"{time.perf_counter() - started:.1f} s")
    _row("pods then", str(len(kube.list("v1", "Pod"))))
    _row("memory of the API server, idle and then", f"{idle:.0f} and {_memory(server):.0f} MiB")


def _selector(deployment: Manifest) -> Mapping[str, str]:
    selector: Mapping[str, str] = deployment["spec"]["template"]["spec"]["nodeSelector"]
    return selector


def _counted(objects: Sequence[Manifest]) -> str:
    kinds = Counter(one["kind"] for one in objects)
    return ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())


def _largest(objects: Sequence[Manifest]) -> list[tuple[str, int]]:
    """The four largest ConfigMaps by what Kubernetes counts: the values of `data`."""
    sizes = [
        (one["metadata"]["name"], sum(len(value.encode()) for value in one["data"].values()))
        for one in objects
        if one["kind"] == "ConfigMap"
    ]
    return sorted(sizes, key=lambda entry: -entry[1])[:4]


def _requests(kube: Kube) -> Counter[str]:
    """How often the API server was asked, by verb."""
    pattern = re.compile(r'^apiserver_request_total\{.*verb="([A-Z]+)".*\} ([0-9.e+]+)$', re.MULTILINE)
    counted: Counter[str] = Counter()
    for verb, number in pattern.findall(kube.metrics()):
        counted[verb] += int(float(number))
    return counted


def _told(requests: Counter[str]) -> str:
    return f"{requests.total():,}: " + ", ".join(f"{count:,} {verb}" for verb, count in requests.most_common(6))


def _memory(process: int) -> float:
    """Resident, in MiB."""
    kilobytes = re.search(r"^VmRSS:\s+(\d+) kB", Path(f"/proc/{process}/status").read_text(), re.MULTILINE)
    return int(kilobytes[1]) / 1024 if kilobytes else 0


def _row(what: str, value: str) -> None:
    print(f"| {what} | {value} |", flush=True)


if __name__ == "__main__":
    main()
