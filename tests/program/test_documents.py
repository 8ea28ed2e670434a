"""`fleet resources` and `fleet manifests`: the same to the byte, applicable, and valid to Kubernetes' own schema."""

import json
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from infra.__main__ import main
from infra.commands.manifests import PLACEHOLDER, objects, render
from infra.recorder import Secret
from tests.program.conftest import STACKS
from tests.program.programs import EXAMPLES, ROOT, Program
from tests.program.rules.view import RELEASE
from tests.program.schema import wrong

IN_CLUSTER = [name for name in STACKS if name not in ("home", "endpoints")]

CUSTOM = {"monitoring.googleapis.com"}
"""Groups that Kubernetes does not bring: tests/program/test_beside.py has their objects, promtool their rules."""


def folder(stack: str) -> str:
    return str(ROOT if stack == "dev" else ROOT / "examples")


def shuffled(value: Any) -> Any:
    """The same mappings in the opposite order of their keys; lists have an order of their own."""
    if isinstance(value, dict):
        return {key: shuffled(value[key]) for key in sorted(value, reverse=True)}
    return [shuffled(one) for one in value] if isinstance(value, list) else value


@pytest.mark.parametrize("stack", ["dev", *EXAMPLES])
def test_resources_of_a_shuffled_file_are_the_same_to_the_byte(
    stack: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = Path(folder(stack)) / f"Pulumi.{stack}.yaml"
    content = YAML(typ="safe", pure=True).load(path.read_text())
    with (tmp_path / path.name).open("w") as file:
        YAML(typ="safe", pure=True).dump(shuffled(content), file)
    texts = []
    for place in (folder(stack), folder(stack), str(tmp_path)):
        assert main(["resources", "--stack", stack, "--cwd", place]) == 0
        texts.append(capsys.readouterr().out)
    assert texts[0] == texts[1] == texts[2]
    assert json.loads(texts[0])["stack"] == stack


def test_resources_tell_parent_provider_options_and_inputs_of_each(dev: Program) -> None:
    for one in json.loads(dev.known.to_json())["resources"]:
        assert {"urn", "type", "name", "parent", "custom", "provider", "options", "inputs"} <= set(one)


@pytest.mark.parametrize("command", ["resources", "manifests"])
def test_a_plan_with_errors_has_neither(command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "Pulumi.broken.yaml").write_text("config: {ollama-fleet:fleet: {pools: {a: {gpu: t5}}}}\n")
    assert main([command, "--cwd", str(tmp_path)]) == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "fleet.pools.a.gpu" in shown.err


@pytest.mark.parametrize("stack", IN_CLUSTER)
def test_manifests_parse_as_the_objects_that_were_registered(stack: str, program_of: Any) -> None:
    recording = program_of(stack).known
    parsed = list(YAML(typ="safe", pure=True).load_all(render(recording)))
    registered = [one for one in recording.resources if one.type.startswith("kubernetes:") and one.type != RELEASE]
    assert len(parsed) == len(registered)
    assert json.dumps(parsed, sort_keys=True) == json.dumps(objects(recording), sort_keys=True)


@pytest.mark.parametrize("stack", IN_CLUSTER)
def test_manifests_can_be_applied_from_top_to_bottom(stack: str, program_of: Any) -> None:
    there: set[tuple[str, str, str]] = set()
    for one in objects(program_of(stack).known):
        namespace = one["metadata"].get("namespace", "")
        assert one["kind"] in ("Namespace", "PriorityClass") or ("Namespace", "", namespace) in there
        spec = one.get("spec", {}).get("template", {}).get("spec", {})
        needs = [
            ("ConfigMap", volume["configMap"]["name"])
            for volume in spec.get("volumes", [])
            if "configMap" in volume and not volume["configMap"].get("optional")
        ]
        needs += [
            ("PersistentVolumeClaim", volume["persistentVolumeClaim"]["claimName"])
            for volume in spec.get("volumes", [])
            if "persistentVolumeClaim" in volume
        ]
        if "serviceAccountName" in spec:
            needs.append(("ServiceAccount", spec["serviceAccountName"]))
        if "priorityClassName" in spec and one["kind"] == "Deployment":
            assert ("PriorityClass", "", spec["priorityClassName"]) in there
        for kind, name in needs:
            assert (kind, namespace, name) in there
        if one["kind"] == "DaemonSet":
            assert ("ResourceQuota", namespace, "node-critical-pods") in there
        there.add((one["kind"], namespace, one["metadata"]["name"]))


def test_manifests_have_a_placeholder_for_every_secret(dev: Program) -> None:
    from dataclasses import replace

    config_map = dev.known.of_type("kubernetes:core/v1:ConfigMap")[0]
    for hidden in (Secret({"token": "s3cret"}), {"token": Secret("s3cret")}):
        inputs = {**config_map.inputs, "kind": "Secret", "stringData": hidden}
        text = render(replace(dev.known, resources=(replace(config_map, inputs=inputs),)))
        assert "s3cret" not in text
        assert f"token: {PLACEHOLDER}" in text


def test_a_fleet_at_home_has_no_manifests(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["manifests", "--stack", "home", "--cwd", folder("home")]) == 0
    assert capsys.readouterr().out.strip() == ""


def test_kedas_schema_refuses_a_field_that_it_does_not_have(dev: Program) -> None:
    pytest.importorskip("jsonschema", reason="make test installs it")
    (scaled, *_) = (one for one in objects(dev.known) if one["kind"] == "ScaledObject")
    broken: list[dict[str, Any]] = [{"pollInterval": 5}, {"minReplicaCount": "0"}, {"triggers": [{"metadata": {}}]}]
    for change in broken:
        assert wrong({**scaled, "spec": {**scaled["spec"], **change}}), change
    assert not wrong(scaled)


def test_manifests_tell_how_keda_comes(dev: Program, program_of: Any) -> None:
    first = render(dev.known).splitlines()[0]
    assert first.startswith("# helm upgrade --install keda keda --repo https://kedacore.github.io/charts --version ")
    assert "helm" not in render(program_of("four-gpus").known)


@pytest.mark.parametrize("stack", IN_CLUSTER)
def test_every_object_is_valid_to_the_schema_of_kubernetes(stack: str, program_of: Any) -> None:
    pytest.importorskip("kubernetes_validate", reason="make test installs it")
    for one in objects(program_of(stack).known):
        if one["apiVersion"].partition("/")[0] not in CUSTOM:
            assert wrong(one) == [], (one["kind"], one["metadata"]["name"])


def test_the_schema_refuses_a_field_that_kubernetes_does_not_have(dev: Program) -> None:
    pytest.importorskip("kubernetes_validate", reason="make test installs it")
    (deployment, *_) = (one for one in objects(dev.known) if one["kind"] == "Deployment")
    deployment["spec"]["template"]["spec"]["tolerationz"] = []
    assert wrong(deployment)
