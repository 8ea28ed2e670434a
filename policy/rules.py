"""The rules: a resource's type and inputs in, what is wrong with it out, each with its remedy.

Plain functions on plain values, without Pulumi. Inputs may hold unknown values of any shape, which break no rule.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

OLLAMA_PORT = 11434
TLS_PORT = 443
ROUTER = "ollama-router"
SERVER_LABEL = ("app.kubernetes.io/name", "ollama")
INTERNAL = {
    "networking.gke.io/load-balancer-type": "internal",
    "cloud.google.com/load-balancer-type": "internal",
}
DRIVER = re.compile(r"nvidia-driver-[a-z0-9-]+")
DRIVER_NAMESPACE = re.compile(r"[a-z0-9-]+-drivers")
PRODUCTION = re.compile(r"prod(uction)?([-_.].*)?|.*[-_.]prod(uction)?", re.IGNORECASE)
SECRET_KEY = re.compile(r"(?i)(^|[-_.])(password|passwd|secret|api[-_]?key|private[-_]?key|token|credentials?)$")
SECRET_VALUE = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----"
    r"|\bAKIA[0-9A-Z]{16}\b|\bAIza[0-9A-Za-z_-]{35}\b|\bghp_[0-9A-Za-z]{36}\b|\bsk-[0-9A-Za-z_-]{32,}"
    r"|\"private_key\"\s*:\s*\""
)


@dataclass(frozen=True)
class Resource:
    """What a rule looks at. `stack` is the stack's name."""

    type: str
    inputs: Mapping[str, Any]
    stack: str = "dev"

    @property
    def kind(self) -> str:
        """The type's last word: `Service`."""
        return self.type.rpartition(":")[2]

    def get(self, *path: str) -> Any:
        """The value at a path, None where there is none."""
        return at(self.inputs, *path)

    @property
    def pod(self) -> Mapping[str, Any]:
        """The pod's spec of whatever makes pods; empty for anything else."""
        paths = (("spec", "template", "spec"), ("spec", "jobTemplate", "spec", "template", "spec"))
        for path in paths:
            if isinstance(found := self.get(*path), Mapping):
                return found
        found = self.get("spec")
        return found if self.kind == "Pod" and isinstance(found, Mapping) else {}


Rule = Callable[[Resource], Iterator[str]]


def at(value: Any, *path: str) -> Any:
    """The value at a path of mappings, None where there is none."""
    for key in path:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def items(value: Any) -> list[Mapping[str, Any]]:
    """The mappings of a list; nothing of anything else."""
    return [one for one in value if isinstance(one, Mapping)] if isinstance(value, (list, tuple)) else []


def public_door_without_tls(resource: Resource) -> Iterator[str]:
    """What is reached from the internet speaks TLS."""
    if not resource.type.startswith("kubernetes:"):
        return
    if resource.kind == "Service" and resource.get("spec", "type") == "LoadBalancer" and not _internal(resource):
        open_ports = [one.get("port") for one in items(resource.get("spec", "ports")) if one.get("port") != TLS_PORT]
        if open_ports:
            yield (
                f"a public load balancer listens on {', '.join(map(str, open_ports))}, not on {TLS_PORT} alone; "
                "end TLS behind port 443, or annotate networking.gke.io/load-balancer-type: Internal"
            )
    if resource.kind == "Ingress" and not resource.get("spec", "tls"):
        yield "an Ingress without tls; name a kubernetes.io/tls Secret at spec.tls"
    if resource.kind == "Gateway":
        for one in items(resource.get("spec", "listeners")):
            if one.get("protocol") in ("HTTP", "TCP"):
                yield f"the listener {one.get('name')} speaks {one.get('protocol')}; make it HTTPS with a certificate"


def _internal(resource: Resource) -> bool:
    annotations = resource.get("metadata", "annotations") or {}
    return isinstance(annotations, Mapping) and any(
        str(annotations.get(key, "")).lower() == value for key, value in INTERNAL.items()
    )


