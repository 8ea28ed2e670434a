"""A Kubernetes control plane on loopback: etcd, API server, scheduler, controller manager, and KWOK for the nodes.

Each has a folder of its own and ports that were free, so that two of them do not meet. It is set as GKE is where that
decides whether a pod comes to be: Pod Security, priority classes limited by quota, tolerations for extended resources.
"""

import ctypes
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from infra.local.ports import free_ports
from tests.cluster.kube import Kube, until

CONTROL_PLANE = ("etcd", "kube-apiserver", "kube-scheduler", "kube-controller-manager")
NODES = "kwok"
FAKE = {"kwok.x-k8s.io/node": "fake"}
"""The annotation of the nodes that KWOK plays: on a real cluster it must leave the others alone."""
_START_SECONDS = 90
_STOP_SECONDS = 10
_TRIES = 3
_SPARING = {"GOGC": "400"}
"""Memory for CPU: a sixth of the API server's went into collecting garbage."""

# Google's clusters limit both classes to namespaces whose quota speaks of them
# (https://docs.cloud.google.com/kubernetes-engine/quotas, "insufficient quota to match these scopes", gatekeeper#1120).
ADMISSION = """
apiVersion: apiserver.config.k8s.io/v1
kind: AdmissionConfiguration
plugins:
- name: ResourceQuota
  configuration:
    apiVersion: apiserver.config.k8s.io/v1
    kind: ResourceQuotaConfiguration
    limitedResources:
    - resource: pods
      matchScopes:
      - scopeName: PriorityClass
        operator: In
        values: [system-node-critical, system-cluster-critical]
"""
KWOK_CONFIGURATION = Path(__file__).with_name("kwok.yaml")


class DiedError(Exception):
    """A program ended that should run; the message has the end of its log."""


