"""Kubernetes' Pod Security Standard `restricted`, and the rules about what pods may do.

https://kubernetes.io/docs/concepts/security/pod-security-standards/ for 1.34, its baseline included.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from infra.recorder import Secret, reveal
from tests.program.rules.view import (
    DEPLOYMENT,
    NAMESPACE,
    SERVICE_ACCOUNT,
    Complaints,
    View,
    at,
    rule,
)

VOLUMES = {
    "configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret",
}  # fmt: skip
SYSCTLS = {
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.ping_group_range",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_wmem",
}
SELINUX = {"", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"}
PROFILES = {"RuntimeDefault", "Localhost"}
MUTABLE_ROOT_NEEDED: set[str] = {"install", "verify", "exporter"}
"""Google's installer writes where it is; the verifier writes its last words into /dev/termination-log; DCGM keeps its
state and log beside itself."""


def restricted(spec: Mapping[str, Any]) -> Iterator[str]:
    """What the profile `restricted` holds against a pod."""
    yield from (key for key in ("hostNetwork", "hostPID", "hostIPC") if spec.get(key))
    pod = spec.get("securityContext") or {}
    yield from _contexts("pod", pod)
    for volume in spec.get("volumes") or []:
        if kinds := set(volume) - {"name"} - VOLUMES:
            yield f"volume {volume.get('name')} is a {', '.join(kinds)}"
    yield from (f"sysctl {one.get('name')}" for one in pod.get("sysctls") or [] if one.get("name") not in SYSCTLS)
    if pod.get("runAsUser") == 0:
        yield "the pod runs as root"
    for kind in ("initContainers", "containers", "ephemeralContainers"):
        for container in spec.get(kind) or []:
            yield from _container(container, pod)


def _container(container: Mapping[str, Any], pod: Mapping[str, Any]) -> Iterator[str]:
    name = container.get("name")
    own = container.get("securityContext") or {}
    capabilities = own.get("capabilities") or {}
    yield from _contexts(str(name), own)
    if own.get("privileged"):
        yield f"{name} is privileged"
    if own.get("allowPrivilegeEscalation") is not False:
        yield f"{name} may gain privileges"
    if "ALL" not in (capabilities.get("drop") or []):
        yield f"{name} keeps capabilities"
    if set(capabilities.get("add") or []) - {"NET_BIND_SERVICE"}:
        yield f"{name} gains capabilities"
    if own.get("runAsNonRoot", pod.get("runAsNonRoot")) is not True:
        yield f"{name} may run as root"
    if own.get("runAsUser") == 0:
        yield f"{name} runs as root"
    seccomp = own.get("seccompProfile") or pod.get("seccompProfile") or {}
    if seccomp.get("type") not in PROFILES:
        yield f"{name} may make any system call"
    yield from _reaching_out(str(name), container)


def _reaching_out(name: str, container: Mapping[str, Any]) -> Iterator[str]:
    if at(container, "securityContext.procMount") not in (None, "Default"):
        yield f"{name} sees /proc unmasked"
    yield from (f"{name} takes a port of the host" for port in container.get("ports") or [] if port.get("hostPort"))
    hooks = container.get("lifecycle") or {}
    asked = [container.get(f"{one}Probe") or {} for one in ("liveness", "readiness", "startup")]
    for probe in [*asked, hooks.get("preStop") or {}, hooks.get("postStart") or {}]:
        if any((probe.get(kind) or {}).get("host") for kind in ("httpGet", "tcpSocket")):
            yield f"{name} has a host in a probe or hook"


def _contexts(name: str, context: Mapping[str, Any]) -> Iterator[str]:
    if (context.get("windowsOptions") or {}).get("hostProcess"):
        yield f"{name} is a process of the host"
    if (context.get("appArmorProfile") or {}).get("type", "RuntimeDefault") not in PROFILES:
        yield f"{name} is not confined by AppArmor"
    selinux = context.get("seLinuxOptions") or {}
    if selinux.get("type", "") not in SELINUX or selinux.get("user") or selinux.get("role"):
        yield f"{name} chooses its SELinux label"
    if (context.get("seccompProfile") or {}).get("type", "RuntimeDefault") not in PROFILES:
        yield f"{name} is not confined by seccomp"


@rule
def every_pod_of_the_fleets_namespace_satisfies_the_restricted_profile(view: View) -> Complaints:
    for pod in view.pods:
        if at(pod.owner.inputs, "metadata.namespace") == view.plan.namespace or not pod.is_driver:
            yield from (f"{pod.name}: {complaint}" for complaint in restricted(pod.spec))


@rule
def namespaces_enforce_their_profile_and_only_drivers_may_be_privileged(view: View) -> Complaints:
    if (plan := view.cluster_plan) is None:
        return
    levels = {plan.namespace: "restricted", **({plan.driver_namespace: "privileged"} if view.drivers else {})}
    found = {at(one.inputs, "metadata.name"): at(one.inputs, "metadata.labels") or {} for one in view.all(NAMESPACE)}
    if set(found) != set(levels):
        yield f"there are {sorted(map(str, found))}"
    for name, level in levels.items():
        for mode in ("enforce", "warn"):
            if found.get(name, {}).get(f"pod-security.kubernetes.io/{mode}") != level:
                yield f"{name} does not {mode} {level}"
    for pod in view.pods:
        namespace = at(pod.owner.inputs, "metadata.namespace")
        if namespace != (plan.driver_namespace if pod.is_driver else plan.namespace):
            yield f"{pod.name} stands in {namespace}"


@rule
def only_the_installer_and_who_reads_the_gpus_are_privileged(view: View) -> Complaints:
    for pod in view.pods:
        for container in pod.containers:
            own = container.get("securityContext") or {}
            trusted = pod.is_driver and container.get("name") in ("install", "exporter")
            if not trusted and (own.get("privileged") or own.get("allowPrivilegeEscalation") is not False):
                yield f"{pod.name}/{container.get('name')} may gain privileges"


@rule
def containers_cannot_change_their_own_image(view: View) -> Complaints:
    for pod in view.pods:
        for container in pod.containers:
            fixed = at(container, "securityContext.readOnlyRootFilesystem") is True
            if not fixed and container.get("name") not in MUTABLE_ROOT_NEEDED:
                yield f"{pod.name}/{container.get('name')} can"


@rule
def pods_run_as_one_user_and_group_who_is_nobody_else_on_the_node(view: View) -> Complaints:
    for pod in view.pods:
        context = pod.spec.get("securityContext") or {}
        if pod.is_driver:
            continue
        user, group = context.get("runAsUser"), context.get("runAsGroup")
        if not user or user < 1000 or group != user:
            yield f"{pod.name} runs as {user}:{group}"
        if pod.pool is not None and context.get("fsGroup") != group:
            yield f"{pod.name} cannot write its volumes"


@rule
def no_pod_gets_a_token_of_the_cluster_or_addresses_it_did_not_ask_for(view: View) -> Complaints:
    for account in view.all(SERVICE_ACCOUNT):
        if account.inputs.get("automountServiceAccountToken") is not False:
            yield f"{account.name} hands out tokens"
    accounts = {at(one.inputs, "metadata.name") for one in view.all(SERVICE_ACCOUNT)}
    for pod in view.pods:
        if pod.spec.get("automountServiceAccountToken") is not False:
            yield f"{pod.name} mounts a token"
        if pod.owner.type == DEPLOYMENT:
            name = at(pod.owner.inputs, "metadata.name")
            if pod.spec.get("serviceAccountName") != name or name not in accounts:
                yield f"{pod.name} runs as {pod.spec.get('serviceAccountName')}"
            if pod.spec.get("enableServiceLinks") is not False:
                yield f"{pod.name} learns of every Service by its environment"


def secrets(value: Any) -> Iterator[Any]:
    """Every secret in a value."""
    if isinstance(value, Secret):
        yield reveal(value)
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from secrets(inner)
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from secrets(inner)


@rule
def no_secret_reaches_a_config_map_a_pod_or_an_output_that_is_not_secret(view: View) -> Complaints:
    for resource in view.kubernetes:
        if resource.type != "kubernetes:core/v1:Secret" and list(secrets(resource.inputs)):
            yield f"{resource.name} has a secret in it"
    hidden = {text for text in secrets(view.recording.stack_outputs) if isinstance(text, str)}
    for name, value in view.recording.stack_outputs.items():
        if not isinstance(value, Secret) and any(text in str(value) for text in hidden):
            yield f"the output {name} tells a secret"


@rule
def the_kubeconfig_is_a_secret_output_without_a_credential(view: View) -> Complaints:
    if view.cluster_plan is None:
        return
    outputs = view.recording.stack_outputs
    if not isinstance(outputs.get("kubeconfig"), Secret):
        yield "it is shown"
        return
    text = str(reveal(outputs["kubeconfig"]))
    if re.search(r"token|client-key|password|certificate-authority", text, re.IGNORECASE):
        yield "it carries a credential, or the CA of an address that has a public certificate"
    if "gke-gcloud-auth-plugin" not in text or ".gke.goog" not in text:
        yield "nobody gets in with it"
