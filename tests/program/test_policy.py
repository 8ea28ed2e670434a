"""The policy pack: what each rule stops, what it lets pass, and that the fleet itself breaks none."""

import base64
import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import tools
from tests.program.conftest import STACKS
from tests.program.programs import ROOT
from tests.required import leave_out

FOLDER = ROOT / "policy"


def module(name: str, file: str) -> Any:
    spec = importlib.util.spec_from_file_location(name, FOLDER / file)
    assert spec is not None
    assert spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    sys.modules[name] = loaded
    spec.loader.exec_module(loaded)
    return loaded


rules = module("rules", "rules.py")


def service(type_: str, *ports: int, target: Any = 8080, **metadata: Any) -> tuple[str, Any]:
    spec = {"type": type_, "ports": [{"port": port, "targetPort": target} for port in ports]}
    return "kubernetes:core/v1:Service", {"metadata": {"name": "x", **metadata}, "spec": spec}


def pod(kind: str = "Deployment", name: str = "x", namespace: str = "other", **spec: Any) -> tuple[str, Any]:
    template = {"spec": {"containers": [{"name": "main", "image": "busybox"}], **spec}}
    metadata = {"name": name, "namespace": namespace}
    return f"kubernetes:apps/v1:{kind}", {"metadata": metadata, "spec": {"template": template}}


def route(kind: str, **rule: Any) -> tuple[str, Any]:
    return f"kubernetes:gateway.networking.k8s.io/v1:{kind}", {"spec": {"rules": [rule]}}


def ingress(service_name: str, port: int = 80, *, annotations: Any = None, **spec: Any) -> tuple[str, Any]:
    backend = {"service": {"name": service_name, "port": {"number": port}}}
    rule = {"http": {"paths": [{"path": "/", "backend": backend}]}}
    inputs = {"metadata": {"annotations": annotations or {}}, "spec": {"rules": [rule], **spec}}
    return "kubernetes:networking.k8s.io/v1:Ingress", inputs


def config_map(**data: str) -> tuple[str, Any]:
    return "kubernetes:core/v1:ConfigMap", {"metadata": {"name": "x"}, "data": data}


def environment(kind: str = "containers", **values: Any) -> tuple[str, Any]:
    return pod(**{kind: [{"name": "main", "env": [{"name": name, "value": value} for name, value in values.items()]}]})


def cluster(*, protected: bool, **labels: str) -> tuple[str, Any]:
    return "gcp:container/cluster:Cluster", {"deletionProtection": protected, "resourceLabels": labels}


SERVICE, CONFIG_MAP, CLUSTER = (
    "kubernetes:core/v1:Service",
    "kubernetes:core/v1:ConfigMap",
    "gcp:container/cluster:Cluster",
)
POOL = {"ollama-fleet/pool": "t4"}
MANAGED = {"networking.gke.io/managed-certificates": "web"}
NO_HTTP = "kubernetes.io/ingress.allow-http"
MIRROR = {"requestMirror": {"backendRef": {"name": "other", "port": 11434}}}
KEY = b"-----BEGIN OPENSSH PRIVATE KEY-----\nabc"
INTERNAL = {"annotations": {"networking.gke.io/load-balancer-type": "Internal"}}
TLS = [{"secretName": "tls"}]
OLLAMA = {"name": "o", "image": "ollama/ollama:0.32.15"}
SOCKETS = {"name": "sockets", "hostPath": {"path": "/var/lib/kubelet/device-plugins"}}
GATEWAY = "kubernetes:gateway.networking.k8s.io/v1:Gateway"