def ollama_past_the_router(resource: Resource) -> Iterator[str]:
    """Ollama itself knows no keys: whoever reaches it may pull, delete and run anything."""
    remedy = f"send clients to the Service {ROUTER}, and leave Ollama's own a ClusterIP"
    if resource.kind == "Service" and resource.get("spec", "type") in ("LoadBalancer", "NodePort"):
        ports = items(resource.get("spec", "ports"))
        to_server = at(resource.get("spec", "selector"), SERVER_LABEL[0]) == SERVER_LABEL[1]
        if to_server or any(OLLAMA_PORT in (one.get("port"), one.get("targetPort")) for one in ports):
            yield f"a {resource.get('spec', 'type')} leads to Ollama past the router; {remedy}"
    if resource.kind in ("Ingress", "HTTPRoute"):
        for name, port in _backends(resource):
            if port == OLLAMA_PORT or (str(name).startswith("ollama-") and name != ROUTER):
                yield f"the {resource.kind} leads to {name} past the router; {remedy}"
    for container in items(resource.pod.get("containers")):
        outside = resource.pod.get("hostNetwork") is True or any(_ports(container, "hostPort"))
        serves = "ollama/ollama" in str(container.get("image")) or OLLAMA_PORT in _ports(container, "containerPort")
        if outside and serves:
            yield f"{container.get('name')} serves on its node's own address; {remedy}"


def _ports(container: Mapping[str, Any], key: str) -> list[Any]:
    return [one.get(key) for one in items(container.get("ports"))]


def _backends(resource: Resource) -> Iterator[tuple[Any, Any]]:
    yield _service(resource.get("spec", "defaultBackend"))
    for rule in items(resource.get("spec", "rules")):
        for path in items(at(rule, "http", "paths")):
            yield _service(path.get("backend"))
        for backend in items(rule.get("backendRefs")):
            yield backend.get("name"), backend.get("port")


def _service(backend: Any) -> tuple[Any, Any]:
    return at(backend, "service", "name"), at(backend, "service", "port", "number")


def privileged_pod(resource: Resource) -> Iterator[str]:
    """Only the driver's DaemonSets may do what a node's owner may."""
    pod = resource.pod
    if not pod or _is_driver(resource):
        return
    remedy = "take it out; only the DaemonSets nvidia-driver-POOL in the drivers' namespace need it"
    for key in ("hostPID", "hostIPC", "hostNetwork"):
        if pod.get(key) is True:
            yield f"the pod has {key}; {remedy}"
    for key in ("initContainers", "containers", "ephemeralContainers"):
        for one in items(pod.get(key)):
            if at(one, "securityContext", "privileged") is True:
                yield f"the container {one.get('name')} is privileged; {remedy}"
    for volume in items(pod.get("volumes")):
        if isinstance(volume.get("hostPath"), Mapping):
            yield f"the volume {volume.get('name')} is a folder of the node; {remedy}"


def _is_driver(resource: Resource) -> bool:
    name, namespace = resource.get("metadata", "name"), resource.get("metadata", "namespace")
    named = isinstance(name, str) and DRIVER.fullmatch(name) is not None
    placed = isinstance(namespace, str) and DRIVER_NAMESPACE.fullmatch(namespace) is not None
    return resource.kind == "DaemonSet" and named and placed


def secret_in_a_config_map(resource: Resource) -> Iterator[str]:
    """A ConfigMap is read by everybody who may read the namespace, and stands in the state in plain text."""
    if resource.kind != "ConfigMap":
        return
    for part in ("data", "binaryData"):
        content = resource.get(part)
        for key, value in content.items() if isinstance(content, Mapping) else ():
            # the value itself is never repeated
            if isinstance(value, str) and value and (SECRET_KEY.search(str(key)) or SECRET_VALUE.search(value)):
                yield f"{part}.{key} looks like a secret; put it into a Secret, fed from a Pulumi secret"


def unprotected_production_cluster(resource: Resource) -> Iterator[str]:
    """A production cluster is not destroyed by one wrong command."""
    if resource.type != "gcp:container/cluster:Cluster" or resource.get("deletionProtection") is not False:
        return
    labels = resource.get("resourceLabels")
    marks = [resource.stack, *(labels.values() if isinstance(labels, Mapping) else ())]
    if any(isinstance(mark, str) and PRODUCTION.fullmatch(mark) for mark in marks):
        yield "a production cluster without deletion protection; take gke.deletionProtection: false out of the file"


RULES: dict[str, Rule] = {
    "public-door-without-tls": public_door_without_tls,
    "ollama-past-the-router": ollama_past_the_router,
    "privileged-pod": privileged_pod,
    "secret-in-a-config-map": secret_in_a_config_map,
    "unprotected-production-cluster": unprotected_production_cluster,
}
