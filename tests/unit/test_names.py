"""Names as Ollama compares them and as Kubernetes bounds them."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infra import names

QUICK = settings(max_examples=150, deadline=None)


@pytest.mark.parametrize(
    ("name", "canonical"),
    [
        ("llama3", "llama3:latest"), ("Llama3:Latest", "llama3:latest"), ("library/llama3", "llama3:latest"),
        ("registry.ollama.ai/library/llama3:8b", "llama3:8b"), ("me/mine", "me/mine:latest"),
        ("host:5000/me/mine", "host:5000/me/mine:latest"), ("host:5000/me/mine:1", "host:5000/me/mine:1"),
        ("hf.co/Org/Model-GGUF:Q4_K_M", "hf.co/org/model-gguf:q4_k_m"),
    ],
)  # fmt: skip
def test_a_name_is_compared_as_ollama_compares_it(name: str, canonical: str) -> None:
    assert names.canonical_model(name) == canonical


@given(st.text(min_size=1, max_size=200), st.integers(12, 63))
@QUICK
def test_a_shortened_name_is_bounded_stable_and_unchanged_if_short(name: str, length: int) -> None:
    assert len(names.short(name, length)) <= length
    assert names.short(name, length) == names.short(name, length)
    assert len(name) > length or names.short(name, length) == name


@given(st.lists(st.text(alphabet="ab:/._-é", min_size=1, max_size=300), unique=True, min_size=2, max_size=8))
@QUICK
def test_keys_are_safe_for_kubernetes_and_stay_apart(many: list[str]) -> None:
    keys = [names.key(name) for name in many]
    assert len(set(keys)) == len(many)
    assert all(re.fullmatch(r"[A-Za-z0-9_.-]{1,253}", key) for key in keys)
