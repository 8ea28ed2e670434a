"""`fleet add` and `fleet pin` against the registry double: one line in the stack file, the rest in fleet.lock.toml."""

import json
import socket
import threading
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from infra import lockfile
from infra import registry as registries
from infra.__main__ import main
from infra.commands import add
from infra.commands.common import plan_of
from infra.stack import read
from tests.models import tiny as shape
from tests.models.registry import Registry

TINY = "library/tiny:latest"


@pytest.fixture
def folder(tmp_path: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("no_proxy", "*")
    (tmp_path / "Pulumi.dev.yaml").write_text(f"""# a comment at the top
config:
  gcp:project: example   # and one behind a value
  ollama-fleet:fleet:
    gke: {{location: us-central1-c}}
    pools:
      t4:   {{gpu: t4, registry: "http://127.0.0.1:{registry.port}"}}   # aligned
      l4:   {{gpu: l4}}
    models:
      # the first one
      me/mine:q4:  {{pools: [t4], vram: 1Gi, disk: 1Gi}}
    router: {{expose: cluster}}
""")
    return tmp_path


def fleet(folder: Path, *arguments: str) -> int:
    return main([arguments[0], "--cwd", str(folder), *arguments[1:]])


def stack_file(folder: Path) -> str:
    return (folder / "Pulumi.dev.yaml").read_text()


def test_a_model_that_nobody_knew_is_added_pinned_and_planned(
    folder: Path, registry: Registry, weights: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    digest = registry.publish(TINY, weights)
    before = stack_file(folder)
    assert fleet(folder, "add", "tiny", "--pool", "t4") == 0, capsys.readouterr()
    assert stack_file(folder).splitlines() == [
        *before.splitlines()[:10],
        "      tiny: [t4]",
        *before.splitlines()[10:],
    ]
    assert f"F32  context {shape.CONTEXT}  {digest[:12]}" in capsys.readouterr().out

    plan = plan_of(read(folder, "dev"))
    assert not [one for one in plan.problems if one.severity == "error"], plan.problems
    (step,) = [one for one in plan.pool("t4").prepared if one.name == "tiny" and one.action == "pull"]
    assert step.digest == digest
    (model,) = [one for one in plan.models if one.name == "tiny"]
    assert (model.known, model.pinned, model.context) == (True, True, shape.CONTEXT)
    (resident,) = [one for one in plan.pool("t4").residents if one.model == "tiny"]
    # K and V of every layer, two bytes each
    assert resident.need.kv == shape.LAYERS * shape.WIDTH * 2 * 2 * shape.CONTEXT


def test_without_a_pool_those_that_hold_the_model_are_proposed_cheapest_first(
    folder: Path, registry: Registry, weights: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    own = f'registry: "http://127.0.0.1:{registry.port}"'
    (folder / "Pulumi.dev.yaml").write_text(stack_file(folder).replace("{gpu: l4}", f"{{gpu: l4, {own}}}"))
    registry.publish(TINY, weights)
    before = stack_file(folder)
    assert fleet(folder, "add", "tiny") == 1
    assert "paste: tiny: [t4, l4]; or name one: --pool" in capsys.readouterr().err
    assert stack_file(folder) == before
    assert not (folder / "fleet.lock.toml").exists()


def test_the_header_is_read_by_range_and_not_the_whole_model(
    folder: Path, registry: Registry, weights: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infra.registry.HEADER_SIZES", (512, 2**16))
    registry.publish(TINY, weights + bytes(5_000_000))
    assert fleet(folder, "add", "tiny", "--pool", "t4") == 0
    assert registry.bytes_sent == 512 + 2**16


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("tyni", "--pool", "t4"), "the registry does not know"),
        (("tiny", "--pool", "t5"), "there is no pool t5"),
        (("tiny",), "no pool is named for tiny"),
        (("Me/Mine:q4", "--pool", "t4"), "is in the file already"),
        (("broken", "--pool", "t4"), "have no header that can be read"),
        (("page", "--pool", "t4"), "is no model of Ollama"),
    ],
)
def test_what_cannot_be_added_leaves_both_files_as_they_were(
    folder: Path,
    registry: Registry,
    weights: bytes,
    arguments: tuple[str, ...],
    says: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    registry.publish(TINY, weights)
    registry.publish("library/broken:latest", b"no GGUF" * 100)
    registry.manifests["library/page:latest"] = b"<html>"
    before = stack_file(folder)
    assert fleet(folder, "add", *arguments) == 1
    assert says in capsys.readouterr().err
    assert stack_file(folder) == before
    assert not (folder / "fleet.lock.toml").exists()


@pytest.mark.parametrize("name", ["a b", "../../tiny", "tiny?x=1", "tiny: [t4]\n      evil", "a/../tiny"])
def test_a_name_that_is_none_is_refused_before_anybody_is_asked(
    folder: Path, registry: Registry, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = stack_file(folder)
    assert fleet(folder, "add", name, "--pool", "t4") == 1
    assert "fleet.models" in capsys.readouterr().err
    assert (registry.requests, stack_file(folder)) == ([], before)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"layers": [{"digest": "sha256:../../etc/passwd"}]}, "no sha256 digest"),
        ({"config": {"size": 2**70}}, "a size that none has"),
        ({"config": {"size": -1}}, "a size that none has"),
        ({"config": {"size": float("inf")}}, "names no weights"),
        ({"layers": []}, "names no weights"),
    ],
)
def test_a_manifest_that_no_registry_would_write_is_refused_in_a_sentence(
    folder: Path,
    registry: Registry,
    weights: bytes,
    change: dict[str, object],
    says: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    registry.publish(TINY, weights)
    manifest = json.loads(registry.manifests[TINY])
    for key, value in change.items():
        manifest[key] = (
            [{**manifest["layers"][0], **one} for one in value]
            if isinstance(value, list)
            else {**manifest[key], **value}  # type: ignore[dict-item]
        )
    registry.manifests[TINY] = json.dumps(manifest).encode()
    assert fleet(folder, "add", "tiny", "--pool", "t4") == 1
    assert says in capsys.readouterr().err
    assert not [one for one in registry.requests if "/blobs/" in one]


def test_a_manifest_without_end_is_refused(
    folder: Path, registry: Registry, capsys: pytest.CaptureFixture[str]
) -> None:
    for body in (b"[" * 100_000, b"x" * 50_000_000):
        registry.manifests[TINY] = body
        assert fleet(folder, "add", "tiny", "--pool", "t4") == 1
        assert "is no model of Ollama" in capsys.readouterr().err


@pytest.mark.parametrize("target", ["file:///etc", "ftp://127.0.0.1:1", "gopher://x"])
def test_a_registry_leads_to_no_file(
    folder: Path, registry: Registry, weights: bytes, target: str, capsys: pytest.CaptureFixture[str]
) -> None:
    registry.publish(TINY, weights)
    registry.blobs_at = target
    assert fleet(folder, "add", "tiny", "--pool", "t4") == 1
    said = capsys.readouterr().err
    assert "leads to ftp://, which is not followed" in said or "away from HTTP (307)" in said


def test_what_came_by_https_goes_on_by_https() -> None:
    follow = registries._Redirects().redirect_request
    request = urllib.request.Request("https://registry.example/v2/")
    assert follow(request, None, 307, "", {}, "https://elsewhere.example/") is not None
    with pytest.raises(registries.RegistryError):
        follow(request, None, 307, "", {}, "http://elsewhere.example/")


def test_what_does_not_speak_http_is_told_in_a_sentence(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def talk() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(b"220 mail.example ESMTP\r\n")

        thread = threading.Thread(target=talk)
        thread.start()
        text = stack_file(folder).replace(
            "me/mine:q4:  {pools: [t4]",
            f"""x: {{pools: [l4], registry: "http://127.0.0.1:{server.getsockname()[1]}\"""",
        )
        (folder / "Pulumi.dev.yaml").write_text(text)
        assert fleet(folder, "pin") == 1
        thread.join(5)
    assert "does not speak HTTP" in capsys.readouterr().err


def test_a_byte_now_and_then_is_no_answer(
    folder: Path,
    registry: Registry,
    weights: bytes,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(registries, "SECONDS_IN_ALL", 0)
    registry.publish(TINY, weights)
    assert fleet(folder, "add", "tiny", "--pool", "t4") == 1
    assert "too slowly" in capsys.readouterr().err


def test_weights_whose_counts_no_model_has_are_refused_at_once(
    folder: Path, registry: Registry, weights: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    registry.publish(TINY, weights[:16] + (2**60).to_bytes(8, "little") + weights[24:])
    assert fleet(folder, "add", "tiny", "--pool", "t4") == 1
    assert "have no header that can be read" in capsys.readouterr().err
    assert len([one for one in registry.requests if "/data/" in one]) == 1


def test_pins_and_models_that_several_write_at_once_are_all_kept(
    folder: Path, registry: Registry, weights: bytes
) -> None:
    registry.publish("me/mine:q4", weights)
    assert fleet(folder, "pin") == 0
    entry = lockfile.read(folder).models["me/mine:q4"]
    with ThreadPoolExecutor(16) as threads:
        list(threads.map(lambda number: lockfile.lay_over(folder, {f"m{number}": entry}), range(64)))
    assert len(lockfile.read(folder).models) == 65
    assert sorted(one.name for one in folder.iterdir()) == ["Pulumi.dev.yaml", "fleet.lock.toml"]


def test_models_that_several_add_at_once_are_all_in_the_file_and_one_that_two_add_stands_there_once(
    folder: Path,
    registry: Registry,
    weights: bytes,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    names = ["tiny", *(f"me/other:q{number}" for number in range(6))]
    for name in [TINY, *names[1:]]:
        registry.publish(name, weights)
    with_model, together = add.with_model, threading.Barrier(2)

    def slowly(*arguments: str) -> str:
        with suppress(threading.BrokenBarrierError):
            # whoever is alone here goes on by itself
            together.wait(0.2)
        return with_model(*arguments)

    monkeypatch.setattr(add, "with_model", slowly)
    with ThreadPoolExecutor(len(names)) as threads:
        ended = list(threads.map(lambda name: fleet(folder, "add", name, "--pool", "t4"), [*names, "tiny"]))
    assert sorted(map(bool, ended)) == [*[False] * len(names), True]
    assert "is in the file already" in capsys.readouterr().err
    written = read(folder, "dev").fleet["models"]
    assert set(names) <= set(written)


def test_what_somebody_edits_while_the_registry_answers_is_kept(
    folder: Path, registry: Registry, weights: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry.publish(TINY, weights)
    find = registries.find

    def slowly(source: str) -> registries.Found:
        (folder / "Pulumi.dev.yaml").write_text(stack_file(folder) + "# edited meanwhile\n")
        return find(source)

    monkeypatch.setattr(registries, "find", slowly)
    assert fleet(folder, "add", "tiny", "--pool", "t4") == 0
    assert stack_file(folder).endswith("# edited meanwhile\n")
    assert "      tiny: [t4]\n" in stack_file(folder)


def test_pins_are_written_kept_and_checked(
    folder: Path, registry: Registry, weights: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    first = registry.publish("me/mine:q4", weights)
    assert fleet(folder, "pin", "--check") == 1
    assert not (folder / "fleet.lock.toml").exists()

    before = stack_file(folder)
    assert fleet(folder, "pin") == 0
    assert stack_file(folder) == before
    assert plan_of(read(folder, "dev")).pool("t4").prepared[0].digest == first
    assert fleet(folder, "pin", "--check") == 0
    kept = (folder / "fleet.lock.toml").read_text()
    assert fleet(folder, "pin") == 0
    assert (folder / "fleet.lock.toml").read_text() == kept

    second = registry.publish("me/mine:q4", weights, note="second edition")
    capsys.readouterr()
    assert fleet(folder, "pin", "--check") == 1
    assert f"me/mine:q4  {second[:12]}  moved" in capsys.readouterr().out
    assert plan_of(read(folder, "dev")).pool("t4").prepared[0].digest == first
    assert fleet(folder, "pin") == 0
    assert plan_of(read(folder, "dev")).pool("t4").prepared[0].digest == second


def test_a_pin_knows_what_a_line_written_by_hand_needs_and_still_does_when_its_tag_has_moved(
    folder: Path, registry: Registry, weights: bytes
) -> None:
    def unknown() -> bool:
        return any("does not know" in one.message for one in plan_of(read(folder, "dev")).problems)

    (folder / "Pulumi.dev.yaml").write_text(stack_file(folder).replace("      # the first one\n", "      tiny: [t4]\n"))
    registry.publish("me/mine:q4", weights)
    registry.publish(TINY, weights)
    assert unknown()
    assert fleet(folder, "pin") == 0
    assert not unknown()
    moved = registry.publish(TINY, weights, note="second edition")
    assert fleet(folder, "pin") == 0
    assert not unknown()
    assert moved in (folder / "fleet.lock.toml").read_text()


def test_an_unpinned_model_is_a_warning_and_a_pinned_one_is_none(
    folder: Path, registry: Registry, weights: bytes
) -> None:
    def warned() -> bool:
        return any("not pinned" in one.message for one in plan_of(read(folder, "dev")).problems)

    assert warned()
    registry.publish("me/mine:q4", weights)
    assert fleet(folder, "pin") == 0
    assert not warned()


def test_a_registry_that_does_not_answer_stops_no_other_pin(
    folder: Path, registry: Registry, weights: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    text = stack_file(folder).replace(
        "      # the first one\n", "      gone: {pools: [l4], registry: 'http://127.0.0.1:1', vram: 1Gi, disk: 1Gi}\n"
    )
    (folder / "Pulumi.dev.yaml").write_text(text)
    assert fleet(folder, "pin") == 1
    assert not (folder / "fleet.lock.toml").exists()
    capsys.readouterr()
    registry.publish("me/mine:q4", weights)
    assert fleet(folder, "pin") == 1
    told = capsys.readouterr().err
    assert "127.0.0.1:1 is not reachable: Connection refused" in told
    assert "HTTPS_PROXY" in told
    assert "me/mine:q4" in (folder / "fleet.lock.toml").read_text()


def test_a_registry_that_does_not_answer_is_told_of_once_with_all_its_models(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gone = "pools: [l4], registry: 'http://127.0.0.1:1', vram: 1Gi, disk: 1Gi"
    text = stack_file(folder).replace("      # the first one\n", f"      gone:1b: {{{gone}}}\n      lost: {{{gone}}}\n")
    (folder / "Pulumi.dev.yaml").write_text(text)
    assert fleet(folder, "pin", "--check") == 1
    (told,) = [one for one in capsys.readouterr().err.splitlines() if "127.0.0.1:1 " in one]
    cause = "the registry 127.0.0.1:1 is not reachable: Connection refused"
    assert told == f"error  fleet.models: {cause}, so nothing is known of gone:1b, lost"


ENTRY = f"""[models.a]
digest = "{"a" * 64}"
size_gb = 1.0
source = "https://registry.example"
date = "2026-01-01"
family = "llama"
max_context = 8192
shape = {{layers = 2, heads = 2, kv_heads = 2, head_dim = 64, embedding = 128, vocabulary = 100}}
"""


def test_an_entry_of_the_lock_is_read(folder: Path) -> None:
    (folder / "fleet.lock.toml").write_text(ENTRY)
    assert fleet(folder, "plan") == 0


@pytest.mark.parametrize(
    "text",
    [
        "models = 3\n",
        "[models.a]\ndigest = 'x'\n",
        "not toml",
        f"a = {'[' * 50_000}",
        ENTRY.replace("1.0", "inf"),
        ENTRY.replace("1.0", "nan"),
        ENTRY.replace("1.0", "1e300"),
        ENTRY.replace("1.0", "-1.0"),
        ENTRY.replace("8192", "0"),
        ENTRY.replace("8192", "9" * 400),
        ENTRY.replace("layers = 2", f"layers = {'9' * 400}"),
        ENTRY.replace("family", 'kind = "other"\nfamily'),
    ],
)
def test_a_lock_that_is_none_is_refused_by_name(folder: Path, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "fleet.lock.toml").write_text(text)
    assert fleet(folder, "plan") == 2
    assert "fleet.lock.toml" in capsys.readouterr().err


def test_the_program_follows_the_lock_as_the_plan_does(
    folder: Path, registry: Registry, weights: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    digest = registry.publish("me/mine:q4", weights)
    assert fleet(folder, "pin") == 0
    capsys.readouterr()
    assert fleet(folder, "manifests") == 0
    assert digest in capsys.readouterr().out
