"""Kubernetes sites: what `up` applies there and what it prints for kubectl; and fleets that need no cloud at all."""

import copy
import json
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from components import labels
from components.program import main as program
from infra import stack as stacks
from infra.__main__ import main
from infra.recorder import RecordedResource, Recording, record, reveal
from tests.program.programs import ALONE, RACK, ROOT, run


def edited(fleet: dict[str, Any], **kubernetes: Any) -> dict[str, Any]:
    changed = copy.deepcopy(fleet)
    changed["sites"]["rack"]["kubernetes"] |= kubernetes
    return changed


def at_site(recording: Recording) -> Sequence[RecordedResource]:
    return [one for one in recording.resources if "KubernetesSite" in one.urn]


def of(recording: Recording, kind: str) -> list[RecordedResource]:
    return [one for one in at_site(recording) if one.type.endswith(f":{kind}")]


@pytest.fixture(scope="module")
def rack() -> Recording:
    return run(RACK)


def test_a_site_has_a_provider_of_its_own_that_a_line_which_is_down_does_not_stop(rack: Recording) -> None:
    (provider,) = [
        one for one in rack.resources if one.type == "pulumi:providers:kubernetes" and one.name == "rack-kubernetes"
    ]
    assert provider.inputs["context"] == "rack"
    assert str(provider.inputs["skipUpdateUnreachable"]).lower() == "true"
    for one in at_site(rack):
        if one.type.startswith("kubernetes:"):
            assert "rack-kubernetes" in str(one.provider), one.urn


def test_the_kubeconfig_of_a_site_reaches_its_provider_alone_and_nobody_can_read_it() -> None:
    canary = "kubeconfig-of-the-rack"
    config = {"ollama-fleet:kubeconfigs": json.dumps({"rack": canary})}
    recording = record(
        program,
        project="ollama-fleet",
        stack="rack",
        config={"gcp:project": "example-project", stacks.KEY: json.dumps(RACK), **config},
        secret_keys=list(config),
    )
    holders = [one.name for one in recording.resources if canary in json.dumps(reveal(one.inputs), default=str)]
    assert holders == ["rack-kubernetes"]
    assert canary not in recording.to_json()


def test_of_a_node_nothing_but_the_fleets_own_labels_is_touched(rack: Recording) -> None:
    (patch,) = of(rack, "NodePatch")
    found = {"ollama-fleet/pool-cpu": "true", "ollama-fleet/pool-k80": "true"}
    assert patch.inputs["metadata"] == {"name": "rack-1", "labels": found}
    assert set(patch.inputs) == {"apiVersion", "kind", "metadata"}


def test_a_pool_stands_on_its_nodes_with_the_runtime_class_of_k3s_and_its_models_on_a_volume(rack: Recording) -> None:
    pods = {one.name: one.inputs["spec"]["template"]["spec"] for one in of(rack, "Deployment")}
    k80, cpu = pods["k80-server-deployment"], pods["cpu-server-deployment"]
    assert k80["nodeSelector"] == {"ollama-fleet/pool-k80": "true"}
    assert k80["runtimeClassName"] == "nvidia"
    assert "runtimeClassName" not in cpu
    (claim,) = of(rack, "PersistentVolumeClaim")
    assert claim.inputs["metadata"]["name"] == "ollama-cpu-models"


