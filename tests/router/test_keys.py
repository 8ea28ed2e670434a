"""Who is let in, what a key may ask for and how often, and that no key leaves the client's hands."""

import http.client
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import pytest

from router.keys import CREDENTIALS
from tests.router.conftest import Fleet, OpenDoor
from tests.router.door import Answer, Door, wait_until
from tests.router.fake_ollama import FakeOllama

SEARCH, EVERYONE = "search-0123456789-abcdefghijklmnop", "everyone-ABCDEFGHIJKLMNOPQRSTUVWXYZ"
KEYS = {"search": SEARCH, "everyone": EVERYONE}
RULES = {
    "keys": {"search": {"models": ["nomic-embed-text"]}, "everyone": {}},
    "clientOptions": "refuse",
    "contexts": {"llama3.1:8b": 8192, "gemma3:4b": 4096},
}
MAP = """
[routes]
"llama3.1:8b" = ["t4"]
"gemma3:4b" = ["k80"]
nomic-embed-text = ["t4"]
embedder = "nomic-embed-text"
"gpt-3.5-turbo" = "llama3.1:8b"
both = {{"llama3.1:8b" = 50, "gemma3:4b" = 50}}
[pools]
t4 = "{t4}"
k80 = "{k80}"
"""


@pytest.fixture(scope="module")
def fleet(envoy: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """One closed door for the tests that change nothing."""
    import sys

    with ExitStack() as stack:
        pools = {name: stack.enter_context(FakeOllama(name).running()) for name in ("t4", "k80")}
        text = MAP.format(**{name: pool.address for name, pool in pools.items()})
        folder = tmp_path_factory.mktemp("keys") / "door"
        door = Door(envoy, folder, text, rules=RULES, keys=KEYS, python=sys.executable)
        stack.callback(door.close)
        yield Fleet(door, pools)


def chat(door: Door, headers: Mapping[str, str], model: str = "llama3.1:8b", path: str = "/api/chat") -> Answer:
    return door.ask("POST", path, {"model": model}, headers)


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": f"Bearer {EVERYONE}"},
        {"authorization": f"bearer {EVERYONE}"},
        {"AUTHORIZATION": f"BEARER   {EVERYONE} "},
        {"x-api-key": EVERYONE},
        {"X-Api-Key": EVERYONE},
        {"x-api-key": EVERYONE, "authorization": f"Bearer {EVERYONE}"},
        {"x-api-key": EVERYONE, "authorization": "Basic dXNlcjpwYXNzd29yZA=="},
    ],
)
def test_a_key_is_taken_from_either_header_in_any_case_and_goes_no_further(
    fleet: Fleet, headers: dict[str, str]
) -> None:
    for method, path, body in (
        ("POST", "/api/chat", {"model": "llama3.1:8b"}),
        ("GET", "/v1/models/llama3.1:8b", None),
        ("POST", "/v1/messages", {"model": "both"}),
    ):
        answer = fleet.door.ask(method, path, body, headers)
        assert answer.status == 200, answer.body
        assert not set(fleet.pools[answer.pool or ""].asked[-1].headers) & set(CREDENTIALS)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": "Bearer "},
        {"authorization": EVERYONE},
        {"authorization": f"Basic {EVERYONE}"},
        {"authorization": f"Bearer {EVERYONE} {EVERYONE}"},
        {"authorization": f"Bearer {EVERYONE[:-1]}"},
        {"authorization": f"Bearer {EVERYONE}x"},
        {"authorization": f"Bearer {EVERYONE.lower()}"},
        {"authorization": f"Bearer {'x' * 10_000}"},
        {"authorization": "Bearer everyone"},
        {"x-api-key": "wrong"},
        {"x-api-key": f"Bearer {EVERYONE}"},
        {"x-api-key": EVERYONE, "authorization": "Bearer wrong"},
        {"x-api-key": SEARCH, "authorization": f"Bearer {EVERYONE}"},
        {"api-key": EVERYONE},
        {"cookie": f"authorization=Bearer {EVERYONE}"},
    ],
)
def test_without_one_known_key_every_route_is_401_in_the_shape_of_its_api(
    fleet: Fleet, headers: dict[str, str]
) -> None:
    before = fleet.asked_in_all
    for method, path in (
        ("POST", "/api/chat"),
        ("POST", "/v1/chat/completions"),
        ("POST", "/v1/messages"),
        ("GET", "/api/tags"),
        ("GET", "/v1/models/llama3.1:8b"),
        ("POST", "/api/pull"),
        ("GET", "/nothing"),
    ):
        answer = fleet.door.ask(method, path, None if method == "GET" else {"model": "llama3.1:8b"}, headers)
        assert (answer.status, answer.headers["www-authenticate"]) == (401, "Bearer"), path
        error = answer.json["error"]
        text = error if path.startswith(("/api/", "/nothing")) else error["message"]
        assert "key" in text
        if not isinstance(error, str):
            assert error["type"] == "authentication_error"
    assert fleet.asked_in_all == before


