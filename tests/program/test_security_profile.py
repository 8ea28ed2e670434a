"""The check of the profile `restricted` itself: a pod that satisfies it, and each thing that does not."""

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest

from tests.program.rules.security import restricted

GOOD: dict[str, Any] = {
    "securityContext": {"runAsNonRoot": True, "runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"}},
    "volumes": [{"name": "tmp", "emptyDir": {}}],
    "containers": [
        {"name": "one", "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}}
    ],
}
Spoil = Callable[[dict[str, Any], dict[str, Any], dict[str, Any]], object]

SPOILED: dict[str, Spoil] = {
    "host network": lambda pod, _one, _own: pod.update(hostNetwork=True),
    "host processes": lambda pod, _one, _own: pod.update(hostPID=True),
    "host ipc": lambda pod, _one, _own: pod.update(hostIPC=True),
    "host port": lambda _pod, one, _own: one.update(ports=[{"containerPort": 80, "hostPort": 80}]),
    "host path": lambda pod, _one, _own: pod.update(volumes=[{"name": "dev", "hostPath": {"path": "/dev"}}]),
    "volume of an old kind": lambda pod, _one, _own: pod.update(volumes=[{"name": "n", "nfs": {"path": "/"}}]),
    "host process": lambda _pod, _one, own: own.update(windowsOptions={"hostProcess": True}),
    "privileged": lambda _pod, _one, own: own.update(privileged=True),
    "escalation allowed": lambda _pod, _one, own: own.update(allowPrivilegeEscalation=True),
    "escalation left open": lambda _pod, _one, own: own.pop("allowPrivilegeEscalation"),
    "capabilities kept": lambda _pod, _one, own: own.pop("capabilities"),
    "capability added": lambda _pod, _one, own: own["capabilities"].update(add=["SYS_ADMIN"]),
    "root allowed": lambda pod, _one, _own: pod["securityContext"].pop("runAsNonRoot"),
    "root allowed by the container": lambda _pod, _one, own: own.update(runAsNonRoot=False),
    "user 0": lambda _pod, _one, own: own.update(runAsUser=0),
    "user 0 of the pod": lambda pod, _one, _own: pod["securityContext"].update(runAsUser=0),
    "no seccomp": lambda pod, _one, _own: pod["securityContext"].pop("seccompProfile"),
    "seccomp unconfined": lambda _pod, _one, own: own.update(seccompProfile={"type": "Unconfined"}),
    "apparmor unconfined": lambda _pod, _one, own: own.update(appArmorProfile={"type": "Unconfined"}),
    "selinux type": lambda _pod, _one, own: own.update(seLinuxOptions={"type": "spc_t"}),
    "selinux user": lambda pod, _one, _own: pod["securityContext"].update(seLinuxOptions={"user": "u"}),
    "proc unmasked": lambda _pod, _one, own: own.update(procMount="Unmasked"),
    "sysctl": lambda pod, _one, _own: pod["securityContext"].update(sysctls=[{"name": "kernel.msgmax"}]),
    "probe of another host": lambda _pod, one, _own: one.update(livenessProbe={"httpGet": {"host": "other"}}),
    "hook to another host": lambda _pod, one, _own: one.update(lifecycle={"preStop": {"httpGet": {"host": "other"}}}),
    "init container": lambda pod, _one, _own: pod.update(initContainers=[{"name": "init"}]),
}


def test_a_locked_down_pod_satisfies_it() -> None:
    assert list(restricted(GOOD)) == []


@pytest.mark.parametrize("what", SPOILED)
def test_it_refuses(what: str) -> None:
    pod = deepcopy(GOOD)
    SPOILED[what](pod, pod["containers"][0], pod["containers"][0]["securityContext"])
    assert list(restricted(pod))