def test_the_device_plugin_is_brought_where_the_file_does_not_say_that_it_is_there(rack: Recording) -> None:
    (plugin,) = of(rack, "DaemonSet")
    spec = plugin.inputs["spec"]["template"]["spec"]
    assert spec["containers"][0]["image"].startswith("nvcr.io/nvidia/k8s-device-plugin:v")
    (term,) = spec["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    assert term["matchExpressions"] == [{"key": labels.of_site("k80"), "operator": "Exists"}]
    assert not of(run(edited(RACK, devicePlugin="existing")), "DaemonSet")


CONTAINER = edited(RACK, os="ubuntu20.04") | {
    "pools": {**RACK["pools"], "k80": {**RACK["pools"]["k80"], "driver": "container"}}
}
"""The same with NVIDIA's driver container in the place of a driver of the machine's own."""


@pytest.fixture(scope="module")
def container() -> Recording:
    return run(CONTAINER)


def driver_of(recording: Recording) -> RecordedResource:
    (found,) = [
        one
        for one in of(recording, "DaemonSet")
        if one.name == "rack-site-nvidia-driver-r470-ubuntu20-04-proprietary-daemon-set"
    ]
    return found


def test_a_driver_in_a_container_goes_onto_the_machines_of_its_pool_and_nowhere_else(container: Recording) -> None:
    found = driver_of(container).inputs
    assert found["metadata"]["namespace"] == "ollama-drivers"
    # a change must not take the driver away from under servers that run
    assert found["spec"]["updateStrategy"] == {"type": "OnDelete"}
    pod = found["spec"]["template"]["spec"]
    (terms,) = pod["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    assert terms["matchFields"] == [{"key": "metadata.name", "operator": "In", "values": ["rack-1"]}]
    assert terms["matchExpressions"] == [{"key": "kubernetes.io/arch", "operator": "In", "values": ["amd64", "arm64"]}]
    assert pod["tolerations"] == [{"operator": "Exists"}]


def test_it_is_pinned_by_tag_and_sees_of_the_machine_what_a_driver_needs(container: Recording) -> None:
    pod = driver_of(container).inputs["spec"]["template"]["spec"]
    (its,) = pod["containers"]
    assert its["image"] == "nvcr.io/nvidia/driver:470.256.02-ubuntu20.04"
    assert (its["command"], its["args"]) == (["nvidia-driver"], ["init"])
    assert {one["name"]: one["value"] for one in its["env"]} == {
        "DRIVER_CONFIG_DIGEST": "470.256.02-ubuntu20.04-proprietary",
        "KERNEL_MODULE_TYPE": "proprietary",
    }
    mounts = {one["mountPath"]: one for one in its["volumeMounts"]}
    assert mounts["/run/nvidia"]["mountPropagation"] == "Bidirectional"
    assert [path for path, one in mounts.items() if "mountPropagation" in one] == ["/run/nvidia"]
    paths = {one["name"]: one["hostPath"]["path"] for one in pod["volumes"]}
    assert {path: paths[one["name"]] for path, one in mounts.items()} == {
        "/run/nvidia": "/run/nvidia",
        "/var/log": "/var/log",
        "/lib/firmware": "/run/nvidia/driver/lib/firmware",
        "/sys/module/firmware_class/parameters/path": "/sys/module/firmware_class/parameters/path",
    }
    assert "grep -q -x -F 470.256.02" in its["startupProbe"]["exec"]["command"][-1]


def test_only_the_driver_is_privileged_and_only_where_its_namespace_lets_it(container: Recording) -> None:
    levels = {
        one.inputs["metadata"]["name"]: one.inputs["metadata"]["labels"]["pod-security.kubernetes.io/enforce"]
        for one in of(container, "Namespace")
    }
    assert levels == {"ollama": "restricted", "ollama-drivers": "privileged"}
    for owner in [*of(container, "Deployment"), *of(container, "DaemonSet")]:
        for one in owner.inputs["spec"]["template"]["spec"]["containers"]:
            privileged = one["securityContext"].get("privileged", False)
            assert privileged is (owner.urn == driver_of(container).urn), owner.urn
    (quota,) = of(container, "ResourceQuota")
    assert quota.inputs["metadata"]["namespace"] == "ollama-drivers"


def test_a_server_waits_for_the_driver_of_its_machine_and_says_whose_log_tells_why(container: Recording) -> None:
    (server,) = [one for one in of(container, "Deployment") if one.name == "k80-server-deployment"]
    assert driver_of(container).urn in server.depends_on
    environment = {
        one["name"]: one["value"] for one in server.inputs["spec"]["template"]["spec"]["containers"][0]["env"]
    }
    assert environment["FLEET_DRIVER"] == "470.256.02"
    assert environment["FLEET_DRIVER_LOG"].startswith("kubectl -n ollama-drivers logs -l")


def test_without_being_asked_for_no_driver_is_brought_to_a_site(rack: Recording) -> None:
    assert not [one for one in of(rack, "DaemonSet") if "driver" in one.name]
    assert not of(rack, "ResourceQuota")


def test_the_sites_door_lets_in_its_token_and_leads_to_its_pools_alone(rack: Recording) -> None:
    (routes,) = [one for one in of(rack, "ConfigMap") if one.inputs["metadata"]["name"] == "ollama-routes"]
    text = routes.inputs["data"]["routes.toml"]
    assert '"llama3.2:3b" = ["k80"]' in text
    assert 'k80 = "ollama-k80.ollama.svc.cluster.local:11434"' in text
    assert "t4" not in text
    assert json.loads(routes.inputs["data"]["door.json"])["keys"] == {"fleet": {}}


def test_what_is_applied_by_hand_is_no_part_of_up() -> None:
    assert not at_site(run(edited(RACK, apply="manual")))


@pytest.mark.parametrize("fleet", [RACK, ALONE], ids=["beside GKE", "alone"])
def test_manifests_of_a_site_are_its_objects_without_secrets_and_the_commands_around_them(
    fleet: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = {"gcp:project": "example-project", "ollama-fleet:fleet": edited(fleet, apply="manual")}
    with (tmp_path / "Pulumi.rack.yaml").open("w") as file:
        YAML().dump({"config": config}, file)
    assert main(["manifests", "--cwd", str(tmp_path), "--site", "rack"]) == 0
    text = capsys.readouterr().out
    kinds = [one["kind"] for one in YAML(typ="safe").load_all(text)]
    assert "Secret" not in kinds
    assert kinds.count("Node") == 1
    assert kinds.count("Deployment") == 3
    comments = [line.removeprefix("# ") for line in text.splitlines() if line.startswith("# ")]
    assert any("--server-side --field-manager=ollama-fleet" in line for line in comments)
    made = [line for line in comments if line.startswith("openssl")]
    assert all(any(f"> key-{key}" in line for line in made) for key in re.findall(r"< key-(\w+)", text))
    assert any(line.endswith("-out tls.crt") for line in made) or "create secret tls" not in text
    assert any(line.endswith("label nodes rack-1 ollama-fleet/pool-cpu- ollama-fleet/pool-k80-") for line in comments)
    assert main(["manifests", "--cwd", str(tmp_path), "--site", "rock"]) == 2
    assert "did you mean rack?" in capsys.readouterr().err
    assert main(["manifests", "--cwd", "examples", "--stack", "home", "--site", "rig"]) == 2
    assert "fleet compose --site rig" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("", "https://rig-1:8443"),
        ("https://llm.example.org", "https://llm.example.org"),
        ("http://10.8.0.2:8080", "http://10.8.0.2:8080"),
        ("https://[fd00::1]:8443", "https://[fd00::1]:8443"),
    ],
)
def test_a_fleet_without_a_cluster_says_where_it_answers_and_how_to_ask_it(
    url: str, address: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (ROOT / "examples" / "Pulumi.home.yaml").read_text()
    named = text.replace("docker: {}", f"docker: {{}}\n        url: {url}") if url else text
    (tmp_path / "Pulumi.home.yaml").write_text(named)
    assert main(["plan", "--cwd", str(tmp_path)]) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert f"door {address} on rig-1, by `fleet compose --site rig --node rig-1`" in told
    assert main(["compose", "--cwd", str(tmp_path), "--node", "rig-1"]) == 0
    first = [line for line in capsys.readouterr().out.splitlines() if line.startswith("#")]
    trust = "--cacert secrets/tls/tls.crt " if address.startswith("https:") else ""
    key = '-H "Authorization: Bearer $(cat secrets/key-everyone)"'
    assert first[-1] == f"#   curl {trust}{address}/api/tags {key}"
    assert main(["compose", "--cwd", str(tmp_path), "--node", "rig-2"]) == 0
    assert "api/tags" not in capsys.readouterr().out.partition("name:")[0]


def test_a_site_s_door_behind_a_cluster_is_nobody_s_address(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "--cwd", str(ROOT), "--stack", "dev"]) == 0
    assert "\ndoor" not in capsys.readouterr().out
    assert main(["compose", "--cwd", str(ROOT), "--stack", "dev", "--node", "rig-1"]) == 0
    assert "api/tags" not in capsys.readouterr().out.partition("name:")[0]


@pytest.mark.parametrize("stack", ["home", "endpoints"])
def test_a_fleet_without_cloud_is_planned_and_set_up_without_any_package_of_googles(stack: str) -> None:
    commands = [["plan", "--stack", stack], ["resources", "--stack", stack]]
    commands += [["compose", "--stack", stack, "--node", "rig-1"]] if stack == "home" else []
    program = f"""
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("pulumi_gcp", "googleapiclient") or name in ("google.cloud", "google.auth"):
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Refuse())
from infra.__main__ import main
for command in {commands!r}:
    status = main([*command, "--cwd", "examples"])
    assert status == 0, (command, status)
"""
    environment = {"PATH": "/usr/bin:/bin", "HOME": "/nonexistent"}
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr[-2000:]
