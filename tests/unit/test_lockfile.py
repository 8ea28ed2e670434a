"""fleet.lock.toml as hands and strangers leave it: refused with its cause, whatever it holds."""

import os
from pathlib import Path

import pytest

from infra import lockfile
from infra.stack import UnreadableError

DIGEST = 64 * "a"
GOOD = {
    "digest": f'"{DIGEST}"',
    "size_gb": "4.5",
    "source": '"https://registry.ollama.ai"',
    "date": "2026-11-01",
    "family": '"llama"',
    "kind": '"chat"',
    "quantization": '"Q4_K_M"',
    "max_context": "8192",
    "shape": "{layers = 32, heads = 32, kv_heads = 8, head_dim = 128, embedding = 4096, vocabulary = 128256}",
}


def entry(**changed: str) -> str:
    lines = "\n".join(f"{key} = {value}" for key, value in {**GOOD, **changed}.items())
    return f'[models."my-model"]\n{lines}\n'


def refusal(folder: Path) -> str:
    with pytest.raises(UnreadableError) as refused:
        lockfile.read(folder)
    problem = refused.value.problem
    assert problem.place == lockfile.NAME
    assert problem.remedy
    return problem.message


def test_what_a_lock_says_of_a_model_is_facts_as_the_catalogue_has_them(tmp_path: Path) -> None:
    (tmp_path / lockfile.NAME).write_text(entry())
    facts = lockfile.read(tmp_path).models["my-model"].facts
    assert facts is not None
    assert (facts.size_gb, facts.shape.layers) == (4.5, 32)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("size_gb", "-5"),
        ("size_gb", "inf"),
        ("size_gb", "nan"),
        ("max_context", "0"),
        ("kind", '"odd"'),
        ("source", '"s"'),
        ("shape", "{layers = 0}"),
        ("digest", '"x"'),
    ],
)
def test_a_value_that_no_plan_can_be_made_of_is_refused_by_its_place(tmp_path: Path, key: str, value: str) -> None:
    (tmp_path / lockfile.NAME).write_text(entry(**{key: value}))
    message = refusal(tmp_path)
    assert "my-model" in message
    assert key in message
    assert "\n" not in message


@pytest.mark.parametrize("text", ["models = 3", "[[[", "a = " + "[" * 20_000, "\x00", "[models.x]\n\x1b = 1"])
def test_a_lock_that_is_none_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / lockfile.NAME).write_text(text)
    assert refusal(tmp_path)


def test_a_lock_without_end_or_that_waits_for_a_writer_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / lockfile.NAME
    path.symlink_to("/dev/zero")
    assert "not a plain file" in refusal(tmp_path)
    path.unlink()
    os.mkfifo(path)
    assert "not a plain file" in refusal(tmp_path)
    path.unlink()
    path.mkdir()
    assert "cannot be read" in refusal(tmp_path)
    path.rmdir()
    path.symlink_to("nowhere")
    assert "no such file" in refusal(tmp_path)
    path.unlink()
    path.write_bytes(b"#" * (9 << 20))
    assert "8 MiB" in refusal(tmp_path)
