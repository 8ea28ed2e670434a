"""The rules: a resource's type and inputs in, what is wrong with it out, each with its remedy.

Plain functions on plain values, without Pulumi. Inputs may hold unknown values of any shape, which break no rule.
"""

import base64
import binascii
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

OLLAMA_PORT = 11434
TLS_PORT = 443
ROUTER = "ollama-router"
SERVER_LABEL = ("app.kubernetes.io/name", "ollama")
POOL_LABEL = "ollama-fleet/pool"
GOOGLES_TLS = ("networking.gke.io/managed-certificates", "ingress.gcp.kubernetes.io/pre-shared-cert")
"""What ends TLS at an Ingress of GKE in place of spec.tls."""
INTERNAL_INGRESS = "gce-internal"
ENCRYPTED = ("HTTPS", "TLS")
HARMLESS_CAPABILITIES = {
    *("AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE"),
    *("SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT"),
}
"""What Pod Security's level `baseline` lets a container add:
https://kubernetes.io/docs/concepts/security/pod-security-standards/, 2026-11-21."""
INTERNAL = {
    "networking.gke.io/load-balancer-type": "internal",
    "cloud.google.com/load-balancer-type": "internal",
}
DRIVER = re.compile(r"nvidia-(driver|dcgm)-[a-z0-9-]+|nvidia-device-plugin")
DRIVER_NAMESPACE = re.compile(r"[a-z0-9-]+-drivers")
PRODUCTION = re.compile(r"(.*[-_.])?(prod(uction)?|prd)\d*([-_.].*)?", re.IGNORECASE)
SECRET_KEY = re.compile(
    r"(?i:(^|[-_.])(password|passwd|secret|(api|private|secret|access)[-_]?key|token|credential)s?$)"
    r"|[a-z0-9](Password|Passwd|Secret|ApiKey|PrivateKey|Token|Credential)s?$"
)
SECRET_VALUE = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----"
    r"|\bAKIA[0-9A-Z]{16}\b|\bAIza[0-9A-Za-z_-]{35}\b|\bgh[pousr]_[0-9A-Za-z]{36}\b|\bsk-[0-9A-Za-z_-]{32,}"
    r"|\bgithub_pat_[0-9A-Za-z_]{40,}|\bhf_[0-9A-Za-z]{30,}|\bxox[abprs]-[0-9A-Za-z-]{20,}"
    r"|\beyJ[0-9A-Za-z_-]{10,}\.eyJ[0-9A-Za-z_-]{10,}\.[0-9A-Za-z_-]{20,}"
    r"|\b[a-z][a-z0-9+.-]*://[^\s:/@$<{]+:[^\s:/@$<{]+@"
    r"|(?m:^(export )?[A-Z0-9_]*(PASSWORD|PASSWD|SECRET|API_KEY|TOKEN)=['\"]?[^\s'\"$<{]{6,})"
    r"|\"private_key\"\s*:\s*\""
)

SECRET_LITERAL = re.compile(r"(?![/.$<{]|[0-9.]+$)[^\s$<{]{6,}")
"""What a variable with the name of a secret may not hold: no number, no path of a file, no reference."""


