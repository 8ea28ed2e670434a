"""The rules of the door as they are read: whatever they hold, they are understood or refused."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router import facts
from router.reading import MapError
from router.rules import OPEN, parse
from tests.router.maps import PROPERTY


@given(st.text(max_size=20), st.dictionaries(st.text(max_size=5), st.text(max_size=70), max_size=3))
@PROPERTY
def test_whatever_the_rules_hold_they_are_read_or_refused(text: str, digests: dict[str, str]) -> None:
    for content in (text, json.dumps(text), json.dumps({**dict.fromkeys(digests, text), "auth": "keys"})):
        try:
            parse(content, digests)
        except MapError as refused:
            assert not [digest for digest in digests.values() if len(digest) > 20 and digest in str(refused)]


@pytest.mark.parametrize(
    "entry", [{"maxBody": -1}, {"maxBody": 2**32}, {"maxBody": float("inf")}, {"contexts": {"m": float("inf")}}]
)
def test_a_number_that_envoy_has_no_place_for_is_refused(entry: dict[str, object]) -> None:
    rules = {"auth": "none", "clientOptions": "pass", "contexts": {}, "maxBody": 1, "origins": []}
    parse(json.dumps(rules), {})
    with pytest.raises(MapError):
        parse(json.dumps({**rules, **entry}), {})


@pytest.mark.parametrize("models", [[], "llama3.1:8b", {}, 0])
def test_a_key_whose_list_of_models_is_none_is_refused_and_not_let_in_everywhere(models: object) -> None:
    rules = {"auth": "keys", "clientOptions": "pass", "contexts": {}, "maxBody": 1, "origins": []}
    with pytest.raises(MapError, match="list of models"):
        parse(json.dumps({**rules, "keys": {"search": {"models": models}}}), {"search": "a" * 64})


def test_rules_and_facts_without_end_are_refused() -> None:
    for read in (lambda text: parse(text, {}), facts.parse):
        with pytest.raises(MapError):
            read("[" * 100_000)
    with pytest.raises(MapError):
        facts.parse('{"models": {"m": {"size": 1e999}}}')


def test_rules_that_ask_for_nothing_are_what_a_fleet_without_keys_has() -> None:
    assert OPEN.keys is None