FAILS: list[tuple[str, tuple[str, Any], str]] = [
    ("public-door-without-tls", service("LoadBalancer", 80), "dev"),
    ("public-door-without-tls", service("LoadBalancer", 443, 8080), "dev"),
    ("public-door-without-tls", ingress("web"), "dev"),
    ("public-door-without-tls", (GATEWAY, {"spec": {"listeners": [{"name": "a", "protocol": "HTTP"}]}}), "dev"),
    ("public-door-without-tls", (GATEWAY, {"spec": {"listeners": [{"name": "a", "protocol": "UDP"}]}}), "dev"),
    ("public-door-without-tls", (SERVICE, {"spec": {"externalIPs": ["192.0.2.1"], "ports": [{"port": 80}]}}), "dev"),
    ("public-door-without-tls", (f"{SERVICE}Patch", service("LoadBalancer", 80)[1]), "dev"),
    ("public-door-without-tls", ingress("web", annotations=MANAGED), "dev"),
    ("ollama-past-the-router", (SERVICE, {"spec": {"type": "NodePort", "selector": POOL, "ports": []}}), "dev"),
    ("ollama-past-the-router", (SERVICE, {"spec": {"externalIPs": ["192.0.2.1"], "selector": POOL}}), "dev"),
    ("ollama-past-the-router", service("LoadBalancer", 443, target="11434"), "dev"),
    ("ollama-past-the-router", route("TCPRoute", backendRefs=[{"name": "ollama-t4", "port": 80}]), "dev"),
    ("ollama-past-the-router", route("HTTPRoute", filters=[MIRROR]), "dev"),
    ("ollama-past-the-router", pod(initContainers=[{**OLLAMA, "ports": [{"hostPort": 80}]}]), "dev"),
    ("ollama-past-the-router", service("LoadBalancer", 443, target=11434), "dev"),
    ("ollama-past-the-router", service("NodePort", 11434), "dev"),
    ("ollama-past-the-router", ingress("ollama-t4", tls=TLS), "dev"),
    ("ollama-past-the-router", ingress("anything", 11434, tls=TLS), "dev"),
    ("ollama-past-the-router", pod(containers=[{**OLLAMA, "ports": [{"hostPort": 80}]}]), "dev"),
    ("ollama-past-the-router", pod(containers=[OLLAMA], hostNetwork=True), "dev"),
    ("privileged-pod", pod(containers=[{"name": "a", "securityContext": {"privileged": True}}]), "dev"),
    ("privileged-pod", pod(initContainers=[{"name": "a", "securityContext": {"privileged": True}}]), "dev"),
    ("privileged-pod", pod(hostPID=True), "dev"),
    ("privileged-pod", pod(containers=[{"name": "a", "securityContext": {"capabilities": {"add": ["ALL"]}}}]), "dev"),
    ("privileged-pod", pod(containers=[{"name": "a", "securityContext": {"procMount": "Unmasked"}}]), "dev"),
    ("privileged-pod", pod(containers=[{"name": "a", "securityContext": {"privileged": "true"}}]), "dev"),
    ("privileged-pod", ("kubernetes:core/v1:PersistentVolume", {"spec": {"hostPath": {"path": "/"}}}), "dev"),
    ("privileged-pod", ("kubernetes:core/v1:PodTemplate", {"template": {"spec": {"hostPID": True}}}), "dev"),
    ("privileged-pod", pod(volumes=[{"name": "v", "hostPath": {"path": "/"}}]), "dev"),
    ("privileged-pod", pod("DaemonSet", "nvidia-driver-t4", "other", hostPID=True), "dev"),
    ("privileged-pod", pod("DaemonSet", "nvidia-dcgm-t4", "other", hostPID=True), "dev"),
    ("privileged-pod", pod("DaemonSet", "not-a-driver", "ollama-drivers", hostPID=True), "dev"),
    ("privileged-pod", pod("DaemonSet", "nvidia-device-plugin", "other", volumes=[SOCKETS]), "dev"),
    ("secret-in-a-config-map", config_map(api_key="abc"), "dev"),
    ("secret-in-a-config-map", config_map(file="-----BEGIN RSA PRIVATE KEY-----\nabc"), "dev"),
    ("secret-in-a-config-map", config_map(**{"key.json": '{"private_key": "abc"}'}), "dev"),
    ("secret-in-a-config-map", config_map(dbPassword="abc"), "dev"),
    ("secret-in-a-config-map", config_map(apiKeys="abc"), "dev"),
    ("secret-in-a-config-map", config_map(env="A=1\nDB_PASSWORD=abc-and-more"), "dev"),
    ("secret-in-a-config-map", config_map(url="postgres://user:abc@db/x"), "dev"),
    ("secret-in-a-config-map", config_map(a="hf_" + 34 * "a"), "dev"),
    ("secret-in-a-config-map", config_map(a="github_pat_" + 60 * "a"), "dev"),
    ("secret-in-a-config-map", config_map(a="xoxb-" + 30 * "1"), "dev"),
    ("secret-in-a-config-map", config_map(a=f"eyJ{20 * 'a'}.eyJ{20 * 'a'}.{30 * 'a'}"), "dev"),
    ("secret-in-a-config-map", (CONFIG_MAP, {"binaryData": {"id": base64.b64encode(KEY).decode()}}), "dev"),
    ("secret-in-an-environment", environment(DB_PASSWORD="abc-and-more"), "dev"),
    ("secret-in-an-environment", environment("initContainers", OPENAI_API_KEY="abc-and-more"), "dev"),
    ("secret-in-an-environment", environment(AWS_SECRET_ACCESS_KEY="abc/and+more"), "dev"),
    ("secret-in-an-environment", environment(DATABASE_URL="postgres://user:abc@db/x"), "dev"),
    ("secret-in-an-environment", environment(SETTINGS="hf_" + 34 * "a"), "dev"),
    ("unprotected-production-cluster", (CLUSTER, {"deletionProtection": "false", "name": "main-prod"}), "dev"),
    ("unprotected-production-cluster", cluster(protected=False), "prod1"),
    ("unprotected-production-cluster", cluster(protected=False), "prod"),
    ("unprotected-production-cluster", cluster(protected=False), "eu-production"),
    ("unprotected-production-cluster", cluster(protected=False, env="prod"), "dev"),
]
PASSES: list[tuple[str, tuple[str, Any], str]] = [
    ("public-door-without-tls", service("LoadBalancer", 443), "dev"),
    ("public-door-without-tls", service("LoadBalancer", 80, **INTERNAL), "dev"),
    ("public-door-without-tls", service("ClusterIP", 80), "dev"),
    ("public-door-without-tls", ingress("web", tls=TLS), "dev"),
    ("public-door-without-tls", (GATEWAY, {"spec": {"listeners": [{"name": "a", "protocol": "HTTPS"}]}}), "dev"),
    ("public-door-without-tls", ingress("web", annotations={**MANAGED, NO_HTTP: "false"}), "dev"),
    ("public-door-without-tls", ingress("web", annotations={"kubernetes.io/ingress.class": "gce-internal"}), "dev"),
    ("ollama-past-the-router", route("HTTPRoute", backendRefs=[{"name": "ollama-router", "port": 80}]), "dev"),
    ("ollama-past-the-router", service("ClusterIP", 11434), "dev"),
    ("ollama-past-the-router", ingress("ollama-router", tls=TLS), "dev"),
    ("ollama-past-the-router", pod(containers=[OLLAMA]), "dev"),
    ("privileged-pod", pod(), "dev"),
    ("privileged-pod", pod("DaemonSet", "nvidia-driver-t4", "ollama-drivers", hostPID=True), "dev"),
    ("privileged-pod", pod("DaemonSet", "nvidia-dcgm-t4", "ollama-drivers", hostPID=True), "dev"),
    ("privileged-pod", pod("DaemonSet", "nvidia-device-plugin", "ollama-drivers", volumes=[SOCKETS]), "dev"),
    ("secret-in-a-config-map", config_map(**{"routes.toml": "[routes]\n", "tokens-per-minute": "5"}), "dev"),
    ("privileged-pod", pod(containers=[{"name": "a", "securityContext": {"capabilities": {"add": ["CHOWN"]}}}]), "dev"),
    ("secret-in-a-config-map", config_map(token=""), "dev"),
    ("secret-in-a-config-map", config_map(env="API_KEY=$(API_KEY)\nTOKEN=${TOKEN}", url="https://user@host/x"), "dev"),
    ("secret-in-an-environment", environment(MAX_TOKENS="4096000", TOKEN="", LOG_LEVEL="debug", A=None), "dev"),
    ("secret-in-an-environment", environment(API_TOKEN="$(TOKEN)", DB_PASSWORD_FILE="/run/secrets/password"), "dev"),
    ("secret-in-an-environment", environment(DB_PASSWORD="/run/secrets/password", API_KEY="${API_KEY}"), "dev"),
    ("secret-in-an-environment", pod(containers=[{"name": "a", "env": [{"name": "TOKEN", "valueFrom": {}}]}]), "dev"),
    ("unprotected-production-cluster", cluster(protected=True), "prod"),
    ("unprotected-production-cluster", cluster(protected=False), "dev"),
    ("unprotected-production-cluster", cluster(protected=False), "reproduction"),
]