@dataclass(frozen=True)
class Resource:
    """What a rule looks at. `stack` is the stack's name."""

    type: str
    inputs: Mapping[str, Any]
    stack: str = "dev"

    @property
    def kind(self) -> str:
        """The type's last word: `Service`, also of what patches one that stands."""
        return self.type.rpartition(":")[2].removesuffix("Patch")

    def get(self, *path: str) -> Any:
        """The value at a path, None where there is none."""
        return at(self.inputs, *path)

    @property
    def pod(self) -> Mapping[str, Any]:
        """The pod's spec of whatever makes pods; empty for anything else."""
        paths = (
            ("spec", "template", "spec"),
            ("spec", "jobTemplate", "spec", "template", "spec"),
            ("template", "spec"),
        )
        for path in paths:
            if isinstance(found := self.get(*path), Mapping):
                return found
        found = self.get("spec")
        return found if self.kind == "Pod" and isinstance(found, Mapping) else {}

    @property
    def containers(self) -> list[Mapping[str, Any]]:
        """All of the pod's, whatever their turn."""
        return [
            one for key in ("initContainers", "containers", "ephemeralContainers") for one in items(self.pod.get(key))
        ]


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
    if resource.kind == "Service" and _outside(resource) in ("LoadBalancer", "externalIPs") and not _internal(resource):
        open_ports = [one.get("port") for one in items(resource.get("spec", "ports")) if one.get("port") != TLS_PORT]
        if open_ports:
            yield (
                f"a public Service of {_outside(resource)} listens on {', '.join(map(str, open_ports))}, "
                f"not on {TLS_PORT} alone; "
                "end TLS behind port 443, or annotate networking.gke.io/load-balancer-type: Internal"
            )
    if resource.kind == "Ingress" and not resource.get("spec", "tls") and not _tls_of_google(resource):
        yield "an Ingress without tls; name a kubernetes.io/tls Secret at spec.tls"
    if resource.kind == "Gateway":
        for one in items(resource.get("spec", "listeners")):
            if isinstance(one.get("protocol"), str) and one.get("protocol") not in ENCRYPTED:
                yield f"the listener {one.get('name')} speaks {one.get('protocol')}; make it HTTPS with a certificate"


def _outside(resource: Resource) -> str | None:
    """How a Service is reached from outside the cluster, None where it is not."""
    if (type_ := resource.get("spec", "type")) in ("LoadBalancer", "NodePort"):
        return str(type_)
    return "externalIPs" if resource.get("spec", "externalIPs") else None


def _internal(resource: Resource) -> bool:
    return any(str(resource.get("metadata", "annotations", key)).lower() == value for key, value in INTERNAL.items())


def _tls_of_google(resource: Resource) -> bool:
    """Whether an Ingress of GKE ends TLS with a certificate of Google's, or is no public one."""
    internal = resource.get("metadata", "annotations", "kubernetes.io/ingress.class") == INTERNAL_INGRESS
    closed = str(resource.get("metadata", "annotations", "kubernetes.io/ingress.allow-http")) == "false"
    return internal or (closed and any(resource.get("metadata", "annotations", key) for key in GOOGLES_TLS))


def ollama_past_the_router(resource: Resource) -> Iterator[str]:
    """Ollama itself knows no keys: whoever reaches it may pull, delete and run anything."""
    remedy = f"send clients to the Service {ROUTER}, and leave Ollama's own a ClusterIP"
    if resource.kind == "Service" and (way := _outside(resource)):
        ports = items(resource.get("spec", "ports"))
        selector = resource.get("spec", "selector")
        to_server = at(selector, SERVER_LABEL[0]) == SERVER_LABEL[1] or at(selector, POOL_LABEL) is not None
        if to_server or any(_is_ollama(one.get("port")) or _is_ollama(one.get("targetPort")) for one in ports):
            yield f"a Service of {way} leads to Ollama past the router; {remedy}"
    if resource.kind == "Ingress" or resource.kind.endswith("Route"):
        for name, port in _backends(resource):
            if _is_ollama(port) or (str(name).startswith("ollama-") and name != ROUTER):
                yield f"the {resource.kind} leads to {name} past the router; {remedy}"
    for container in resource.containers:
        outside = resource.pod.get("hostNetwork") is True or any(_ports(container, "hostPort"))
        serves = "ollama/ollama" in str(container.get("image")) or any(
            map(_is_ollama, _ports(container, "containerPort"))
        )
        if outside and serves:
            yield f"{container.get('name')} serves on its node's own address; {remedy}"


def _is_ollama(port: Any) -> bool:
    return str(port) in (str(OLLAMA_PORT), f"{OLLAMA_PORT}.0")


def _ports(container: Mapping[str, Any], key: str) -> list[Any]:
    return [one.get(key) for one in items(container.get("ports"))]


def _backends(resource: Resource) -> Iterator[tuple[Any, Any]]:
    yield _service(resource.get("spec", "defaultBackend"))
    for rule in items(resource.get("spec", "rules")):
        for path in items(at(rule, "http", "paths")):
            yield _service(path.get("backend"))
        mirrors = [at(one, "requestMirror", "backendRef") for one in items(rule.get("filters"))]
        for backend in items([*items(rule.get("backendRefs")), *mirrors]):
            yield backend.get("name"), backend.get("port")


