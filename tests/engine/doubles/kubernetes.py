"""The `kubernetes` double: the real provider's replacement rules over a small API server.

What replaces is decided in `infra.change.kubernetes`.
"""

# ruff: noqa: A002, ARG001, ARG002 `id` is the protocol's word; one signature for every maker

import re
from collections.abc import Sequence
from functools import cache
from typing import Any

import yaml

from infra.change import kubernetes as rules
from infra.recorder.outputs import CLUSTER_SCOPED
from tests.engine.doubles.diff import Change, Verdict
from tests.engine.doubles.provider import ProviderDouble, RefusedError, Subject, digest
from tests.engine.doubles.values import UNKNOWN, Properties, is_secret

NAMESPACE = "kubernetes:core/v1:Namespace"
CONFIG_MAP = "kubernetes:core/v1:ConfigMap"
SECRET = "kubernetes:core/v1:Secret"

# What a fresh cluster has.
_NAMESPACES = {"default", "kube-system", "kube-public", "kube-node-lease"}


class KubernetesDouble(ProviderDouble):
    """As many clusters as there are kubeconfigs; everything becomes ready at once.

    A cluster counts as itself by the provider's `clusterIdentifier`, else by its server's address. One that is in
    `unreachable` answers nothing; `skipUpdateUnreachable` then keeps what is there as it was, and helps nothing new
    (provider.go of pulumi-kubernetes @94977969d, 2026-07-01: Check gives the old inputs back, Create and Delete fail).
    """

    def __init__(self) -> None:
        super().__init__("kubernetes", "4.34.2")
        self.unreachable: set[str] = set()

    def checked(self, subject: Subject, news: Properties, olds: Properties, seed: bytes) -> Properties:
        skips = subject.config.get("skipUpdateUnreachable") in (True, "true")
        if skips and self.scope(subject) in self.unreachable:
            return olds
        if is_release(subject):
            return news
        metadata = news.get("metadata") or {}
        if is_secret(metadata):
            raise RefusedError("metadata as a whole is a secret")
        metadata = dict(metadata)
        if "name" not in metadata:
            before = olds.get("metadata", {})
            autonamed = before.get("annotations", {}).get("pulumi.com/autonamed") == "true"
            made_up = f"{subject.name}-{digest(subject.urn, seed.hex())[:8]}"
            metadata["name"] = before["name"] if autonamed else made_up
            annotations = metadata.get("annotations", {})
            metadata["annotations"] = {**annotations, "pulumi.com/autonamed": "true"}
        default = subject.config.get("namespace")
        if default and _namespaced(subject):
            metadata.setdefault("namespace", default)
        return {**news, "metadata": metadata}

    def verdict(self, subject: Subject, change: Change) -> Verdict:
        return rules.verdict(subject.type, subject.inputs, subject.config, change)

    def deletes_first(self, old: Subject, new: Subject) -> bool:
        return rules.deletes_first(old.inputs, new.inputs)

    def config_verdict(self, old: Properties, new: Properties, change: Change) -> Verdict:
        clusters = _active_cluster(old), _active_cluster(new)
        moved = None not in clusters and clusters[0] != clusters[1]
        return rules.provider_verdict(old, new, change, moved=moved)

    def identify(self, subject: Subject) -> str:
        namespace, name = _key(subject)
        return f"{namespace}/{name}" if namespace else name

    def scope(self, subject: Subject) -> str:
        identifier = subject.config.get(rules.IDENTIFIER)
        cluster = _active_cluster(subject.config) or {}
        return str(identifier or cluster.get("server", ""))

    def computed(self, subject: Subject, id: str) -> Properties:
        if not subject.inputs:
            # new in a cluster that does not answer: the preview knows nothing of it
            return {}
        if is_release(subject):
            return {"status": {"status": "deployed", "version": subject.inputs.get("version")}}
        kept: Properties = {
            "metadata": {
                "uid": digest(subject.urn, id)[:32],
                "creationTimestamp": "2026-01-01T00:00:00Z",
            }
        }
        if _namespaced(subject):
            kept["metadata"]["namespace"] = "default"
        make = _COMPUTED.get(subject.type.rsplit(":", 1)[-1])
        return {**kept, **(make(subject, id) if make else {})}

    def before_create(self, subject: Subject, id: str) -> None:
        self._reach(subject)
        scope, kind = self.scope(subject), _plural(subject)
        namespace, name = _key(subject)
        if (scope, subject.type, id) in self.existing:
            raise RefusedError(f'{kind} "{name}" already exists')
        # Kubernetes itself creates these; a program that does so too meets them.
        if subject.type == NAMESPACE and name in _NAMESPACES:
            raise RefusedError(f'{kind} "{name}" already exists')
        if subject.inputs.get("createNamespace"):
            return
        there = namespace in _NAMESPACES or (scope, NAMESPACE, namespace) in self.existing
        if namespace and not there:
            raise RefusedError(f'namespaces "{namespace}" not found')

    def change(self, subject: Subject, id: str, ignored: Sequence[str]) -> None:
        self._reach(subject)

    def before_delete(self, subject: Subject, id: str, outputs: Properties) -> None:
        self._reach(subject)

    def after_delete(self, subject: Subject, id: str) -> None:
        if subject.type != NAMESPACE:
            return
        scope = self.scope(subject)
        inside = [key for key in self.existing if key[0] == scope and key[2].startswith(f"{id}/")]
        for key in inside:
            del self.existing[key]

    def _reach(self, subject: Subject) -> None:
        if self.scope(subject) in self.unreachable:
            raise RefusedError("configured Kubernetes cluster is unreachable: connect: no route to host")


