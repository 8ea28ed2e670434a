"""Open WebUI before the local fleet: its calls as it made them, and the real package where there is one.

`OPEN_WEBUI` names the Python of an environment that has the package `open-webui` (7 GB); `make test-chat` makes one
outside the checkout. Without it the tests of the page are left out, in CI too, and the recorded calls alone are made.
"""

import json
import os
import re
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from infra.local.ports import free_ports
from infra.recorder import reveal
from loadtest.local import LocalFleet, Target
from tests.page.conftest import browser  # noqa: F401 - a fixture
from tests.program.programs import WATCHED, run
from tests.router.conftest import envoy  # noqa: F401 - a fixture

if TYPE_CHECKING:
    from playwright.sync_api import Browser

START_SECONDS = 600.0
BROWSER_SECONDS = 60.0
SERVE = "from open_webui import app; app()"
CALLS = json.loads((Path(__file__).parent / "calls.json").read_text())
PASSWORD = "a-password-of-a-test-1"
MODEL = "llama3.1:8b"


@pytest.fixture(scope="module")
def fleet(envoy: Path) -> Iterator[Target]:  # noqa: F811
    del envoy
    with LocalFleet("dev") as target:
        yield target


def asked(method: str, url: str, body: object = None, token: str = "") -> tuple[int, bytes]:
    headers = {"content-type": "application/json"} | ({"authorization": f"Bearer {token}"} if token else {})
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data=data, headers=headers, method=method)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=60) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as refused:
        return refused.code, refused.read()


@pytest.mark.parametrize("call", CALLS, ids=[call["path"] for call in CALLS])
def test_the_door_answers_a_call_that_open_webui_makes(fleet: Target, call: Mapping[str, Any]) -> None:
    status, body = asked(call["method"], fleet.url + call["path"], call["body"], fleet.key)
    assert status == 200
    assert call["answered"] in body.decode()
    assert asked(call["method"], fleet.url + call["path"], call["body"], "not-its-key-0123456789")[0] == 401


@pytest.fixture(scope="module")
def page(fleet: Target, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The real one, with the environment that the program gives its pod."""
    program = os.environ.get("OPEN_WEBUI")
    if not program:
        pytest.skip(
            "the real Open WebUI left out: OPEN_WEBUI names no Python that has it; `make test-chat` brings 7 GB"
        )
    folder = tmp_path_factory.mktemp("chat")
    recording = run(WATCHED)
    (deployment,) = [one for one in recording.resources if one.name == "fleet-chat-deployment"]
    pod: Any = reveal(deployment.inputs)
    said = {entry["name"]: entry["value"] for entry in pod["spec"]["template"]["spec"]["containers"][0]["env"]}
    (port,) = free_ports(1)
    door = f"{fleet.url}/v1"
    said |= {"DATA_DIR": str(folder / "data"), "HOME": str(folder), "STATIC_DIR": str(folder / "static")}
    said |= {"OPENAI_API_BASE_URL": door, "RAG_OPENAI_API_BASE_URL": door, "PATH": os.environ["PATH"]}
    (secret,) = [one for one in recording.resources if one.name == "fleet-chat-secret"]
    hidden = {name: fleet.key if "API_KEY" in name else PASSWORD for name in reveal(secret.inputs)["stringData"]}  # type: ignore[call-overload,index]
    said |= hidden
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [program, "-c", SERVE, "serve", "--host", "127.0.0.1", "--port", str(port)],
            env=said,
            cwd=folder,
            stdout=log,
            stderr=log,
        )
    url = f"http://127.0.0.1:{port}"
    try:
        end = time.monotonic() + START_SECONDS
        while not _healthy(url):
            assert process.poll() is None, (folder / "log").read_text()[-2000:]
            assert time.monotonic() < end, (folder / "log").read_text()[-2000:]
            time.sleep(0.5)
        yield url
    finally:
        process.terminate()
        process.wait(30)


def _healthy(url: str) -> bool:
    try:
        return asked("GET", f"{url}/health")[0] == 200
    except OSError:
        return False


def test_the_real_page_lets_in_its_one_account_and_chats_through_the_door(page: str) -> None:
    assert asked("GET", f"{page}/api/models")[0] == 401
    stranger = {"email": "somebody@example.org", "password": PASSWORD, "name": "somebody"}
    assert asked("POST", f"{page}/api/v1/auths/signup", stranger)[0] == 403
    wrong = {"email": "admin@localhost", "password": "wrong"}
    assert asked("POST", f"{page}/api/v1/auths/signin", wrong)[0] == 400
    status, account = asked("POST", f"{page}/api/v1/auths/signin", {**wrong, "password": PASSWORD})
    assert status == 200
    token = json.loads(account)["token"]
    listed = json.loads(asked("GET", f"{page}/api/models", token=token)[1])["data"]
    assert MODEL in {model["id"] for model in listed}
    question = {"model": MODEL, "stream": True, "messages": [{"role": "user", "content": "hi"}]}
    status, stream = asked("POST", f"{page}/api/chat/completions", question, token)
    assert status == 200
    assert b"data: [DONE]" in stream
    assert re.search(rb'"content":\s*"This"', stream)
    document = {"name": "a document", "content": "Some text.", "collection_name": "documents"}
    status, read = asked("POST", f"{page}/api/v1/retrieval/process/text", document, token)
    assert (status, json.loads(read)["status"]) == (200, True)


def test_somebody_signs_in_picks_a_model_and_reads_its_answer_in_a_browser(
    page: str,
    browser: "Browser",  # noqa: F811
) -> None:
    tab = browser.new_page(viewport={"width": 1280, "height": 800})
    tab.set_default_timeout(1000 * BROWSER_SECONDS)
    # what is new in this release: shown once, and whenever it likes
    news = tab.get_by_role("button", name=re.compile("^Okay"))
    tab.add_locator_handler(news, news.click)
    tab.goto(page)
    assert tab.get_by_role("button", name=re.compile("Sign up")).count() == 0
    tab.get_by_label("Email").fill("admin@localhost")
    tab.locator("input[type=password]").fill(PASSWORD)
    tab.get_by_role("button", name="Sign in").click()
    chosen = tab.get_by_role("button", name=re.compile("^Selected model"))
    chosen.click()
    tab.get_by_role("option", name=f"Select {MODEL} model").click()
    tab.get_by_role("button", name=f"Selected model: {MODEL}").wait_for()
    tab.locator("#chat-input").click()
    tab.keyboard.type("Who are you?")
    tab.keyboard.press("Enter")
    tab.get_by_text(re.compile(f"This answer is simulated, no model ran.*Model: {re.escape(MODEL)}")).first.wait_for()
    tab.close()