def test_two_lines_of_one_header_are_no_key(fleet: Fleet) -> None:
    for name, value in (("authorization", f"Bearer {EVERYONE}"), ("x-api-key", EVERYONE)):
        connection = http.client.HTTPConnection("127.0.0.1", fleet.door.port, timeout=10)
        connection.putrequest("GET", "/api/tags")
        connection.putheader(name, value)
        connection.putheader(name, value)
        connection.endheaders()
        assert connection.getresponse().status == 401
        connection.close()


def test_no_key_is_needed_to_see_that_the_door_is_there(fleet: Fleet) -> None:
    assert [fleet.door.ask("GET", path).status for path in ("/", "/healthz")] == [200, 200]


def test_management_stays_closed_to_the_bearer_of_a_key(fleet: Fleet) -> None:
    assert fleet.door.ask("POST", "/api/pull", {"model": "x"}, bearer(EVERYONE)).status == 403
    assert fleet.door.ask("GET", "/nothing", None, bearer(EVERYONE)).status == 404


@pytest.mark.parametrize("name", ["nomic-embed-text", "library/Nomic-Embed-Text:latest", "embedder"])
def test_a_key_for_one_model_may_ask_for_it_by_every_name(fleet: Fleet, name: str) -> None:
    assert chat(fleet.door, bearer(SEARCH), name, "/api/embed").status == 200


@pytest.mark.parametrize("name", ["llama3.1:8b", "gpt-3.5-turbo", "both", "none"])
def test_a_key_for_one_model_may_ask_for_no_other(fleet: Fleet, name: str) -> None:
    before = fleet.asked_in_all
    for path, shape in (
        ("/api/chat", lambda text: {"error": text}),
        ("/v1/embeddings", lambda text: _openai(text, "permission_error")),
        ("/v1/messages", lambda text: {"type": "error", "error": {"type": "permission_error", "message": text}}),
    ):
        answer = chat(fleet.door, bearer(SEARCH), name, path)
        assert (answer.status, answer.json) == (403, shape(f"this key may not ask for model '{name}'"))
    assert fleet.door.ask("GET", f"/v1/models/{name}", None, bearer(SEARCH)).status == 403
    assert fleet.asked_in_all == before


def _openai(text: str, kind: str) -> object:
    return {"error": {"message": text, "type": kind, "param": None, "code": None}}


@pytest.mark.parametrize(
    "body",
    [
        '{"model": "nomic-embed-text", "Model": "llama3.1:8b"}',
        '{"MODEL": "llama3.1:8b", "model": "nomic-embed-text"}',
        '{"model": "nomic-embed-text", "model": "nomic-embed-text"}',
        '{"model": "nomic-embed-text", "\\u004dodel": "llama3.1:8b"}',
        '{"model": "nomic-embed-text", "\\u006dodel": "llama3.1:8b"}',
        '{"model": "", "name": "nomic-embed-text", "Model": "llama3.1:8b"}',
        '{"model": "", "name": "nomic-embed-text", "nAme": "llama3.1:8b"}',
        '{"x": "' + "x" * 65530 + '", "model": "nomic-embed-text", "moDel": "llama3.1:8b"}',
    ],
)
def test_no_second_spelling_of_the_model_gets_past_the_check(fleet: Fleet, body: str) -> None:
    before = fleet.asked_in_all
    answer = fleet.door.ask("POST", "/api/show", body.encode(), bearer(SEARCH))
    assert answer.status == 400
    assert "more than once" in answer.json["error"]
    assert fleet.asked_in_all == before


@pytest.mark.parametrize(
    "body",
    [
        {"model": "llama3.1:8b", "tools": [{"function": {"name": "f", "parameters": {"Model": {}, "model": {}}}}]},
        {"model": "llama3.1:8b", "messages": [{"content": 'say "model": and "Model": \\u004dodel and \u017f'}]},
        {"model": "llama3.1:8b", "format": {"properties": {"model": {"enum": ["model"]}, "options": {"options": 1}}}},
        {"messages": [{"content": "\\"}, ["model", "model"]], "model": "llama3.1:8b"},
    ],
)
def test_what_a_prompt_or_a_tool_says_is_no_second_model(fleet: Fleet, body: object) -> None:
    assert fleet.door.ask("POST", "/api/chat", body, bearer(EVERYONE)).status == 200


