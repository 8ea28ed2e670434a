"""Ollama in the pod of somebody else's application: what the component adds, and what it leaves alone."""

import json
import os
import runpy
from collections.abc import Callable
from typing import Any

import pulumi
import pytest
from pulumi_kubernetes.core.v1 import ContainerArgs, EnvVarArgs, Pod, PodSpecArgs, TolerationArgs, VolumeArgs
from ruamel.yaml import YAML

from components.sidecar import Sidecar, SidecarArgs, SidecarInputs, SidecarModel, SidecarServer
from infra.commands.manifests import objects, render
from infra.recorder import Recording, record
from tests.program.programs import ROOT
from tests.program.schema import wrong

EXAMPLE = ROOT / "examples" / "sidecar"
GOLDEN = ROOT / "tests" / "program" / "golden" / "sidecar.yaml"
POD = "kubernetes:core/v1:Pod"
OWN = {"name": "app", "image": "app"}


def recorded(program: Callable[[], None], *, known: bool = True) -> Recording:
    return record(program, project="somebodys", stack="dev", known=known)


def example(*, known: bool = True) -> Recording:
    """What `pulumi up` of examples/sidecar registers."""
    return recorded(lambda: runpy.run_path(str(EXAMPLE / "__main__.py"), run_name="__main__") and None, known=known)


def spec_with(
    args: SidecarArgs, spec: Callable[[], PodSpecArgs] | None = None, *, known: bool = True
) -> dict[str, Any]:
    """The spec of a pod that has a sidecar."""

    def program() -> None:
        pod = spec() if spec else PodSpecArgs(containers=[ContainerArgs(name="app", image="app")])
        Pod("pod", spec=Sidecar("s", args).beside(pod))

    inputs: dict[str, Any] = recorded(program, known=known).of_type(POD)[0].inputs["spec"]
    return inputs


def plain(**server: Any) -> SidecarArgs:
    return SidecarArgs(model=SidecarModel(name="llama3.2:1b"), server=SidecarServer(**server))


