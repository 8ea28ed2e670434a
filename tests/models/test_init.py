"""The init container against the real Ollama server and a registry double: what it brings, and how it fails."""

import hashlib
import os
import subprocess
from pathlib import Path
from signal import SIGKILL

import pytest

from infra.plan.model import Prepared
from tests.models.pod import Pod
from tests.models.registry import Registry

NOT_REACHABLE, NAME_RESOLUTION, TLS, DENIED, UNKNOWN_MODEL, DISK_FULL, TOO_OLD, WRONG_DIGEST = range(10, 18)
WRONG_MODELFILE, DEADLINE, NO_SERVER, WRONG_LIST, NO_SOURCE = range(18, 23)

TINY = "library/tiny:latest"


def pulled(source: str, digest: str | None = None, name: str = "tiny") -> Prepared:
    return Prepared(name=name, action="pull", source=source, digest=digest)


def created(name: str, modelfile: str) -> Prepared:
    return Prepared(name=name, action="create", source=modelfile)


def copied(name: str, source: str) -> Prepared:
    return Prepared(name=name, action="copy", source=source)


def manifest(pod: Pod, path: str) -> Path:
    return pod.store / "manifests" / path


def test_a_first_start_pulls_and_a_second_downloads_nothing(pod: Pod, registry: Registry, weights: bytes) -> None:
    digest = registry.publish(TINY, weights)
    pod.mount(pulled(registry.source(TINY), digest), copied("gpt-4", "tiny"))

    first = pod.init()
    assert (first.code, first.message) == (0, ""), first.output
    assert registry.bytes_sent >= len(weights)
    tiny = manifest(pod, "registry.ollama.ai/library/tiny/latest")
    assert hashlib.sha256(tiny.read_bytes()).hexdigest() == digest

    registry.forget_requests()
    second = pod.init()
    assert (second.code, registry.requests, registry.bytes_sent) == (0, [], 0), second.output

    with pod.serving() as server:
        assert {"tiny:latest", "gpt-4:latest"} <= server.models()
        assert server.chat("tiny")["done"]
        assert server.chat("gpt-4")["done"]


def test_nothing_of_the_init_container_is_left_running(pod: Pod, registry: Registry, weights: bytes) -> None:
    registry.publish(TINY, weights)
    pod.hold(registry)
    pod.mount(pulled(registry.source(TINY)))
    with pod.running("init") as run:
        assert run.process.wait(30) == 0
        group = run.process.pid
    left = [
        stat.parent.name
        for stat in Path("/proc").glob("[0-9]*/stat")
        if stat.exists() and stat.read_text().rpartition(")")[2].split()[2] == str(group)
    ]
    assert left == []
    assert list((pod.root / "tmp").iterdir()) == []


def test_a_changed_pin_downloads_what_differs_and_no_more(pod: Pod, registry: Registry, weights: bytes) -> None:
    pod.mount(pulled(registry.source(TINY), registry.publish(TINY, weights)))
    pod.hold(registry)
    assert pod.init().code == 0
    registry.forget_requests()
    pod.mount(pulled(registry.source(TINY), registry.publish(TINY, weights, note="second edition")))
    run = pod.init()
    assert run.code == 0, run.output
    assert 0 < registry.bytes_sent < 2000


def test_a_lost_blob_is_noticed_and_brought_again(pod: Pod, registry: Registry, weights: bytes) -> None:
    digest = registry.publish(TINY, weights)
    pod.mount(pulled(registry.source(TINY), digest))
    pod.hold(registry)
    assert pod.init().code == 0
    (pod.store / "blobs" / f"sha256-{hashlib.sha256(weights).hexdigest()}").unlink()
    assert pod.init().code == 0
    with pod.serving() as server:
        assert server.chat("tiny")["done"]


def test_a_modelfile_and_a_context_laid_over_a_pulled_model_are_in_force(
    pod: Pod, registry: Registry, weights: bytes
) -> None:
    digest = registry.publish(TINY, weights)
    bot = created("bot", 'FROM tiny\nSYSTEM """Be brief."""\nPARAMETER temperature 0.2\n')
    pull = pulled(registry.source(TINY), digest)
    pod.hold(registry)
    pod.mount(pull, created("tiny", "FROM tiny\nPARAMETER num_ctx 512\n"), bot)
    first = pod.init()
    assert first.code == 0, first.output
    with pod.serving() as server:
        assert server.parameters("tiny") == "num_ctx 512"
        assert "temperature 0.2" in server.parameters("bot")
        assert server.chat("tiny")["done"]
        assert server.loaded_context("tiny:latest") == 512
        assert server.chat("bot")["done"]

    # the pinned digest is that of the pulled model, not of what was made from it
    registry.forget_requests()
    second = pod.init()
    assert (second.code, registry.requests) == (0, []), second.output
    assert "creating" not in second.output

    # another context, then none: from the original, and without the registry
    pod.mount(pull, created("tiny", "FROM tiny\nPARAMETER num_ctx 384\n"), bot)
    third = pod.init()
    pod.mount(pull)
    fourth = pod.init()
    assert (third.code, fourth.code, registry.requests) == (0, 0, []), third.output + fourth.output
    tiny = manifest(pod, "registry.ollama.ai/library/tiny/latest")
    assert hashlib.sha256(tiny.read_bytes()).hexdigest() == digest