def _service(backend: Any) -> tuple[Any, Any]:
    return at(backend, "service", "name"), at(backend, "service", "port", "number")


def privileged_pod(resource: Resource) -> Iterator[str]:
    """Only DaemonSets of NVIDIA's, in the drivers' namespace, may do what a node's owner may."""
    pod = resource.pod
    if resource.kind == "PersistentVolume" and isinstance(resource.get("spec", "hostPath"), Mapping):
        yield "the volume is a folder of the node; use a storage class"
    if not pod or _is_driver(resource):
        return
    remedy = "take it out; only NVIDIA's DaemonSets in the drivers' namespace need it"
    for key in ("hostPID", "hostIPC", "hostNetwork"):
        if pod.get(key) is True:
            yield f"the pod has {key}; {remedy}"
    for one in resource.containers:
        for what in _rights(at(one, "securityContext")):
            yield f"the container {one.get('name')} {what}; {remedy}"
    for volume in items(pod.get("volumes")):
        if isinstance(volume.get("hostPath"), Mapping):
            yield f"the volume {volume.get('name')} is a folder of the node; {remedy}"


def _rights(context: Any) -> Iterator[str]:
    """What a container asks for beyond the level `baseline`."""
    if str(at(context, "privileged")).lower() == "true":
        yield "is privileged"
    if at(context, "windowsOptions", "hostProcess") is True:
        yield "is a process of the host"
    if at(context, "procMount") == "Unmasked":
        yield "sees all of /proc"
    added = at(context, "capabilities", "add")
    names = (
        [one.removeprefix("CAP_") for one in added if isinstance(one, str)] if isinstance(added, (list, tuple)) else []
    )
    if more := sorted({*names} - HARMLESS_CAPABILITIES):
        yield f"has {', '.join(more)}"


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
            if not isinstance(value, str) or not value:
                continue
            text = _decoded(value) if part == "binaryData" else value
            if SECRET_KEY.search(str(key)) or SECRET_VALUE.search(text):
                yield f"{part}.{key} looks like a secret; put it into a Secret, fed from a Pulumi secret"


def secret_in_an_environment(resource: Resource) -> Iterator[str]:
    """Whoever may look at a pod reads its environment, and so does whoever reads the state."""
    for container in resource.containers:
        for one in items(container.get("env")):
            name, value = one.get("name"), one.get("value")
            # the value itself is never repeated
            if not isinstance(name, str) or not isinstance(value, str):
                continue
            named = SECRET_KEY.search(name) and SECRET_LITERAL.fullmatch(value)
            if named or SECRET_VALUE.search(value):
                yield (
                    f"{name} of the container {container.get('name')} looks like a secret; put it into a Secret, fed "
                    "from a Pulumi secret, and name that at valueFrom.secretKeyRef"
                )


def _decoded(value: str) -> str:
    try:
        return base64.b64decode(value).decode("utf-8", "replace")
    except (binascii.Error, ValueError):
        return value


def unprotected_production_cluster(resource: Resource) -> Iterator[str]:
    """A production cluster is not destroyed by one wrong command."""
    if resource.type != "gcp:container/cluster:Cluster" or str(resource.get("deletionProtection")).lower() != "false":
        return
    labels = resource.get("resourceLabels")
    marks = [resource.stack, resource.get("name"), *(labels.values() if isinstance(labels, Mapping) else ())]
    if any(isinstance(mark, str) and PRODUCTION.fullmatch(mark) for mark in marks):
        yield "a production cluster without deletion protection; take gke.deletionProtection: false out of the file"


RULES: dict[str, Rule] = {
    "public-door-without-tls": public_door_without_tls,
    "ollama-past-the-router": ollama_past_the_router,
    "privileged-pod": privileged_pod,
    "secret-in-a-config-map": secret_in_a_config_map,
    "secret-in-an-environment": secret_in_an_environment,
    "unprotected-production-cluster": unprotected_production_cluster,
}
