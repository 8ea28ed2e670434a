"""What a client meets at the door: each request at the pool of its model, each refusal in the shape of its API."""

import contextlib
import http.client
import json
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from router.rules import LARGEST_BODY
from tests.router.conftest import Fleet, OpenDoor
from tests.router.door import ANSWER_SECONDS
from tests.router.fake_ollama import FakeOllama

OLLAMA_PATHS = [f"/api/{name}" for name in ("chat", "generate", "embed", "embeddings", "show")]
OPENAI_PATHS = [f"/v1/{name}" for name in ("chat/completions", "completions", "embeddings", "responses")]
ANTHROPIC = "/v1/messages"


def ollama_error(message: str) -> dict[str, Any]:
    return {"error": message}


def openai_error(message: str, kind: str) -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "param": None, "code": None}}


def anthropic_error(message: str, kind: str) -> dict[str, Any]:
    return {"type": "error", "error": {"type": kind, "message": message}}


@pytest.mark.parametrize("path", [*OLLAMA_PATHS, *OPENAI_PATHS, ANTHROPIC])
def test_a_request_goes_to_the_pool_of_its_model(fleet: Fleet, path: str) -> None:
    for model, pool in (("llama3.1:8b", "t4"), ("nomic-embed-text", "a100"), ("gemma3:4b", "m60")):
        body = json.dumps({"model": model, "messages": []}).encode()
        answer = fleet.door.ask("POST", path, body)
        assert (answer.status, answer.json, answer.pool) == (200, {"from": pool}, pool)
        assert answer.headers["x-fleet-attempts"] == "1"
        assert not [name for name in answer.headers if name.startswith("x-envoy-")]
        arrived = fleet.pools[pool].asked[-1]
        assert (arrived.method, arrived.path, arrived.body) == ("POST", path, body)


@pytest.mark.parametrize(
    ("name", "pool"),
    [
        ("nomic-embed-text", "a100"),
        ("nomic-embed-text:latest", "a100"),
        ("Nomic-Embed-Text:LATEST", "a100"),
        ("library/nomic-embed-text", "a100"),
        ("registry.ollama.ai/library/nomic-embed-text:latest", "a100"),
        ("HF.co/some/model:q4_k_m", "m60"),
        ("gpt-3.5-turbo", "t4"),
        ("GPT-3.5-Turbo:latest", "t4"),
    ],
)
def test_a_name_is_compared_as_ollama_does_it(fleet: Fleet, name: str, pool: str) -> None:
    assert fleet.door.chat(name).pool == pool


def test_an_alias_arrives_under_its_own_name(fleet: Fleet) -> None:
    assert fleet.door.chat("gpt-3.5-turbo").pool == "t4"
    assert json.loads(fleet.pools["t4"].asked[-1].body) == {"model": "gpt-3.5-turbo"}


def test_show_takes_the_old_key_for_the_name(fleet: Fleet) -> None:
    assert fleet.door.ask("POST", "/api/show", {"name": "nomic-embed-text"}).pool == "a100"


@pytest.mark.parametrize("name", ["gemma3:4b", "gemma3%3A4b", "GEMMA3:4b"])
def test_a_model_is_described_by_its_own_pool(fleet: Fleet, name: str) -> None:
    answer = fleet.door.ask("GET", f"/v1/models/{name}")
    assert (answer.status, answer.pool) == (200, "m60")
    assert fleet.door.ask("GET", "/v1/models/none").json == openai_error("model 'none' not found", "not_found_error")


@pytest.mark.parametrize("kind", [None, "application/json", "application/x-www-form-urlencoded", "text/plain"])
def test_the_content_type_does_not_matter(fleet: Fleet, kind: str | None) -> None:
    headers = {} if kind is None else {"content-type": kind}
    assert fleet.door.ask("POST", "/api/chat", b'{"model": "gemma3:4b"}\n', headers).pool == "m60"


def test_a_body_of_many_megabytes_arrives_whole(fleet: Fleet) -> None:
    body = json.dumps({"images": ["x" * 20_000_000], "model": "gemma3:4b"}).encode()
    assert fleet.door.ask("POST", "/api/chat", body).pool == "m60"
    assert fleet.pools["m60"].asked[-1].body == body