def is_release(subject: Subject) -> bool:
    """Whether Helm makes it, with its namespace and under no metadata of ours."""
    return subject.type.startswith("kubernetes:helm.sh/")


def _key(subject: Subject) -> tuple[str, str]:
    if is_release(subject):
        return str(subject.inputs["namespace"]), str(subject.inputs["name"])
    metadata = subject.inputs.get("metadata", {})
    namespace = str(metadata.get("namespace", "default")) if _namespaced(subject) else ""
    return namespace, str(metadata.get("name", UNKNOWN))


def _namespaced(subject: Subject) -> bool:
    return subject.type.rsplit(":", 1)[-1] not in CLUSTER_SCOPED


def _plural(subject: Subject) -> str:
    """The resource's name in API messages: `deployments.apps`."""
    _, version, kind = subject.type.split(":")
    plural = re.sub(r"y$", "ie", kind.lower()).removesuffix("s") + "s"
    group = version.split("/")[0]
    return plural if group == "core" else f"{plural}.{group}"


def _active_cluster(config: Properties) -> dict[str, Any] | None:
    """The cluster that a provider's configuration points to, None where it names none."""
    text = config.get("kubeconfig")
    if not isinstance(text, str) or text == UNKNOWN:
        return None
    kubeconfig = _kubeconfig(text)
    if not isinstance(kubeconfig, dict):
        return None
    context = config.get("context", kubeconfig.get("current-context"))
    named = _named(kubeconfig.get("contexts"), context, "context").get("cluster")
    return _named(kubeconfig.get("clusters"), config.get("cluster", named), "cluster") or None


@cache
def _kubeconfig(text: str) -> Any:
    """Read once: every request for an object asks which cluster it is about."""
    return yaml.safe_load(text)


def _named(entries: Any, name: Any, key: str) -> dict[str, Any]:
    found = [entry[key] for entry in entries or [] if entry.get("name") == name]
    return dict(found[0]) if found else {}


def _ready_pods(subject: Subject, id: str) -> Properties:
    count = subject.inputs.get("spec", {}).get("replicas", 1)
    return {"status": {"replicas": count, "readyReplicas": count, "availableReplicas": count}}


def _daemons(subject: Subject, id: str) -> Properties:
    return {"status": {"desiredNumberScheduled": 0, "numberReady": 0}}


def _service(subject: Subject, id: str) -> Properties:
    mark = int(digest(id)[:4], 16)
    address = f"34.118.{224 + mark % 16}.{mark // 16 % 254 + 1}"
    spec = subject.inputs.get("spec", {})
    status: Properties = {"loadBalancer": {}}
    if spec.get("type") == "LoadBalancer":
        given = spec.get("loadBalancerIP", f"192.0.2.{mark % 254 + 1}")
        status = {"loadBalancer": {"ingress": [{"ip": given}]}}
    return {"spec": {"clusterIP": address, "type": "ClusterIP"}, "status": status}


def _active(subject: Subject, id: str) -> Properties:
    return {"spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Active"}}


_COMPUTED = {
    "DaemonSet": _daemons,
    "Deployment": _ready_pods,
    "Namespace": _active,
    "Service": _service,
    "StatefulSet": _ready_pods,
}