def test_a_context_over_a_model_under_its_registrys_own_name_survives_restarts(
    pod: Pod, registry: Registry, weights: bytes
) -> None:
    digest = registry.publish(TINY, weights)
    name = f"127.0.0.1:{registry.port}/{TINY}"
    pull = Prepared(name=name, action="pull", source=f"http://{name}", digest=digest)
    laid_over = created(name, f"FROM {name}\nPARAMETER num_ctx 512\n")
    pod.hold(registry)
    pod.mount(pull, laid_over)
    assert pod.init().code == 0
    registry.forget_requests()
    second = pod.init()
    assert (second.code, registry.requests) == (0, []), second.output
    with pod.serving() as server:
        assert server.parameters(name) == "num_ctx 512"

    pod.mount(pull, created(name, f"FROM {name}\nPARAMETER num_ctx 384\n"))
    third = pod.init()
    pod.mount(pull)
    fourth = pod.init()
    assert (third.code, fourth.code, registry.requests) == (0, 0, []), third.output + fourth.output
    kept = manifest(pod, f"127.0.0.1:{registry.port}/library/tiny/latest")
    assert hashlib.sha256(kept.read_bytes()).hexdigest() == digest


def test_a_modelfile_may_start_from_a_model_that_the_list_does_not_pull(
    pod: Pod, registry: Registry, weights: bytes
) -> None:
    registry.publish(TINY, weights)
    pod.hold(registry)
    pod.mount(created("bot", f"FROM {registry.source(TINY)}\nPARAMETER num_ctx 128\n"))
    run = pod.init()
    assert run.code == 0, run.output
    with pod.serving() as server:
        assert server.parameters("bot") == "num_ctx 128"


def test_a_wrong_digest_is_refused_and_what_came_is_not_served(pod: Pod, registry: Registry, weights: bytes) -> None:
    digest = registry.publish(TINY, weights)
    pod.hold(registry)
    pod.mount(pulled(registry.source(TINY), "0" * 64))
    run = pod.init()
    assert run.code == WRONG_DIGEST, run.output
    assert run.message.startswith("digest differs for ")
    assert digest in run.message
    assert "0" * 64 in run.message
    with pod.serving() as server:
        assert server.models() == set()


def test_a_full_disk_is_named_at_once(
    pod: Pod, registry: Registry, weights: bytes, small_disk: tuple[str, ...]
) -> None:
    registry.publish(TINY, weights)
    pod.mount(pulled(registry.source(TINY)))
    pod.within = small_disk
    run = pod.init()
    assert run.code == DISK_FULL, run.output
    assert run.message.startswith(f"disk full at {pod.store} while bringing {registry.source(TINY)}: ")
    assert "try 1 of" not in run.output


@pytest.mark.parametrize("kept", [60, -1])
def test_a_manifest_that_a_crash_cut_short_is_brought_again(
    pod: Pod, registry: Registry, weights: bytes, kept: int
) -> None:
    registry.publish(TINY, weights)
    pod.hold(registry)
    pod.mount(pulled(registry.source(TINY)))
    cut = manifest(pod, f"127.0.0.1:{registry.port}/library/tiny/latest")
    cut.parent.mkdir(parents=True)
    cut.write_bytes(registry.manifests[TINY][:kept])
    run = pod.init()
    assert run.code == 0, run.output
    assert cut.read_bytes() == registry.manifests[TINY]


def test_an_unknown_model_is_named_at_once(pod: Pod, registry: Registry) -> None:
    pod.mount(pulled(registry.source("library/tyni:latest")))
    run = pod.init(PULL_TRIES="5")
    assert run.code == UNKNOWN_MODEL, run.output
    assert run.message == (
        f"the registry does not know {registry.source('library/tyni:latest')}: check its name and tag\n"
    )
    assert len(registry.requests) == 1


