"""The probes: what a server, `ollama ps` and `nvidia-smi` say leads to the right verdict, and to words that help."""

import tomllib
from pathlib import Path
from typing import Any

import pytest

from infra.plan.model import Prepared
from tests.models.pod import Pod, wait_until
from tests.models.registry import Registry

OUTCOMES = tomllib.loads(Path(__file__).with_name("outcomes.toml").read_text())["outcome"]
HEADER = "NAME    ID    SIZE    PROCESSOR    CONTEXT    UNTIL"
OLLAMA = """#!/bin/sh
case $1 in
list) printf 'NAME    ID\\ntiny:latest    0123456789ab\\n' ;;
ps) cat "$HOME/ps" ;;
esac
"""


def program(path: Path, text: str) -> Path:
    path.write_text(text)
    path.chmod(0o755)
    return path


@pytest.fixture
def recorded(tmp_path: Path) -> Pod:
    """A pod whose server says what a case gives it."""
    pod = Pod(tmp_path / "pod", program(tmp_path / "ollama", OLLAMA))
    (pod.state / "started").write_text("tiny:latest\n")
    (pod.state / "warm").write_text("ok\ttiny\n")
    return pod


def say(pod: Pod, outcome: dict[str, Any]) -> None:
    (pod.state / "server.log").write_text(outcome["log"].strip() + "\n")
    (pod.root / "home" / "ps").write_text(f"{HEADER}\n{outcome['ps']}\n")
    if "warm" in outcome:
        (pod.state / "warm").write_text(outcome["warm"] + "\n")
    if "smi" in outcome:
        program(pod.root / "bin" / "nvidia-smi", f"#!/bin/sh\necho '{outcome['smi']}'\n")
    elif "smi_fails" in outcome:
        program(pod.root / "bin" / "nvidia-smi", f'#!/bin/sh\necho "{outcome["smi_fails"]}"\nexit 9\n')


@pytest.mark.parametrize("outcome", OUTCOMES, ids=lambda outcome: outcome["title"])
def test_every_outcome_has_its_verdict_and_its_words(recorded: Pod, outcome: dict[str, Any]) -> None:
    say(recorded, outcome)
    probe = recorded.probe("started", FLEET_PROOF="start", FLEET_DRIVER_FLOOR=outcome["floor"])
    assert probe.code == (0 if outcome["ready"] else 1), probe.output
    assert probe.message.strip() == outcome.get("says", "")
    assert outcome["ready"] or f"not ready: {outcome['says']}" in probe.output


@pytest.mark.parametrize("outcome", OUTCOMES, ids=lambda outcome: outcome["title"])
def test_a_pool_without_proof_starts_whatever_its_gpu_does(recorded: Pod, outcome: dict[str, Any]) -> None:
    say(recorded, outcome)
    assert recorded.probe("started", FLEET_PROOF="none").code == 0


def test_what_is_not_known_yet_is_no_verdict(recorded: Pod) -> None:
    works = OUTCOMES[0]
    say(recorded, {**works, "log": ""})
    early = recorded.probe("started", FLEET_PROOF="start")
    assert (early.code, early.message) == (1, "")
    assert "has not said yet what it runs on" in early.output
    say(recorded, works)
    (recorded.state / "warm").unlink()
    loading = recorded.probe("started", FLEET_PROOF="start")
    assert (loading.code, loading.message) == (1, "")
    assert "the models are being loaded" in loading.output


def test_a_verdict_that_was_overcome_leaves_no_last_words(recorded: Pod) -> None:
    works, fails = OUTCOMES[0], OUTCOMES[2]
    say(recorded, fails)
    assert recorded.probe("started", FLEET_PROOF="start").message
    say(recorded, works)
    assert recorded.probe("started", FLEET_PROOF="start").message == ""


@pytest.mark.parametrize(("proof", "code"), [("always", 1), ("start", 0), ("none", 0)])
def test_a_model_that_spills_onto_the_cpu_makes_a_pod_unready_where_clients_keep_to_the_plan(
    recorded: Pod, proof: str, code: int
) -> None:
    say(recorded, {"log": "", "ps": "big:1b    0123456789ab    17 GB    40%/60% CPU/GPU     8192       Forever"})
    probe = recorded.probe("ready", FLEET_PROOF=proof)
    assert probe.code == code
    assert ("model big:1b runs 40 % on the CPU" in probe.output) == bool(code)


def test_an_unloaded_model_makes_no_pod_unready_and_a_missing_one_does(recorded: Pod) -> None:
    say(recorded, {"log": "", "ps": ""})
    assert recorded.probe("ready", FLEET_PROOF="always").code == 0
    (recorded.state / "started").write_text("tiny:latest\nother:1b\n")
    missing = recorded.probe("ready", FLEET_PROOF="always")
    assert missing.code == 1
    assert "not ready: model other:1b is not listed" in missing.output


def test_a_real_server_keeps_its_log_and_is_found_on_the_cpu(pod: Pod, registry: Registry, weights: bytes) -> None:
    registry.publish("library/tiny:latest", weights)
    pod.mount(Prepared(name="tiny", action="pull", source=registry.source("library/tiny:latest")))
    assert pod.init().code == 0
    assert (pod.state / "started").read_text() == "tiny:latest\n"
    with pod.serving() as server, pod.running("watch", FLEET_PROOF="start") as watch:
        wait_until(lambda: "tiny: loaded" in watch.output, 30, watch)
        wait_until(lambda: "inference compute" in (pod.state / "server.log").read_text(), 20, watch)
        assert "inference compute" in server.run.output
        probe = pod.probe("started", FLEET_PROOF="start", FLEET_DRIVER_FLOOR="550 0.30.11")
        assert probe.code == 1
        assert probe.message.startswith("every model would run on the CPU, Ollama found no GPU (library=cpu): ")
        assert pod.probe("started").code == 0
        assert pod.probe("ready").code == 0
        # one added later makes no ready pod unready
        pod.mount(Prepared(name="tiny", action="pull", source=registry.source("library/tiny:latest")), LATER)
        assert pod.probe("ready").code == 0


LATER = Prepared(name="later", action="pull", source="http://127.0.0.1:1/library/later:latest")
