"""A Kubernetes API by its kubeconfig, over plain HTTP; nothing hides what it says."""

import base64
import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests
from ruamel.yaml import YAML

Manifest = dict[str, Any]
MANAGER = "ollama-fleet"
_REQUEST_SECONDS = 30
_LOOPBACK = {"127.0.0.1", "localhost", "::1"}


class RefusedError(Exception):
    """The API server said no; the message is its own."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status}: {message}")
        self.status = status


class Kube:
    """One API server. Objects are the plain values of their JSON."""

    def __init__(self, kubeconfig: Path, folder: Path) -> None:
        """`folder` takes the certificates that the kubeconfig holds inline."""
        self.kubeconfig = kubeconfig
        self._session = requests.Session()
        self._server = _connect(self._session, kubeconfig, folder)
        self._resources: dict[tuple[str, str], Manifest] = {}

    def ready(self) -> bool:
        """Whether the API server answers and its own start is complete."""
        try:
            return self._session.get(f"{self._server}/readyz", timeout=2).status_code == HTTPStatus.OK
        except OSError:  # requests' own are among them, and a certificate that is not written yet
            return False

    def apply(
        self, manifest: Manifest, *, manager: str = MANAGER, dry_run: bool = False, force: bool = False
    ) -> tuple[Manifest, list[str]]:
        """Server-side apply, unknown fields refused. Returns the object and the server's warnings."""
        query = {"fieldManager": manager, "fieldValidation": "Strict", "force": str(force).lower()}
        if dry_run:
            query["dryRun"] = "All"
        headers = {"Content-Type": "application/apply-patch+yaml"}
        reply = self._send("PATCH", self.path(manifest), query=query, headers=headers, data=json.dumps(manifest))
        warning = reply.headers.get("Warning")
        return reply.json(), [warning] if warning else []

    def create(self, manifest: Manifest) -> Manifest:
        """A new object."""
        path = self.path(manifest).rpartition("/")[0]
        headers = {"Content-Type": "application/json"}
        return self._json("POST", path, headers=headers, data=json.dumps(manifest))

    def get(self, manifest: Manifest) -> Manifest:
        """The object of that kind, namespace and name as it is now."""
        return self._json("GET", self.path(manifest))

    def exists(self, manifest: Manifest) -> bool:
        """Whether there is such an object."""
        try:
            self.get(manifest)
        except RefusedError as refused:
            if refused.status == HTTPStatus.NOT_FOUND:
                return False
            raise
        return True

    def list(self, api: str, kind: str, namespace: str | None = None, selector: str = "") -> Sequence[Manifest]:
        """All objects of a kind, in one namespace or in all."""
        return self.listing(api, kind, namespace, selector)[0]

    def listing(
        self, api: str, kind: str, namespace: str | None = None, selector: str = ""
    ) -> tuple[Sequence[Manifest], str]:
        """All objects of a kind, and the version of the list."""
        found = self._json("GET", self._collection(api, kind, namespace), query={"labelSelector": selector})
        # the items of a list leave these two out
        items = [{"apiVersion": api, "kind": kind, **item} for item in found["items"]]
        return items, found["metadata"]["resourceVersion"]

    def delete(self, manifest: Manifest, propagation: str = "Background", *, grace: int | None = None) -> None:
        """Deletes the object and what it owns; without complaint where it is gone. Grace 0: nobody is asked."""
        body = json.dumps({"propagationPolicy": propagation, "gracePeriodSeconds": grace})
        try:
            self._send("DELETE", self.path(manifest), headers={"Content-Type": "application/json"}, data=body)
        except RefusedError as refused:
            if refused.status != HTTPStatus.NOT_FOUND:
                raise

    def evict(self, pod: Manifest) -> bool:
        """What a drain asks for; whether it is granted. A pod that is gone is no longer in the way."""
        place = {key: pod["metadata"][key] for key in ("name", "namespace")}
        body = json.dumps({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": place})
        path = f"{self.path(pod)}/eviction"
        try:
            self._send("POST", path, headers={"Content-Type": "application/json"}, data=body)
        except RefusedError as refused:
            if refused.status == HTTPStatus.TOO_MANY_REQUESTS and "disruption budget" in str(refused):
                return False
            if refused.status != HTTPStatus.NOT_FOUND:
                raise
        return True

    def changes(self, api: str, kind: str, namespace: str, selector: str, since: str) -> Iterator[tuple[str, Manifest]]:
        """What became of objects since that version of their list, in order: ADDED, MODIFIED or DELETED, and which."""
        query = {"watch": "1", "resourceVersion": since, "labelSelector": selector, "timeoutSeconds": "1"}
        reply = self._send("GET", self._collection(api, kind, namespace), query=query)
        for line in reply.text.splitlines():
            event = json.loads(line)
            if event["type"] == "ERROR":
                raise RefusedError(event["object"]["code"], event["object"]["message"])
            yield event["type"], event["object"]

    def merge(self, manifest: Manifest, patch: Mapping[str, Any], *, part: str = "", manager: str = "test") -> Manifest:
        """A merge patch, of a subresource such as `scale` if `part` names one."""
        path = self.path(manifest) + (f"/{part}" if part else "")
        headers = {"Content-Type": "application/merge-patch+json"}
        return self._json("PATCH", path, query={"fieldManager": manager}, headers=headers, data=json.dumps(patch))

    def scale(self, manifest: Manifest, replicas: int) -> None:
        """What an autoscaler does."""
        self.merge(manifest, {"spec": {"replicas": replicas}}, part="scale", manager="an-autoscaler")

    def metrics(self) -> str:
        """The API server's own figures, as Prometheus reads them."""
        return self._send("GET", "/metrics").text

    def path(self, manifest: Manifest) -> str:
        """The URL's path of an object."""
        metadata = manifest["metadata"]
        collection = self._collection(manifest["apiVersion"], manifest["kind"], metadata.get("namespace", "default"))
        return f"{collection}/{metadata['name']}"

    def _collection(self, api: str, kind: str, namespace: str | None) -> str:
        root = f"/apis/{api}" if "/" in api else f"/api/{api}"
        if (api, kind) not in self._resources:
            for found in self._json("GET", root)["resources"]:
                if "/" not in found["name"]:
                    self._resources[api, found["kind"]] = found
        if (api, kind) not in self._resources:
            raise RefusedError(HTTPStatus.NOT_FOUND, f"the server has no {kind} in {api}")
        resource = self._resources[api, kind]
        place = f"/namespaces/{namespace}" if resource["namespaced"] and namespace else ""
        return f"{root}{place}/{resource['name']}"

    def _json(self, method: str, path: str, **rest: Any) -> Manifest:
        value: Manifest = self._send(method, path, **rest).json()
        return value

    def _send(
        self, method: str, path: str, *, query: Mapping[str, str] | None = None, **rest: Any
    ) -> requests.Response:
        reply = self._session.request(method, f"{self._server}{path}", params=query, timeout=_REQUEST_SECONDS, **rest)
        if not reply.ok:
            try:
                message = reply.json()["message"]
            except (ValueError, KeyError):
                message = reply.text
            raise RefusedError(reply.status_code, message)
        return reply


def until(wanted: Callable[[], object], what: str | Callable[[], str], *, seconds: float = 60) -> None:
    """Waits until `wanted` is true, and fails with `what` was waited for."""
    patience = time.monotonic() + seconds
    while not wanted():
        if time.monotonic() > patience:
            raise TimeoutError(f"not within {seconds:.0f} s: {what if isinstance(what, str) else what()}")
        time.sleep(0.15)


def _connect(session: requests.Session, path: Path, folder: Path) -> str:
    """Credentials of the current context go into the session; returns the server's URL."""
    config = YAML(typ="safe", pure=True).load(path.read_text())
    context = _named(config["contexts"], config["current-context"])["context"]
    cluster = _named(config["clusters"], context["cluster"])["cluster"]
    user = _named(config["users"], context["user"])["user"]
    user = {**user, **_exec_credential(user["exec"])} if "exec" in user else user
    authority = _file(cluster, "certificate-authority", path, folder)
    session.verify = False if cluster.get("insecure-skip-tls-verify") else authority or True
    certificate, key = _file(user, "client-certificate", path, folder), _file(user, "client-key", path, folder)
    session.cert = (certificate, key) if certificate and key else None
    if "token" in user:
        session.headers["Authorization"] = f"Bearer {user['token']}"
    server = str(cluster["server"]).rstrip("/")
    # neither a proxy nor a .netrc speaks for what runs on this machine
    session.trust_env = urlsplit(server).hostname not in _LOOPBACK
    return server


def _named(entries: list[Manifest], name: str) -> Manifest:
    return next(entry for entry in entries if entry["name"] == name)


def _file(entry: Manifest, key: str, kubeconfig: Path, folder: Path) -> str | None:
    """The path of a certificate or key, written to `folder` where the kubeconfig has it inline."""
    if inline := entry.get(f"{key}-data"):
        file = folder / f"{key}.pem"
        file.touch(mode=0o600)
        file.write_bytes(base64.b64decode(inline))
        return str(file)
    return str(kubeconfig.parent / entry[key]) if key in entry else None


def _exec_credential(plugin: Manifest) -> dict[str, str]:
    environment = {variable["name"]: variable["value"] for variable in plugin.get("env") or []}
    asked = {"apiVersion": plugin["apiVersion"], "kind": "ExecCredential", "spec": {"interactive": False}}
    done = subprocess.run(
        [plugin["command"], *(plugin.get("args") or [])],
        env={**os.environ, **environment, "KUBERNETES_EXEC_INFO": json.dumps(asked)},
        capture_output=True,
        check=True,
    )
    return {"token": json.loads(done.stdout)["status"]["token"]}