@pytest.mark.parametrize(
    ("model", "options", "status"),
    [
        ("llama3.1:8b", {}, 200),
        ("llama3.1:8b", {"temperature": 1, "num_predict": 5}, 200),
        ("llama3.1:8b", {"num_ctx": 8192}, 200),
        ("llama3.1:8b", {"num_ctx": None}, 200),
        ("gpt-3.5-turbo", {"num_ctx": 8192}, 200),
        ("gemma3:4b", {"num_ctx": 4096}, 200),
        ("llama3.1:8b", {"num_ctx": 4096}, 400),
        ("llama3.1:8b", {"num_ctx": "8192"}, 400),
        ("both", {"num_ctx": 8192}, 400),
        ("nomic-embed-text", {"num_ctx": 8192}, 400),
        ("llama3.1:8b", {"num_gpu": 0}, 400),
        ("llama3.1:8b", {"num_gpu": 99}, 400),
        ("llama3.1:8b", {"main_gpu": 0}, 400),
        ("llama3.1:8b", {"num_ctx": 8192, "main_gpu": 1}, 400),
    ],
)
def test_options_that_undo_the_plan_are_refused_with_the_reason(
    fleet: Fleet, model: str, options: object, status: int
) -> None:
    answer = fleet.door.ask("POST", "/api/generate", {"model": model, "options": options}, bearer(EVERYONE))
    assert answer.status == status, answer.body
    if status == 400:
        assert "fixed by the plan: leave it out" in answer.json["error"]


@pytest.mark.parametrize(
    "body",
    [
        '{"model": "llama3.1:8b", "Options": {"num_gpu": 0}}',
        '{"model": "llama3.1:8b", "options": {"num_gpu": 0}, "options": {}}',
        '{"model": "llama3.1:8b", "option\u017f": {"num_gpu": 0}}',
        '{"model": "llama3.1:8b", "option\\u017f": {"num_gpu": 0}}',
        '{"model": "llama3.1:8b", "\\u006fptions": {"num_gpu": 0}, "options": {}}',
    ],
)
def test_no_second_spelling_of_the_options_gets_past_the_check(fleet: Fleet, body: str) -> None:
    answer = fleet.door.ask("POST", "/api/generate", body.encode(), bearer(EVERYONE))
    assert (answer.status, "more than once" in answer.json["error"]) == (400, True)


@pytest.fixture
def t4(ollama: Callable[..., FakeOllama]) -> FakeOllama:
    return ollama("t4")


def _map(pool: FakeOllama) -> str:
    return f'[routes]\nm = ["t4"]\nn = ["t4"]\n[pools]\nt4 = "{pool.address}"\n'


def test_a_key_has_so_many_requests_a_minute_and_the_others_are_free(open_door: OpenDoor, t4: FakeOllama) -> None:
    rules = {"keys": {"search": {"requestsPerMinute": 5}, "everyone": {}}}
    door = open_door(_map(t4), rules=rules, keys=KEYS)
    answers = [chat(door, bearer(SEARCH), "m", "/v1/messages") for _ in range(8)]
    refused = [answer for answer in answers if answer.status != 200]
    assert 2 <= len(refused) <= 3
    assert {answer.status for answer in refused} == {429}
    assert refused[0].headers["retry-after"] == "12"
    assert refused[0].json["error"]["type"] == "rate_limit_error"
    assert {chat(door, bearer(EVERYONE), "m").status for _ in range(20)} == {200}


