"""The status page in a real browser."""

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.page.conftest import HOSTILE, KEY, SEARCH_KEY, picture

if TYPE_CHECKING:
    from playwright.sync_api import Page, Route

PICTURES = os.environ.get("OLLAMA_FLEET_PICTURES")


def enter(page: "Page", key: str = KEY) -> None:
    page.get_by_label("A key of this fleet").fill(key)
    page.get_by_role("button", name="Show the fleet").click()
    page.locator("#fleet").wait_for()


def rows(page: "Page", table: str) -> dict[str, str]:
    """Name -> what the row says."""
    found = page.locator(f"#{table} tbody tr").all_inner_texts()
    return {text.split()[0]: " ".join(text.split()) for text in found}


def test_the_page_asks_for_a_key_and_shows_nothing_before(page: "Page") -> None:
    page.locator("#ask").wait_for()
    assert not page.locator("#fleet").is_visible()
    assert "llama3" not in page.content()


def test_a_wrong_key_is_said_and_not_kept(page: "Page") -> None:
    page.get_by_label("A key of this fleet").fill("wrong-key-0123456789")
    page.get_by_role("button", name="Show the fleet").click()
    page.get_by_text("This key is not known here.").wait_for()
    assert page.evaluate("sessionStorage.length") == 0


def test_the_key_stays_in_the_tab_until_it_is_forgotten(page: "Page") -> None:
    enter(page)
    assert page.evaluate("[sessionStorage.length, localStorage.length, document.cookie]") == [1, 0, ""]
    page.reload()
    page.locator("#fleet").wait_for()
    page.get_by_role("button", name="Forget the key").click()
    page.locator("#ask").wait_for()
    assert page.evaluate("sessionStorage.length") == 0
    assert "llama3" not in page.content()


def test_pools_replicas_and_models_are_shown(page: "Page") -> None:
    enter(page)
    page.locator("#pools tbody tr").nth(2).wait_for()
    pools, models = rows(page, "pools"), rows(page, "models")
    assert "ready" in pools["k80"]
    assert "nowhere.invalid has no address" in pools["away"]
    assert "t4 > away" in models["llama3.1:8b"]
    assert "stands for llama3.1:8b" in models["gpt:latest"]
    assert re.search(r"5 models, 2 of 3 pools ready, 0 in flight, key everyone", page.locator("#summary").inner_text())
    page.get_by_label("Filter models").fill("k80")
    assert set(rows(page, "models")) == {"embed:latest", "llama3.2:3b"}


def test_a_key_for_one_model_sees_that_one(page: "Page") -> None:
    enter(page, SEARCH_KEY)
    assert set(rows(page, "models")) == {"embed:latest"}
    assert set(rows(page, "pools")) == {"k80"}


def test_a_model_is_tried_with_a_streaming_answer(page: "Page") -> None:
    enter(page)
    page.get_by_label("Model", exact=True).select_option("llama3.1:8b")
    page.evaluate(
        "window.lengths = []; const answer = document.getElementById('answer');"
        "new MutationObserver(() => lengths.push(answer.innerText.length)).observe(answer, {childList: true})"
    )
    page.get_by_label("Prompt").fill("hello")
    page.get_by_role("button", name="Send").click()
    page.get_by_text(re.compile(r"from t4, first word after .* tokens a second")).wait_for()
    assert "simulated" in page.locator("#answer").inner_text()
    assert len(set(page.evaluate("lengths"))) > 3, "it came in parts"


def test_an_answer_can_be_stopped_and_an_error_is_shown(page: "Page") -> None:
    enter(page)
    page.get_by_label("Model", exact=True).select_option("far:latest")
    page.get_by_role("button", name="Send").click()
    page.get_by_text("503: no server of this model is up, please try again").wait_for()
    page.get_by_label("Model", exact=True).select_option("llama3.1:8b")
    page.route("**/api/chat", lambda _: None)
    page.get_by_role("button", name="Send").click()
    page.get_by_role("button", name="Stop").click()
    page.get_by_text("stopped", exact=True).wait_for()


def status(**changes: Any) -> dict[str, Any]:
    """An answer of a door, whatever it says."""
    pool = {
        "name": "t4",
        "state": "ready",
        "cause": "",
        "overridden": False,
        "in_flight": 0,
        "requests": 0,
        "errors": 0,
        "replicas": [],
    }
    model = {
        "name": "m",
        "alias_of": None,
        "split": None,
        "route": ["t4"],
        "now": ["t4"],
        "overridden": False,
        "digests": {},
        "requests": 0,
        "errors": 0,
    }
    told = {"in_force": True, "changes": 1, "faults": [], "door_faults": [], "overridden": [], "trouble": ""}
    return {
        "draining": False,
        "key": None,
        "map": {**told, **changes.get("map", {})},
        "models": [{**model, **changes.get("model", {})}],
        "pools": [{**pool, **changes.get("pool", {})}],
    }


