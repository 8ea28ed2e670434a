"""What KEDA brings to a cluster, as far as a test plays it: its definition, its autoscaler, the API of its metrics."""

import json
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from ruamel.yaml import YAML

from tests.cluster.kube import Kube, Manifest, RefusedError, until

GROUP = "external.metrics.k8s.io"
VERSION = "v1beta1"
NAMESPACE = "keda-double"


@contextmanager
def defined(kube: Kube, file: Path) -> Iterator[None]:
    """KEDA's own definition of a ScaledObject, for as long as none is there already."""
    definition = YAML(typ="safe", pure=True).load(file.read_text())
    if kube.exists(definition):
        yield
        return
    kube.create(definition)
    try:
        until(lambda: _is_served(kube), "ScaledObjects are served")
        yield
    finally:
        kube.delete(definition)


def _is_served(kube: Kube) -> bool:
    try:
        kube.list("keda.sh/v1alpha1", "ScaledObject")
    except RefusedError:
        return False
    return True


def autoscaler(scaled: Manifest) -> Manifest:
    """The autoscaler that KEDA makes of a ScaledObject, without its patience: from one replica on it counts."""
    spec, metadata = scaled["spec"], scaled["metadata"]
    behavior = json.loads(json.dumps(spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]))
    for rules in behavior.values():
        rules["stabilizationWindowSeconds"] = 0
        for policy in rules["policies"]:
            policy["periodSeconds"] = 1
    target = {"type": "AverageValue", "averageValue": spec["triggers"][0]["metadata"]["targetValue"]}
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"namespace": metadata["namespace"], "name": f"keda-hpa-{metadata['name']}"},
        "spec": {
            "scaleTargetRef": spec["scaleTargetRef"],
            "minReplicas": max(1, spec["minReplicaCount"]),
            "maxReplicas": spec["maxReplicaCount"],
            "behavior": behavior,
            "metrics": [{"type": "External", "external": {"metric": {"name": metadata["name"]}, "target": target}}],
        },
    }


@dataclass
class Figures:
    """What the metrics API says of each name."""

    values: dict[str, int]


@contextmanager
def metrics(kube: Kube, folder: Path) -> Iterator[Figures]:
    """A double of KEDA's metrics API, registered where KEDA's stands."""
    figures = Figures({})
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(figures))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*_certificate(folder))
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    service = {"namespace": NAMESPACE, "name": "metrics"}
    objects: list[Manifest] = [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}},
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": service,
            "spec": {"type": "ExternalName", "externalName": "localhost"},
        },
        {
            "apiVersion": "apiregistration.k8s.io/v1",
            "kind": "APIService",
            "metadata": {"name": f"{VERSION}.{GROUP}"},
            "spec": {
                "group": GROUP,
                "version": VERSION,
                "service": {**service, "port": server.server_address[1]},
                "insecureSkipTLSVerify": True,
                "groupPriorityMinimum": 100,
                "versionPriority": 100,
            },
        },
    ]
    for one in objects:
        kube.create(one)
    try:
        yield figures
    finally:
        for one in reversed(objects):
            kube.delete(one)
        server.shutdown()
        server.server_close()


def _handler(figures: Figures) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.partition("?")[0].strip("/").split("/")
            if path[:3] != ["apis", GROUP, VERSION]:
                self.send_error(404)
                return
            name = path[-1]
            content: Manifest = {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": f"{GROUP}/{VERSION}"}
            if len(path) == 3:
                content["resources"] = [{"name": "*", "namespaced": True, "kind": "X", "verbs": ["get"]}]
            else:
                value = {
                    "metricName": name,
                    "metricLabels": {},
                    "timestamp": "2026-01-01T00:00:00Z",
                    "value": str(figures.values.get(name, 0)),
                }
                kind = {"kind": "ExternalMetricValueList", "apiVersion": f"{GROUP}/{VERSION}", "metadata": {}}
                content = {**kind, "items": [value]}
            body = json.dumps(content).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nobody reads it."""

    return Handler


def _certificate(folder: Path) -> tuple[Path, Path]:
    certificate, key = folder / "metrics.crt", folder / "metrics.key"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"),
            *("-days", "2", "-subj", "/CN=localhost", "-keyout", key, "-out", certificate),
        ],
        check=True,
        capture_output=True,
    )
    return certificate, key
