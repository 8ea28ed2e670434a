"""`fleet add` and `fleet pin` against the registry double: one line in the stack file, the rest in fleet.lock.toml."""

from pathlib import Path

import pytest

from infra.__main__ import main
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
    registry.publish("me/mine:q4", weights)
    assert fleet(folder, "pin") == 1
    assert "is not reachable" in capsys.readouterr().err
    assert "me/mine:q4" in (folder / "fleet.lock.toml").read_text()


@pytest.mark.parametrize("text", ["models = 3\n", "[models.a]\ndigest = 'x'\n", "not toml"])
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