def test_a_body_beyond_the_limit_is_413(fleet: Fleet) -> None:
    before = fleet.asked_in_all
    connection = http.client.HTTPConnection("127.0.0.1", fleet.door.port, timeout=ANSWER_SECONDS)
    try:
        connection.putrequest("POST", "/api/chat")
        connection.putheader("content-length", str(LARGEST_BODY + 2**20))
        connection.endheaders(b'{"model": "gemma3:4b", "images": ["')
        with contextlib.suppress(ConnectionError):  # the door answers and hangs up before it has all of it
            for _ in range(LARGEST_BODY // 2**20):
                connection.send(b"x" * 2**20)
        response = connection.getresponse()
        assert (response.status, json.loads(response.read())) == (413, ollama_error("request body too large"))
    finally:
        connection.close()
    assert fleet.asked_in_all == before


def test_an_answer_streams_chunk_by_chunk(fleet: Fleet) -> None:
    pool = fleet.pools["k80"]
    pool.gate = threading.Semaphore(0)
    connection = http.client.HTTPConnection("127.0.0.1", fleet.door.port, timeout=ANSWER_SECONDS)
    try:
        connection.request("POST", "/api/chat", json.dumps({"model": "llama3.2:3b", "stream": True, "chunks": 5}))
        pool.gate.release()
        response = connection.getresponse()
        for number in range(5):
            # The pool has written nothing beyond this line: it waits for the next release.
            assert json.loads(response.readline()) == {"from": "k80", "number": number}
            pool.gate.release()
        assert response.read() == b""
    finally:
        pool.gate = None
        connection.close()


def test_a_split_follows_its_weights(fleet: Fleet) -> None:
    pools = Counter(fleet.door.chat("assistant").pool for _ in range(600))
    assert set(pools) == {"k80", "m60"}
    assert 0.84 < pools["k80"] / 600 < 0.96


@pytest.mark.parametrize(
    ("method", "path"),
    [
        *(("POST", f"/api/{name}") for name in ("pull", "push", "create", "copy", "me", "signout")),
        *(("POST", f"/api/{name}") for name in ("blobs/sha256:00", "experimental/web_search")),
        *(("DELETE", f"/api/{name}") for name in ("delete", "user/keys/x")),
        ("HEAD", "/api/blobs/sha256:00"),
        ("GET", "/api/pull"),
        ("POST", "//api//pull"),
        ("POST", "/api/%70ull"),
        ("POST", "/api/chat/../pull"),
        ("POST", "/api/pull?x=/api/chat"),
    ],
)
@pytest.mark.parametrize("spoofed", ["gemma3:4b", "assistant:latest"])
def test_a_management_route_is_refused_and_reaches_no_pool(fleet: Fleet, method: str, path: str, spoofed: str) -> None:
    before = fleet.asked_in_all
    answer = fleet.door.ask(method, path, {"model": "gemma3:4b"}, {"x-ollama-model": spoofed})
    assert answer.status == 403
    if method != "HEAD":
        assert answer.json == ollama_error("this route manages a server and is closed at the door")
    assert fleet.asked_in_all == before


@pytest.mark.parametrize(
    "path", ["/api/nothing", "/debug/pprof", "/API/pull", "/api/pull/", "/api/chat/x", "/v2", "/v1/models/a/b"]
)
def test_an_unknown_path_is_404_and_reaches_no_pool(fleet: Fleet, path: str) -> None:
    before = fleet.asked_in_all
    spoofed = {"x-ollama-model": "assistant:latest"}
    assert {fleet.door.ask(method, path, None, spoofed).status for method in ("GET", "POST")} == {404}
    assert fleet.asked_in_all == before


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("GET", "/api/chat", "POST"),
        ("DELETE", ANTHROPIC, "POST"),
        ("POST", "/api/tags", "GET, HEAD"),
        ("POST", "/", "GET, HEAD"),
        ("POST", "/v1/models/gemma3:4b", "GET"),
        ("GET", "/v1/audio/transcriptions", "POST"),
    ],
)
def test_a_wrong_method_is_405_and_says_which_is_right(fleet: Fleet, method: str, path: str, allow: str) -> None:
    answer = fleet.door.ask(method, path)
    assert (answer.status, answer.headers["allow"]) == (405, allow)


