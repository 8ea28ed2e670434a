"""The doubles of the engine tier with a real API server behind them.

Objects are applied, waited for and deleted as pulumi-kubernetes 4.34 does it (provider/pkg/await, read 2026-11-21).
Google's node pools appear as played nodes and vanish again.
"""

# ruff: noqa: A002, ARG002 `id` is the protocol's word; hooks take what an override may need

import secrets
import time
from collections.abc import Iterable, Sequence
from typing import Any

import requests

from tests.cluster import machines
from tests.cluster.ignored import with_ignored
from tests.cluster.kube import Kube, Manifest, RefusedError, until
from tests.cluster.readiness import complaint
from tests.engine.doubles import Existing, GoogleDouble, KubernetesDouble
from tests.engine.doubles import provider as engine
from tests.engine.doubles.google_outputs import NODE_POOL
from tests.engine.doubles.kubernetes import is_release
from tests.engine.doubles.provider import Subject, digest
from tests.engine.doubles.values import UNKNOWN, Properties


class ApplyingDouble(KubernetesDouble):
    """One API server, whatever the kubeconfig says. `patience` bounds what the program's own timeouts allow."""

    def __init__(self, kube: Kube, patience: float = 60) -> None:
        super().__init__()
        self.kube = kube
        self.patience = patience
        self._seed = secrets.token_hex()

    def manager(self, urn: str) -> str:
        """The field manager of a resource: one for each, made up when it is created."""
        return f"pulumi-kubernetes-{digest(self._seed, urn)[:8]}"

    def before_create(self, subject: Subject, id: str) -> None:
        """Apply creates, or takes over what is there; the API server refuses fields that others manage."""

    def computed(self, subject: Subject, id: str) -> Properties:
        live = self._live(subject)
        if live is None:
            return super().computed(subject, id)
        metadata = {key: value for key, value in live["metadata"].items() if key != "managedFields"}
        return {**live, "metadata": metadata}

    def rehearse(self, subject: Subject, id: str | None, ignored: Sequence[str]) -> None:
        if is_release(subject):
            return
        manifest = _whole(subject.inputs)
        if UNKNOWN in str(manifest):
            return
        try:
            # as the provider: what is created may stand for a replacement, whose fields are still another's
            self._apply(subject, ignored if id else (), dry_run=True, force=id is None)
        except engine.RefusedError as refused:
            # the preview of what goes into a namespace that does not exist yet
            if id is not None or "namespaces" not in str(refused) or "not found" not in str(refused):
                raise

    def make(self, subject: Subject, id: str) -> None:
        self._apply(subject, ())

    def change(self, subject: Subject, id: str, ignored: Sequence[str]) -> None:
        self._apply(subject, ignored)

    def settle(self, subject: Subject, id: str, seconds: float) -> None:
        if is_release(subject):
            return
        patience = time.monotonic() + min(seconds or self.patience, self.patience)
        while reason := complaint(self.kube, _whole(subject.inputs)):
            if time.monotonic() > patience:
                raise engine.RefusedError(f"the resource {id} was not ready in time: {reason}")
            time.sleep(0.2)

    def remove(self, subject: Subject, id: str, seconds: float) -> None:
        if is_release(subject):
            return
        manifest = _whole(subject.inputs)
        try:
            self.kube.delete(manifest, "Foreground")
            until(lambda: not self.kube.exists(manifest), f"{id} gone", seconds=min(seconds or 60, self.patience))
        except (RefusedError, TimeoutError) as problem:
            raise engine.RefusedError(str(problem)) from None

    def found(self, subject: Subject, id: str) -> Existing | None:
        known = super().found(subject, id)
        if is_release(subject):
            return known
        return known if known and self.kube.exists(_whole(known.inputs)) else None

    def _apply(self, subject: Subject, ignored: Iterable[str], *, dry_run: bool = False, force: bool = False) -> None:
        if is_release(subject):
            return
        manifest, manager = _whole(subject.inputs), self.manager(subject.urn)
        force = force or (manifest["metadata"].get("annotations") or {}).get("pulumi.com/patchForce") == "true"
        try:
            if ignored:
                manifest = with_ignored(manifest, self.kube.get(manifest), ignored, manager)
            self.kube.apply(manifest, manager=manager, dry_run=dry_run, force=force)
        except RefusedError as refused:
            text = str(refused)
            if refused.status == requests.codes.conflict:
                text = f'the resource managed by field manager "{manager}" had an apply conflict: {text}'
            raise engine.RefusedError(text) from None

    def _live(self, subject: Subject) -> Manifest | None:
        if is_release(subject):
            return None
        try:
            return self.kube.get(_whole(subject.inputs))
        except RefusedError as refused:
            if refused.status == requests.codes.not_found:
                return None
            raise


class NodesDouble(GoogleDouble):
    """Google, whose node pools have nodes: all that the pool may grow to, at once."""

    def __init__(self, kube: Kube) -> None:
        super().__init__()
        self.kube = kube

    def make(self, subject: Subject, id: str) -> None:
        if subject.type == NODE_POOL:
            for node in self._nodes(subject):
                self.kube.create(node)

    def change(self, subject: Subject, id: str, ignored: Sequence[str]) -> None:
        """Nodes that would be others now are made anew, as an upgrade does."""
        if subject.type != NODE_POOL:
            return
        before = {node["metadata"]["name"]: node for node in self._nodes(self._stored(subject, id))}
        after = {node["metadata"]["name"]: node for node in self._nodes(subject)}
        vanish(self.kube, {name for name in before if before[name] != after.get(name)})
        for name, node in after.items():
            if node != before.get(name):
                self.kube.create(node)

    def remove(self, subject: Subject, id: str, seconds: float) -> None:
        if subject.type == NODE_POOL:
            vanish(self.kube, {node["metadata"]["name"] for node in self._nodes(self._stored(subject, id))})

    def _stored(self, subject: Subject, id: str) -> Subject:
        inputs = self.find(id, NODE_POOL).inputs
        return Subject(subject.type, subject.name, subject.urn, inputs, subject.config)

    def _nodes(self, subject: Subject) -> list[Manifest]:
        return list(machines.of_pool(_whole(subject.inputs)))


def vanish(kube: Kube, names: set[str]) -> None:
    """Nodes that are switched off, and what ran on them."""
    for name in names:
        kube.delete({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}})

    def none_left() -> bool:
        left = [pod for pod in kube.list("v1", "Pod") if pod["spec"].get("nodeName") in names]
        for pod in left:
            # nobody is there who could end it in peace
            kube.delete(pod, grace=0)
        return not left

    until(none_left, f"nothing left on {', '.join(names)}")


def _whole(value: Any) -> Any:
    """The protocol knows floating-point numbers only, and Kubernetes takes none for a count."""
    if isinstance(value, dict):
        return {key: _whole(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_whole(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value