def problems(name: str, resource: tuple[str, Any], stack: str) -> list[str]:
    return list(rules.RULES[name](rules.Resource(*resource, stack)))


@pytest.mark.parametrize(("name", "resource", "stack"), FAILS)
def test_it_stops_with_a_remedy(name: str, resource: tuple[str, Any], stack: str) -> None:
    found = problems(name, resource, stack)
    assert found
    assert all("; " in one for one in found)
    assert not any("abc" in one for one in found)


@pytest.mark.parametrize(("name", "resource", "stack"), PASSES)
def test_it_lets_pass(name: str, resource: tuple[str, Any], stack: str) -> None:
    assert problems(name, resource, stack) == []


def test_every_rule_has_something_that_fails_and_something_that_passes() -> None:
    assert {name for name, _, _ in FAILS} == {name for name, _, _ in PASSES} == set(rules.RULES)


@pytest.mark.parametrize("stack", STACKS)
def test_the_fleet_itself_breaks_no_rule(stack: str, program_of: Any) -> None:
    for one in json.loads(program_of(stack).known.to_json())["resources"]:
        resource = rules.Resource(one["type"], one["inputs"], stack)
        assert [found for rule in rules.RULES.values() for found in rule(resource)] == [], one["name"]


@pytest.mark.parametrize("odd", [None, "unknown", 7, [], {"$unknown": True}, {"spec": "x"}, {"spec": {"ports": "x"}}])
def test_a_value_that_is_not_known_yet_breaks_no_rule(odd: Any) -> None:
    for type_ in {type_ for _, (type_, _), _ in [*FAILS, *PASSES]}:
        inputs = {"metadata": odd, "spec": odd, "data": odd, "resourceLabels": odd}
        for name in set(rules.RULES) - {"public-door-without-tls"}:
            assert problems(name, (type_, inputs), "prod") == []
        assert all("Ingress" in one for one in problems("public-door-without-tls", (type_, inputs), "prod"))