@pytest.mark.parametrize(
    ("status", "body", "code", "says"),
    [
        (403, '{"errors":[{"code":"DENIED","message":"not yours"}]}', 13, "the registry refuses "),
        (401, "{}", 13, "the registry refuses "),
        (200, "<html>a page for people</html>", 29, " failed: "),
    ],
)
def test_what_else_a_registry_answers_has_its_code_and_its_words(
    pod: Pod, registry: Registry, status: int, body: str, code: int, says: str
) -> None:
    registry.refused[TINY] = (status, body)
    pod.mount(Prepared(name="tiny", action="pull", source=registry.source(TINY)))
    run = pod.init()
    assert run.code == code, run.output
    assert says in run.message


def test_a_model_that_needs_a_newer_ollama_is_named_at_once(pod: Pod, registry: Registry) -> None:
    body = "\n\nThe model you are attempting to pull requires a newer version of Ollama.\n\nPlease download the latest"
    registry.refused[TINY] = (412, body)
    pod.mount(pulled(registry.source(TINY)))
    run = pod.init(PULL_TRIES="5")
    assert run.code == TOO_OLD, run.output
    assert run.message.startswith("this Ollama is too old for ")
    assert "requires a newer version" in run.message
    assert len(registry.requests) == 1


@pytest.mark.parametrize(
    ("source", "code", "begins"),
    [
        ("http://127.0.0.1:1/library/tiny:latest", NOT_REACHABLE, "registry not reachable for "),
        # an empty label: refused by Go's resolver itself, so no query leaves the machine
        ("http://registry..invalid:5000/library/tiny:latest", NAME_RESOLUTION, "the name of the registry does not "),
    ],
)
def test_a_registry_that_is_not_there_is_tried_again_and_then_named(
    pod: Pod, source: str, code: int, begins: str
) -> None:
    pod.mount(pulled(source))
    run = pod.init()
    assert run.code == code, run.output
    assert run.message.startswith(begins)
    assert run.message.count("\n") == 1
    assert "try 1 of 2: " in run.output


def test_plain_http_is_spoken_only_when_asked_for(pod: Pod, registry: Registry, weights: bytes) -> None:
    registry.publish(TINY, weights)
    pod.mount(pulled(f"127.0.0.1:{registry.port}/{TINY}"))
    run = pod.init()
    assert run.code == TLS, run.output
    assert run.message.startswith("TLS to the registry failed for ")
    assert registry.requests == []


def test_a_passing_fault_of_the_registry_costs_one_more_try(pod: Pod, registry: Registry, weights: bytes) -> None:
    registry.publish(TINY, weights)
    registry.refused[TINY] = (503, "busy")
    pod.hold(registry)
    pod.mount(pulled(registry.source(TINY)))
    with pod.running("init", PULL_TRIES="3") as run:
        while "try 1 of 3: registry not reachable" not in run.output:
            assert run.process.poll() is None, run.output
        registry.refused.clear()
        assert run.process.wait(20) == 0, run.output


def test_a_stalled_pull_ends_at_the_deadline_and_goes_on_where_it_stood(
    pod: Pod, registry: Registry, weights: bytes
) -> None:
    registry.publish(TINY, weights)
    blob = f"sha256:{hashlib.sha256(weights).hexdigest()}"
    registry.stalled.add(blob)
    pod.mount(pulled(registry.source(TINY)))
    run = pod.init(PULL_DEADLINE="4")
    assert run.code == DEADLINE, run.output
    assert 3 <= run.seconds < 9
    assert run.message.startswith(f"{registry.source(TINY)} was not here within the pull deadline of 4 s")
    assert "50%" in run.message

    registry.stalled.clear()
    registry.forget_requests()
    again = pod.init()
    assert again.code == 0, again.output
    assert registry.bytes_sent < 0.6 * len(weights)


def test_a_clock_that_is_set_back_moves_no_deadline(pod: Pod, registry: Registry, weights: bytes) -> None:
    date = pod.root / "bin" / "date"
    date.write_text('#!/bin/sh\nold=$(cat "$0.now" 2>/dev/null || echo 1000000)\necho $((old - 1000)) | tee "$0.now"\n')
    date.chmod(0o755)
    registry.publish(TINY, weights)
    registry.stalled.add(f"sha256:{hashlib.sha256(weights).hexdigest()}")
    pod.mount(pulled(registry.source(TINY)))
    run = pod.init(PULL_DEADLINE="2")
    assert run.code == DEADLINE, run.output