@pytest.mark.parametrize(
    ("body", "status", "message", "kind"),
    [
        (b'{"model": "none"}', 404, "model 'none' not found", "not_found_error"),
        (b'{"model": "a\\"b\\r\\nx: y"}', 404, "model 'a\"b\r\nx: y' not found", "not_found_error"),
        (b'{"model": "m\xc3\xbc"}', 404, "model 'm\u00fc' not found", "not_found_error"),
        (b'{"model": 3}', 400, "model must be a string", "invalid_request_error"),
        (b'{"model": true}', 400, "model must be a string", "invalid_request_error"),
        (b'{"model": null}', 400, "model is required", "invalid_request_error"),
        (b"{}", 400, "model is required", "invalid_request_error"),
        (b"", 400, "model is required", "invalid_request_error"),
        (b"{", 400, "invalid JSON in request body", "invalid_request_error"),
    ],
)
def test_an_error_has_the_shape_of_the_api_that_was_asked(
    fleet: Fleet, body: bytes, status: int, message: str, kind: str
) -> None:
    before = fleet.asked_in_all
    for path, expected in (
        *((path, ollama_error(message)) for path in OLLAMA_PATHS),
        *((path, openai_error(message, kind)) for path in OPENAI_PATHS),
        (ANTHROPIC, anthropic_error(message, kind)),
    ):
        answer = fleet.door.ask("POST", path, body)
        assert (answer.status, answer.json) == (status, expected), path
        assert answer.headers["content-type"] == "application/json"
    assert fleet.asked_in_all == before


def test_a_refusal_of_the_protocol_is_json_too(fleet: Fleet) -> None:
    answer = fleet.door.ask("GET", "/api%2ftags")
    assert (answer.status, answer.json) == (400, ollama_error("bad request: path_normalization_failed"))


def test_the_door_answers_by_itself_what_needs_no_pool(fleet: Fleet) -> None:
    before = fleet.asked_in_all
    assert fleet.door.ask("GET", "/").body == b"Ollama is running"
    assert fleet.door.ask("HEAD", "/").status == 200
    assert set(fleet.door.ask("GET", "/api/version").json) == {"version"}
    names = [
        "assistant:latest",
        "gemma3:4b",
        "gpt-3.5-turbo:latest",
        "hf.co/some/Model:Q4_K_M",
        "llama3.1:8b",
        "llama3.2:3b",
        "nomic-embed-text:latest",
    ]
    assert [model["model"] for model in fleet.door.ask("GET", "/api/tags").json["models"]] == names
    models = fleet.door.ask("GET", "/v1/models").json
    assert models["object"] == "list"
    assert [model["id"] for model in models["data"]] == names
    assert fleet.asked_in_all == before


def test_the_lists_of_a_large_fleet_are_whole(open_door: OpenDoor) -> None:
    models = "\n".join(f'"some-family-{number}:8b" = ["t4"]' for number in range(300))
    door = open_door(f'[routes]\n{models}\n[pools]\nt4 = "127.0.0.1:9"\n')
    assert len(door.ask("GET", "/api/tags").json["models"]) == 300
    assert len(door.ask("GET", "/v1/models").json["data"]) == 300


def test_what_the_door_lacks_says_why(fleet: Fleet) -> None:
    spoken = fleet.door.ask("POST", "/v1/audio/transcriptions", b"x")
    assert spoken.status == 501
    assert "multipart" in spoken.json["error"]["message"]


def test_internal_headers_from_outside_decide_nothing(fleet: Fleet) -> None:
    spoofed = {
        "x-ollama-model": "gemma3:4b",
        "x-envoy-upstream-rq-timeout-ms": "1",
        "x-envoy-max-retries": "9",
        "x-envoy-original-path": "/api/pull",
        "x-fleet-since": "1",
        "x-fleet-slept": "k80",
        "x-fleet-asleep": "yes",
        "x-fleet-key": "root",
    }
    pool = fleet.pools["k80"]
    pool.delay = 0.2
    try:
        answer = fleet.door.ask("POST", "/api/chat", {"model": "llama3.2:3b"}, spoofed)
    finally:
        pool.delay = 0.0
    assert (answer.status, answer.pool) == (200, "k80")
    assert not set(spoofed) & set(pool.asked[-1].headers)


def test_a_site_with_tls_is_reached_by_its_name(
    open_door: OpenDoor, ollama: Callable[..., FakeOllama], certificate: Path
) -> None:
    rig = ollama("rig", certificate)
    text = f'[routes]\nm = ["rig"]\nn = ["other"]\n[pools]\nrig = {{url = "https://localhost:{rig.port}"}}\n'
    # The same server under a name that its certificate does not have.
    door = open_door(text + f'other = {{url = "https://127.0.0.1:{rig.port}"}}\n', certificates=certificate)
    assert door.chat("m").pool == "rig"
    assert rig.asked[-1].headers["host"] == "localhost"
    assert rig.probed == {"localhost"}
    assert door.chat("n").status == 503
    assert len(rig.asked) == 1