PACK = """
import importlib.util, json, sys
import pulumi_policy
sys.path.insert(0, sys.argv[1])
spec = importlib.util.spec_from_file_location("pack", sys.argv[1] + "/__main__.py")
pack = importlib.util.module_from_spec(spec)
spec.loader.exec_module(pack)
policies = {one.name: one for one in pack.POLICIES}
answer = []
for name, (type_, inputs), stack in json.load(sys.stdin):
    found = []
    urn = f"urn:pulumi:{stack}::ollama-fleet::{type_}::x"
    args = pulumi_policy.ResourceValidationArgs(type_, inputs, urn, "x", None, None)
    policies[name].validate(args, lambda message, _urn=None: found.append(message))
    answer.append(found)
print(json.dumps([sorted(policies), answer]))
"""


def test_the_pack_reports_what_the_rules_find() -> None:
    """In the pack's own environment."""
    python = tools.find("policy-python")
    if python is None:
        leave_out("policy pack left out: no environment with pulumi-policy; `make tools` brings it")
    cases = [*FAILS, *PASSES]
    done = subprocess.run(
        [python, "-c", PACK, FOLDER], input=json.dumps(cases), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    names, found = json.loads(done.stdout)
    assert names == sorted(rules.RULES)
    assert found == [problems(*case) for case in cases]


def test_the_packs_requirements_name_the_programs_own_pulumi() -> None:
    own = (ROOT / "pyproject.toml").read_text()
    pinned = [line for line in (FOLDER / "requirements.txt").read_text().splitlines() if line.startswith("pulumi==")]
    assert f'"{pinned[0]}"' in own
    assert Path(FOLDER / "PulumiPolicy.yaml").exists()