def told(page: "Page", answer: dict[str, Any]) -> None:
    """From now on the door says this."""

    def fulfil(route: "Route") -> None:
        route.fulfill(json=answer)

    page.route("**/fleet/status.json", fulfil)
    page.reload()
    page.locator("#fleet").wait_for()


def test_whatever_servers_and_files_say_is_shown_as_text(page: "Page") -> None:
    """Names, causes, versions, digests, faults: none of them becomes part of the page."""
    told(
        page,
        status(
            map={"faults": [HOSTILE], "door_faults": [HOSTILE], "overridden": [HOSTILE], "trouble": HOSTILE},
            pool={
                "name": HOSTILE,
                "state": HOSTILE,
                "cause": HOSTILE,
                "replicas": [{"address": HOSTILE, "version": HOSTILE, "models": [], "loaded": [{"name": HOSTILE}]}],
            },
            model={
                "name": HOSTILE,
                "alias_of": HOSTILE,
                "route": [HOSTILE],
                "now": ["x"],
                "split": {HOSTILE: 1},
                "digests": {HOSTILE: [HOSTILE], "b": ["x"]},
            },
        ),
    )
    assert page.locator("main img").count() == 0
    assert page.title() == "ollama-fleet"
    assert page.locator("main").inner_text().count("<img src=x") > 12


def test_a_server_that_says_hostile_things_of_itself_changes_nothing(page: "Page") -> None:
    enter(page)
    page.locator("#pools tbody tr").nth(2).wait_for()
    # the router hands on of a version what a version is made of; what the page does with the rest is above
    assert "t4" in rows(page, "pools")
    assert (page.locator("main img").count(), page.title()) == (0, "ollama-fleet")


def test_a_script_that_is_not_the_pages_own_does_not_run(page: "Page", console: list[str]) -> None:
    enter(page)
    page.evaluate(
        """() => { const made = document.createElement("a"); made.href = "javascript:document.title='taken'";
                   document.body.append(made); made.click(); }"""
    )
    page.wait_for_timeout(100)
    assert page.title() == "ollama-fleet"
    assert console[-1].count("Content Security Policy")
    console.clear()


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(240.0, "waking, about 4 min, 3 waiting"), (20.5, "waking, about 21 s, 3 waiting"), (None, "waking, 3 waiting")],
)
def test_a_pool_that_wakes_says_for_how_long(page: "Page", seconds: float | None, text: str) -> None:
    told(page, status(pool={"state": "empty", "waking": {"seconds_left": seconds, "waiting": 3}}))
    assert text in rows(page, "pools")["t4"]


def test_differences_edits_and_refusals_are_shown(page: "Page") -> None:
    told(
        page,
        status(
            map={"faults": ["line 2, m: there is no pool 'x'"], "overridden": ["m"]},
            model={"overridden": True, "now": ["k80"], "digests": {"a" * 64: ["t4/1"], "b" * 64: ["t4/2"]}},
        ),
    )
    notes = page.locator("#notes").inner_text()
    assert "the last good one serves on" in notes
    assert "there is no pool 'x'" in notes
    assert "Hand edits are in force" in notes
    row = rows(page, "models")["m"]
    for words in ("edited by hand", "served now by k80", "replicas differ", "aaaaaaaaaaaa t4/1"):
        assert words in row


def test_a_door_that_falls_silent_is_said_and_what_it_told_stays(page: "Page") -> None:
    enter(page)
    page.route("**/fleet/status.json", lambda route: route.abort())
    page.get_by_text("The door does not answer; below is what it said last.").wait_for()
    assert "llama3.1:8b" in rows(page, "models")
    page.unroute("**/fleet/status.json")
    page.get_by_text("5 models, 2 of 3 pools ready").wait_for()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("width", "height"), [(1280, 900), (360, 780)])
def test_it_fits_a_phone_and_a_desk_in_the_light_and_in_the_dark(
    page: "Page", scheme: Any, width: int, height: int
) -> None:
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": width, "height": height})
    enter(page)
    page.locator("#pools tbody tr").nth(2).wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= width, "nothing sticks out"
    paper, ink = page.evaluate(
        "[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color]"
    )
    dark, light = (
        sum(map(int, re.findall(r"\d+", color))) for color in ((paper, ink) if scheme == "dark" else (ink, paper))
    )
    assert dark < 150 < 600 < light
    if PICTURES:
        picture(page, Path(PICTURES), f"{scheme}-{width}")