def containers(spec: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {one["name"]: one for one in [*spec.get("initContainers", []), *spec["containers"]]}


def environment(container: dict[str, Any]) -> dict[str, str]:
    return {one["name"]: one["value"] for one in container["env"]}


def test_left_alone_it_asks_for_what_the_readme_of_the_sidecar_says() -> None:
    spec = spec_with(SidecarArgs(model=SidecarModel(name="m"), inputs=SidecarInputs(image="i", command=["c"])))
    asked = {name: (one.get("resources"), one.get("restartPolicy")) for name, one in containers(spec).items()}
    assert list(asked) == ["ollama-inputs", "ollama-prepare", "ollama", "app"]
    assert asked["ollama-inputs"] == (
        {"requests": {"cpu": "2", "memory": "500Mi"}, "limits": {"memory": "500Mi"}},
        None,
    )
    assert asked["ollama-prepare"] == (
        {"requests": {"cpu": "1", "memory": "500Mi"}, "limits": {"memory": "500Mi"}},
        None,
    )
    own = {"memory": "15Gi", "nvidia.com/gpu": "1"}
    assert asked["ollama"] == ({"requests": {"cpu": "1", **own}, "limits": own}, "Always")
    assert environment(containers(spec)["ollama"])["OLLAMA_HOST"] == "127.0.0.1:11434"
    assert asked["app"] == (None, None)


def test_what_is_asked_for_otherwise_is_given() -> None:
    args = SidecarArgs(
        model=SidecarModel(name="m", mem="1Gi", cpu="3"),
        server=SidecarServer(image="mirror/ollama:1", port=8000, cpu="2", gpu=2, mem="30Gi", env={"OLLAMA_DEBUG": "1"}),
        inputs=SidecarInputs(image="i", command=["c"], mem="1Gi", cpu="3", env=[EnvVarArgs(name="a", value="b")]),
    )
    found = containers(spec_with(args))
    server, prepare, inputs = found["ollama"], found["ollama-prepare"], found["ollama-inputs"]
    assert (server["image"], prepare["image"], inputs["image"]) == ("mirror/ollama:1", "mirror/ollama:1", "i")
    assert server["resources"]["requests"] == {"cpu": "2", "memory": "30Gi", "nvidia.com/gpu": "2"}
    assert (
        prepare["resources"]
        == inputs["resources"]
        == {
            "requests": {"cpu": "3", "memory": "1Gi"},
            "limits": {"memory": "1Gi"},
        }
    )
    assert environment(server)["OLLAMA_HOST"] == environment(prepare)["OLLAMA_HOST"] == "127.0.0.1:8000"
    assert environment(server)["OLLAMA_DEBUG"] == "1"
    assert inputs["env"] == [{"name": "a", "value": "b"}]


def test_a_pod_keeps_all_that_it_had_and_the_args_given_are_not_changed() -> None:
    theirs = PodSpecArgs(
        containers=[ContainerArgs(name="app", image="app")],
        init_containers=[ContainerArgs(name="first", image="app")],
        volumes=[VolumeArgs(name="data")],
        tolerations=[TolerationArgs(key="own", operator="Exists")],
        node_selector={"disk": "fast"},
    )
    spec = spec_with(plain(), lambda: theirs)
    assert [one["name"] for one in spec["initContainers"]] == ["ollama-prepare", "ollama", "first"]
    assert [one["name"] for one in spec["volumes"]] == ["ollama-shared", "ollama-tmp", "ollama-prepare", "data"]
    assert [one["key"] for one in spec["tolerations"]] == ["nvidia.com/gpu", "own"]
    assert spec["nodeSelector"] == {"disk": "fast"}
    assert spec["containers"] == [OWN]
    assert len(theirs.init_containers) == len(theirs.volumes) == len(theirs.tolerations) == 1  # type: ignore[arg-type]


def test_lists_of_a_pod_that_come_as_outputs_are_kept_too() -> None:
    def theirs() -> PodSpecArgs:
        volumes = pulumi.Output.from_input([VolumeArgs(name="data")])
        return PodSpecArgs(containers=[ContainerArgs(name="app", image="app")], volumes=volumes)

    assert [one["name"] for one in spec_with(plain(), theirs)["volumes"]][-2:] == ["ollama-prepare", "data"]


def test_without_a_gpu_nothing_is_asked_or_proven_of_one() -> None:
    spec = spec_with(plain(gpu=0))
    server = containers(spec)["ollama"]
    assert "nvidia.com/gpu" not in json.dumps(spec)
    assert environment(server)["FLEET_PROOF"] == "none"
    assert environment(containers(spec_with(plain()))["ollama"])["FLEET_PROOF"] == "start"


def test_a_changed_model_is_another_config_map_and_so_other_pods() -> None:
    def name(modelfile: str) -> str:
        args = SidecarArgs(model=SidecarModel(name="m", modelfile=modelfile))
        return str(spec_with(args)["volumes"][2]["configMap"]["name"])

    assert name("FROM a") == name("FROM a\n") != name("FROM b")


def test_every_container_that_is_added_is_locked_down() -> None:
    spec = spec_with(SidecarArgs(model=SidecarModel(name="m"), inputs=SidecarInputs(image="i", command=["c"])))
    for container in spec["initContainers"]:
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
            "runAsGroup": 10001,
            "runAsNonRoot": True,
            "runAsUser": 10001,
            "seccompProfile": {"type": "RuntimeDefault"},
        }
        assert {"name": "ollama-shared", "mountPath": "/shared"} in container["volumeMounts"]


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (lambda: SidecarArgs(model=SidecarModel(name="two words")), "no name of a model"),
        (lambda: SidecarArgs(model=SidecarModel(name="m", digest="abc")), "64 hex digits"),
        (lambda: SidecarArgs(model=SidecarModel(name="m", modelfile="SYSTEM x")), "has no FROM"),
        (lambda: SidecarArgs(model=SidecarModel(name="m", modelfile="FROM a", digest="a" * 64)), "take the digest out"),
        (lambda: SidecarArgs(model=SidecarModel(name="m", modelfile="FROM a\nSYSTEM {inputs.x}")), r"\{inputs.x\}"),
        (lambda: plain(env={"OLLAMA_HOST": "mine"}), "OLLAMA_HOST"),
    ],
)
def test_parameters_that_cannot_work_are_refused_with_the_remedy(args: Callable[[], SidecarArgs], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        recorded(lambda: Sidecar("s", args()) and None)


def test_the_example_runs_with_known_and_unknown_outputs() -> None:
    assert [one["kind"] for one in objects(example())] == ["ConfigMap", "Deployment", "NetworkPolicy"]
    assert len(example(known=False).resources) == len(example().resources)


def test_the_example_is_the_objects_that_were_looked_at() -> None:
    """Every field of every object but the scripts. Renew it with UPDATE_GOLDEN=1, and read the difference."""
    config_map, *others = render(example()).split("---\n")[-3:]
    name = str(YAML(typ="safe", pure=True).load(config_map)["metadata"]["name"])
    text = "---\n".join(others).replace(name, "support-desk-ollama-HASH")
    if os.environ.get("UPDATE_GOLDEN"):
        GOLDEN.write_text(text)
    assert text == GOLDEN.read_text()


def test_the_example_is_valid_to_kubernetes_own_schema() -> None:
    for one in objects(example()):
        assert wrong(one) == []


def test_the_page_about_the_sidecar_names_every_parameter_with_its_default() -> None:
    page = (ROOT / "docs" / "sidecar.md").read_text()
    for kind in (SidecarModel, SidecarServer, SidecarInputs, SidecarArgs):
        for name in kind.__dataclass_fields__:
            assert f"`{name}`" in page, name
