"""The sidecar of somebody else's pod, on a real Ollama: what examples/sidecar mounts is what runs here."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from infra.commands.manifests import objects
from infra.plan.model import Prepared
from tests.models.pod import Pod, Server, wait_until
from tests.models.registry import Registry
from tests.program.test_sidecar import example

TINY = "library/tiny:latest"


@pytest.fixture(scope="module")
def mounted() -> tuple[dict[str, str], dict[str, Any]]:
    """The data of the example's ConfigMap, and its containers by name."""
    config_map, deployment, _ = objects(example())
    spec = deployment["spec"]["template"]["spec"]
    return config_map["data"], {one["name"]: one for one in [*spec["initContainers"], *spec["containers"]]}


@pytest.fixture
def beside(pod: Pod, mounted: tuple[dict[str, str], dict[str, Any]]) -> Pod:
    """The example's pod."""
    data, _ = mounted
    for file, text in data.items():
        if file.endswith(".sh"):
            pod.script.with_name(file).write_text(text)
    pod.mount_data(data)
    return pod


def settings(pod: Pod, containers: dict[str, Any], name: str) -> dict[str, str]:
    """A container's own environment; what names a folder or an address is the test's."""
    own = {one["name"]: one["value"] for one in containers[name]["env"]}
    inputs = {"FLEET_INPUTS": str(pod.root / "inputs.json")} if "FLEET_INPUTS" in own else {}
    return {key: value for key, value in own.items() if not value.startswith("/") and key != "OLLAMA_HOST"} | inputs


def mode(containers: dict[str, Any], name: str) -> str:
    return str(containers[name]["command"][2])


def write_inputs(pod: Pod, inputs: object) -> None:
    (pod.root / "inputs.json").write_text(inputs if isinstance(inputs, str) else json.dumps(inputs))


@pytest.fixture
def server(
    beside: Pod, registry: Registry, weights: bytes, mounted: tuple[dict[str, str], dict[str, Any]]
) -> Iterator[Server]:
    """The example's server, with its model made from inputs that were fetched."""
    data, containers = mounted
    # Modelfiles cannot ask for the plain HTTP that the double speaks: what FROM names is there already
    registry.publish(TINY, weights)
    source = registry.source(TINY)
    name = source.removeprefix("http://")
    beside.mount(Prepared(name=name, action="pull", source=source))
    assert beside.init().code == 0
    beside.mount_data({file: text.replace("FROM llama3.2:3b", f"FROM {name}") for file, text in data.items()})
    write_inputs(beside, {"tone": 'friendly,\n"brief" and öffentlich 😀', "unused": 1.5})
    done = beside.init(**settings(beside, containers, "ollama-prepare"))
    assert (done.code, done.message) == (0, ""), done.output
    with beside.running(mode(containers, "ollama"), **settings(beside, containers, "ollama")) as run:
        running = Server(beside.port, run)
        wait_until(running.answers, 20, run)
        yield running


def test_the_model_of_the_example_is_made_from_fetched_inputs_loaded_and_answers(
    beside: Pod, server: Server, mounted: tuple[dict[str, str], dict[str, Any]]
) -> None:
    _, containers = mounted
    shown = server.ask("/api/show", {"model": "support"})
    assert shown["system"] == 'You answer questions about our products. Be friendly,\n"brief" and öffentlich 😀.'
    wait_until(lambda: [one["name"] for one in server.ask("/api/ps")["models"]] == ["support:latest"], 20, server.run)
    assert beside.probe(containers["ollama"]["readinessProbe"]["exec"]["command"][2]).code == 0
    assert server.chat("support")["done"]


def test_the_startup_probe_waits_for_the_proof_and_says_that_the_model_is_on_the_cpu(
    beside: Pod, server: Server, mounted: tuple[dict[str, str], dict[str, Any]]
) -> None:
    _, containers = mounted
    probe = containers["ollama"]["startupProbe"]["exec"]["command"][2]
    wait_until((beside.state / "warm").exists, 20, server.run)
    refused = beside.probe(probe, **settings(beside, containers, "ollama"))
    assert refused.code == 1
    assert "found no GPU" in refused.message
    # as with gpu=0
    assert beside.probe(probe, FLEET_PROOF="none").code == 0


@pytest.mark.parametrize(
    ("inputs", "code", "says"),
    [
        (None, 22, "where the inputs should be, is not there"),
        ({}, 18, "{inputs.tone} has no value in"),
        ({"tone": 'x"""\nFROM other'}, 18, 'has """, which ends a text'),
        ({"tone": {"a": 1}}, 18, "is not a JSON object of texts, numbers and booleans, near byte 10"),
        ({"tone": None}, 18, "is not a JSON object"),
        ('{"tone": "x"', 18, "is not a JSON object"),
        ('{"tone": "x"} {}', 18, "is not a JSON object"),
        ('{"tone": "\\ud800"}', 18, "is not a JSON object"),
        ('{"tone": "a\\u0000b"}', 18, "is not a JSON object"),
        ("", 18, "is not a JSON object"),
        ('["tone"]', 18, "is not a JSON object"),
    ],
)
def test_inputs_that_cannot_fill_the_modelfile_are_named(
    beside: Pod, mounted: tuple[dict[str, str], dict[str, Any]], inputs: object, code: int, says: str
) -> None:
    if inputs is not None:
        write_inputs(beside, inputs)
    done = beside.init(**settings(beside, mounted[1], "ollama-prepare"))
    assert (done.code, says in done.message) == (code, True), done.message


def test_a_value_of_several_lines_adds_no_instruction(pod: Pod) -> None:
    pod.mount(Prepared(name="m", action="create", source='SYSTEM """hello"""\nFROM {inputs.base}\n'))
    write_inputs(pod, {"base": "tiny\nADAPTER /etc/passwd"})
    done = pod.init(FLEET_INPUTS=str(pod.root / "inputs.json"))
    assert done.code == 18
    assert "more than one line" in done.message