def test_keys_are_exchanged_under_load_and_nothing_is_lost(open_door: OpenDoor, t4: FakeOllama) -> None:
    door = open_door(_map(t4), rules={"keys": {"everyone": {}}}, keys={"everyone": EVERYONE})
    stop, statuses = threading.Event(), []

    def load() -> None:
        while not stop.is_set():
            statuses.append(chat(door, bearer(EVERYONE), "m").status)

    threads = [threading.Thread(target=load) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        for number in range(8):
            other = f"other-{number}-0123456789abcdef"
            door.rule({"keys": {"everyone": {}, "other": {}}}, {"everyone": EVERYONE, "other": other})
            wait_until(lambda other=other: chat(door, bearer(other), "m").status == 200)  # type: ignore[misc]
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert (len(statuses) > 20, set(statuses)) == (True, {200})
    assert chat(door, bearer("other-0-0123456789abcdef"), "m").status == 401


def test_an_exchanged_key_ends_the_old_one(open_door: OpenDoor, t4: FakeOllama) -> None:
    door = open_door(_map(t4), keys={"everyone": EVERYONE})
    door.rule({}, {"everyone": "another-0123456789abcdef"})
    wait_until(lambda: chat(door, bearer("another-0123456789abcdef"), "m").status == 200)
    assert chat(door, bearer(EVERYONE), "m").status == 401


def test_rules_or_keys_that_break_leave_the_old_ones_in_force_and_say_so(open_door: OpenDoor, t4: FakeOllama) -> None:
    door = open_door(_map(t4), keys={"everyone": EVERYONE})
    digest = (door.keys.folder / "everyone").read_text()
    for broken in (
        (door.keys.folder / "everyone").unlink,
        lambda: door.keys.publish({"everyone": EVERYONE}),
        lambda: door.keys.publish({"everyone": ""}),
        (door.map.folder / "door.json").unlink,
        lambda: door.map.publish({**door.published, "door.json": "{"}),
        lambda: door.map.publish({**door.published, "door.json": json.dumps({"auth": "keys", "keys": {}})}),
    ):
        broken()
        wait_until(lambda: door.metric("ollama_fleet_door_faults") == 1)
        assert chat(door, bearer(EVERYONE), "m").status == 200
        assert chat(door, {}, "m").status == 401
        door.keys.publish({"everyone": digest})
        door.map.publish(door.published)
        wait_until(lambda: door.metric("ollama_fleet_door_faults") == 0)
    log = door.log()
    assert "the last good ones serve on" in log
    assert EVERYONE not in log
    assert digest not in log


def test_a_key_stands_in_no_file_no_log_and_no_answer_of_the_administration(fleet: Fleet) -> None:
    from tests.router.door import ask

    chat(fleet.door, bearer(EVERYONE))
    chat(fleet.door, {"x-api-key": SEARCH}, "none")
    chat(fleet.door, bearer("a-wrong-key-0123456789"))
    wait_until(lambda: '"key":"everyone"' in fleet.door.log())
    shown = [
        *fleet.door.files().values(),
        fleet.door.log(),
        ask(fleet.door.metrics_port, "GET", "/metrics").body.decode(),
    ]
    shown += [ask(fleet.door.admin_port, "GET", path).body.decode() for path in ("/config_dump", "/stats", "/clusters")]
    for key in (EVERYONE, SEARCH, "a-wrong-key-0123456789"):
        assert not [text for text in shown if key in text]


def test_a_door_that_asks_for_no_key_takes_any_and_hands_none_on(open_door: OpenDoor, t4: FakeOllama) -> None:
    door = open_door(_map(t4))
    for headers in ({}, bearer("whatever"), {"x-api-key": "whatever"}):
        assert chat(door, headers, "m").status == 200
        assert not set(t4.asked[-1].headers) & set(CREDENTIALS)


def test_options_pass_where_the_file_says_so(open_door: OpenDoor, t4: FakeOllama) -> None:
    door = open_door(_map(t4), rules={"clientOptions": "pass", "contexts": {"m": 8192}})
    assert door.chat("m", options={"num_ctx": 1, "num_gpu": 0}).status == 200


def test_the_file_says_how_large_a_request_may_be(open_door: OpenDoor, t4: FakeOllama) -> None:
    door = open_door(_map(t4), rules={"maxBody": 2000})
    assert door.chat("m", x="x" * 1000).status == 200
    assert door.chat("m", x="x" * 2000).status == 413


def test_only_a_named_page_may_call_from_a_browser(open_door: OpenDoor, t4: FakeOllama) -> None:
    page = "https://chat.example.org"
    # more than a regular expression may be long
    pages = [*(f"https://chat{number}.of-a-rather-long-name.example.org:8443" for number in range(30)), page]
    door = open_door(_map(t4), rules={"origins": pages, "keys": {"everyone": {}}}, keys={"everyone": EVERYONE})
    wish = {"access-control-request-method": "POST", "access-control-request-headers": "authorization"}
    asked = door.ask("OPTIONS", "/api/chat", None, {"origin": page, **wish})
    assert (asked.status, asked.headers["access-control-allow-origin"]) == (200, page)
    assert "authorization" in asked.headers["access-control-allow-headers"]
    answer = chat(door, {"origin": page, **bearer(EVERYONE)}, "m")
    assert (answer.status, answer.headers["access-control-allow-origin"]) == (200, page)
    assert "origin" not in t4.asked[-1].headers
    for other in ("https://evil.example", "https://chat-example.org", f"{page}.evil.example", "null"):
        assert door.ask("OPTIONS", "/api/chat", None, {"origin": other, **wish}).status in (401, 403)
        refused = chat(door, {"origin": other, **bearer(EVERYONE)}, "m")
        assert (refused.status, "access-control-allow-origin" in refused.headers) == (403, False)


def test_any_page_may_call_where_the_file_says_so(open_door: OpenDoor, t4: FakeOllama) -> None:
    door = open_door(_map(t4), rules={"origins": ["*"]})
    for page in ("https://chat.example.org", "null"):
        wish = {"origin": page, "access-control-request-method": "POST"}
        assert door.ask("OPTIONS", "/api/chat", None, wish).status == 200
        assert chat(door, {"origin": page}, "m").status == 200


def test_without_named_pages_no_answer_speaks_of_origins(fleet: Fleet) -> None:
    answer = chat(fleet.door, {"origin": "https://chat.example.org", **bearer(EVERYONE)})
    assert not [name for name in answer.headers if name.startswith("access-control")]