class Processes:
    """Programs that are stopped together, and that die with this process even if it is killed."""

    def __init__(self, folder: Path, programs: Mapping[str, Path]) -> None:
        self._folder = folder
        self._programs = programs
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    @property
    def ids(self) -> list[int]:
        """Of the programs that were started and run."""
        return [process.pid for process in self._running.values() if process.poll() is None]

    def start(self, name: str, *arguments: str) -> None:
        """Starts a program; it logs to a file of its name."""
        with (self._folder / f"{name}.log").open("wb") as log:
            self._running[name] = subprocess.Popen(
                [self._programs[name], *arguments],
                cwd=self._folder,
                env={**os.environ, **_SPARING},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                preexec_fn=_die_with_parent if sys.platform == "linux" else None,  # noqa: PLW1509 - no thread starts one
                # Ctrl-C is for the test run, which then stops these in order
                start_new_session=True,
            )

    def wait(self, wanted: Callable[[], object], what: str) -> None:
        """Waits, and fails at once when a program ends meanwhile."""

        def alive_and_wanted() -> bool:
            for name, process in self._running.items():
                if process.poll() is not None:
                    raise DiedError(f"{name} ended with {process.returncode}:\n{self._end_of_log(name)}")
            return bool(wanted())

        logs = lambda: f"{what}\n" + "\n".join(f"{name}:\n{self._end_of_log(name)}" for name in self._running)  # noqa: E731
        until(alive_and_wanted, logs, seconds=_START_SECONDS)

    def stop(self) -> None:
        """Asks the last started first, then kills what does not go; none is left when this returns."""
        for process in reversed(self._running.values()):
            process.terminate()
        patience = time.monotonic() + _STOP_SECONDS
        for process in reversed(self._running.values()):
            try:
                process.wait(max(0.1, patience - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._running.clear()

    def _end_of_log(self, name: str) -> str:
        return "\n".join((self._folder / f"{name}.log").read_text(errors="replace").splitlines()[-8:])


def _die_with_parent() -> None:
    set_parent_death_signal = 1
    ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGKILL)


@contextmanager
def control_plane(folder: Path, programs: Mapping[str, Path]) -> Iterator[tuple[Kube, Processes]]:
    """A running control plane without any node."""
    for turn in range(_TRIES):
        home = folder / f"control-plane-{turn}"
        home.mkdir()
        processes = Processes(home, programs)
        try:
            try:
                kube = _start(processes, home)
            except DiedError as died:
                # between choosing a free port and its use, somebody else may have taken it
                if "address already in use" in str(died) and turn < _TRIES - 1:
                    continue
                raise
            yield kube, processes
            return
        finally:
            processes.stop()


@contextmanager
def fake_nodes(folder: Path, programs: Mapping[str, Path], kube: Kube) -> Iterator[Processes]:
    """KWOK, which lets the nodes that carry its annotation, and their pods, appear to run."""
    processes = Processes(folder, programs)
    try:
        processes.start(NODES, "--kubeconfig", str(kube.kubeconfig), "--config", str(KWOK_CONFIGURATION))
        yield processes
    finally:
        processes.stop()


def _start(processes: Processes, home: Path) -> Kube:
    etcd_port, peer_port, port = free_ports(3)
    etcd, peer = f"http://127.0.0.1:{etcd_port}", f"http://127.0.0.1:{peer_port}"
    processes.start(
        "etcd",
        f"--data-dir={home / 'etcd'}",
        f"--listen-client-urls={etcd}",
        f"--advertise-client-urls={etcd}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=default={peer}",
        "--unsafe-no-fsync",
        "--log-level=warn",
    )
    processes.wait(lambda: _listens(etcd_port), "etcd")
    token = secrets.token_hex()
    (home / "tokens.csv").write_text(f"{token},test,test,system:masters\n")
    (home / "admission.yaml").write_text(ADMISSION)
    certificates = home / "certificates"
    processes.start(
        "kube-apiserver",
        f"--etcd-servers={etcd}",
        "--bind-address=127.0.0.1",
        # not the loopback address, which it refuses to advertise; nobody asks for it
        "--advertise-address=192.0.2.1",
        "--endpoint-reconciler-type=none",
        f"--secure-port={port}",
        f"--cert-dir={certificates}",
        "--service-cluster-ip-range=10.4.0.0/20",
        "--service-account-issuer=https://kubernetes.default.svc",
        # it makes this pair itself for its own address, and any RSA key will do
        f"--service-account-key-file={certificates / 'apiserver.key'}",
        f"--service-account-signing-key-file={certificates / 'apiserver.key'}",
        f"--token-auth-file={home / 'tokens.csv'}",
        "--authorization-mode=RBAC",
        "--allow-privileged=true",
        "--enable-admission-plugins=ExtendedResourceToleration",
        f"--admission-control-config-file={home / 'admission.yaml'}",
        "--profiling=false",
    )
    kubeconfig = home / "kubeconfig"
    kubeconfig.write_text(_kubeconfig(port, certificates / "apiserver.crt", token))
    kube = Kube(kubeconfig, home)
    processes.wait(kube.ready, "the API server")
    client = [
        f"--{name}={kubeconfig}" for name in ("kubeconfig", "authentication-kubeconfig", "authorization-kubeconfig")
    ]
    quick = ["--leader-elect=false", "--secure-port=0", "--kube-api-qps=500", "--kube-api-burst=1000"]
    processes.start("kube-scheduler", *client, *quick)
    processes.start(
        "kube-controller-manager",
        *client,
        *quick,
        f"--service-account-private-key-file={certificates / 'apiserver.key'}",
        f"--root-ca-file={certificates / 'apiserver.crt'}",
        # Kubernetes' own 15 s would be waited for by every stack, and by every claim of a volume
        "--horizontal-pod-autoscaler-sync-period=1s",
        "--pvclaimbinder-sync-period=1s",
    )
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"namespace": "default", "name": "default"}}
    processes.wait(lambda: kube.exists(account), "the controller manager")
    return kube


def _kubeconfig(port: int, authority: Path, token: str) -> str:
    """JSON is YAML."""
    cluster = {"server": f"https://127.0.0.1:{port}", "certificate-authority": str(authority)}
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "test",
            "clusters": [{"name": "test", "cluster": cluster}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
            "users": [{"name": "test", "user": {"token": token}}],
        }
    )


def _listens(port: int) -> bool:
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0