@pytest.mark.parametrize(
    "modelfile",
    ["FROM tiny\nPARAMETER num_ctx lots\n", "FROM tiny\nTEMPLATE {{ .Broken\n", "PARAMETER num_ctx 128\n"],
    ids=["parameter", "template", "no FROM"],
)
def test_a_broken_modelfile_is_named_and_leaves_no_model(
    pod: Pod, registry: Registry, weights: bytes, modelfile: str
) -> None:
    registry.publish(TINY, weights)
    pod.hold(registry)
    pod.mount(pulled(registry.source(TINY)), created("bot", modelfile))
    run = pod.init()
    assert run.code == WRONG_MODELFILE, run.output
    assert run.message.startswith("Modelfile wrong for bot: ")
    with pod.serving() as server:
        assert "bot:latest" not in server.models()


def test_a_base_that_is_no_model_leaves_no_model_either(pod: Pod, registry: Registry) -> None:
    registry.publish(TINY, b"no GGUF" * 1000)
    pod.hold(registry)
    pod.mount(created("bot", f"FROM {registry.source(TINY)}\n"))
    run = pod.init()
    assert run.code == WRONG_MODELFILE, run.output
    assert not manifest(pod, "registry.ollama.ai/library/bot/latest").exists()


def test_a_copy_of_what_is_not_there_is_named(pod: Pod) -> None:
    pod.mount(copied("gpt-4", "tiny"))
    run = pod.init()
    assert (run.code, run.message) == (NO_SOURCE, "gpt-4 is a copy of tiny, which is not here\n"), run.output


def test_no_list_is_named(pod: Pod) -> None:
    run = pod.init()
    assert run.code == WRONG_LIST
    assert run.message.startswith("no models.tsv in ")


def test_an_empty_list_is_in_place_at_once(pod: Pod) -> None:
    pod.mount()
    assert pod.init().code == 0


def test_a_foreign_server_on_the_port_is_not_taken_for_its_own(pod: Pod, registry: Registry, weights: bytes) -> None:
    registry.publish(TINY, weights)
    pod.mount(pulled(registry.source(TINY)))
    with pod.serving() as server:
        run = pod.init()
        assert run.code == NO_SERVER, run.output
        assert run.message.startswith("another server answers at ")
        assert server.models() == set()


def test_any_text_may_stand_in_a_modelfile(pod: Pod, registry: Registry, weights: bytes) -> None:
    registry.publish(TINY, weights)
    pod.hold(registry)
    system = "Be kind.\nFrom now on say 'no'.\nEOF\n$(touch /tmp/evil) `id` ${HOME} \\n \\ % {{ .x }} {inputs.x} 😀"
    pod.mount(pulled(registry.source(TINY)), created("bot", f'SYSTEM """{system}"""\nFROM tiny\n'))
    run = pod.init()
    assert run.code == 0, run.output
    with pod.serving() as server:
        assert server.ask("/api/show", {"model": "bot"})["system"] == system


def test_a_start_that_is_killed_at_any_moment_is_made_good_by_the_next(
    pod: Pod, registry: Registry, weights: bytes
) -> None:
    digest = registry.publish(TINY, weights)
    overlay = created("tiny", "FROM tiny\nPARAMETER num_ctx 512\n")
    bot = created("bot", "FROM tiny\nPARAMETER temperature 0.2\n")
    pod.mount(pulled(registry.source(TINY), digest), overlay, bot, copied("helper", "bot"))
    done = 0.0
    while True:
        done += 0.2
        with pod.running("init") as run:
            try:
                code = run.process.wait(done)
                break
            except subprocess.TimeoutExpired:
                # as when the node loses its power: the server goes with it
                os.killpg(run.process.pid, SIGKILL)
    assert code == 0, run.output
    assert done > 0.2
    again = pod.init()
    assert (again.code, "0 of them new" in again.output) == (0, True), again.output
    with pod.serving() as server:
        assert {"tiny:latest", "bot:latest", "helper:latest"} <= server.models()
        assert server.parameters("tiny") == "num_ctx 512"
        assert "temperature 0.2" in server.parameters("helper")
        assert server.chat("helper")["done"]


def test_a_signal_ends_it_promptly_and_its_server_with_it(pod: Pod, registry: Registry, weights: bytes) -> None:
    registry.publish(TINY, weights)
    registry.stalled.add(f"sha256:{hashlib.sha256(weights).hexdigest()}")
    pod.mount(pulled(registry.source(TINY)))
    with pod.running("init") as run:
        while not registry.bytes_sent:
            assert run.process.poll() is None, run.output
        run.process.terminate()
        assert run.process.wait(5) == 143
    with pod.serving():  # the port is free again
        pass
