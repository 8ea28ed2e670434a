"""How a simulated server waits, loads, fails, and says that it is one. Its formats: tests/models/test_simulator.py."""

import asyncio
import http.client
import json
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from simulator import CONTROL, Behaviour, BehaviourError, Model, Server
from simulator.clock import FOREVER, duration
from simulator.schema import instance
from tests.simulated import running

PATIENCE = 15.0
CHAT = {"messages": [{"role": "user", "content": "hello"}]}


class Gate:
    """Lets tokens through one by one."""

    def __init__(self) -> None:
        self.open = threading.Semaphore(0)

    async def __call__(self) -> None:
        end = time.monotonic() + PATIENCE
        while not self.open.acquire(blocking=False):
            assert time.monotonic() < end
            await asyncio.sleep(0.005)


def ask(port: int, method: str, path: str, body: object = None) -> tuple[int, http.client.HTTPMessage, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    try:
        connection.request(method, path, None if body is None else json.dumps(body))
        response = connection.getresponse()
        text = response.read()
        content = json.loads(text) if "json" in response.headers["content-type"] else text.decode()
        return response.status, response.headers, content
    finally:
        connection.close()


def chat(port: int, model: str = "m", **more: object) -> tuple[int, Any]:
    status, _, content = ask(port, "POST", "/api/chat", {"model": model, "stream": False, **CHAT, **more})
    return status, content


def streamed(port: int, path: str = "/api/chat", body: object = None) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    try:
        connection.request("POST", path, json.dumps(body or {"model": "m", **CHAT}))
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)


def in_the_background(pool: ThreadPoolExecutor, port: int, model: str = "m", **more: object) -> Future[tuple[int, Any]]:
    return pool.submit(chat, port, model, **more)


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/"), ("GET", "/api/tags"), ("POST", "/api/chat"), ("GET", "/none"), ("GET", CONTROL)]
)
def test_every_answer_says_that_it_is_simulated(method: str, path: str) -> None:
    with running(Server("t4")) as port:
        assert ask(port, method, path)[1]["x-simulated-by"] == "ollama-fleet simulator t4"


def test_a_text_says_so_itself_and_names_server_and_model() -> None:
    with running(Server("t4", [Model(name="m")])) as port:
        text = chat(port)[1]["message"]["content"]
    assert text.startswith("This answer is simulated") and "t4" in text and "m:latest" in text and "hello" in text


def test_newer_ollamas_say_some_things_otherwise() -> None:
    """As read in their source; older ones are compared with a real one."""
    body = {"model": "m", "stream": True, **CHAT}
    found = {}
    for version in ("0.17.4", "0.32.15"):
        with running(Server("t4", [Model(name="m")], Behaviour(tokens=2), version=version)) as port:
            events = [
                line.removeprefix("data: ") for line in streamed(port, "/v1/chat/completions", body)[1].split("\n\n")
            ]
            deltas = [json.loads(event)["choices"][0]["delta"] for event in events if event.startswith("{")]
            error = ask(port, "POST", "/v1/chat/completions", {**body, "model": "n"})[2]["error"]["type"]
            listed = ask(port, "GET", "/api/tags")[2]["models"][0]
            found[version] = ([sorted(delta) for delta in deltas], error, "capabilities" in listed)
    both, content = ["content", "role"], ["content"]
    assert found == {
        "0.17.4": ([both, both, both], "api_error", False),
        "0.32.15": ([both, content, []], "not_found_error", True),
    }


def test_a_server_lacks_what_its_version_lacks() -> None:
    with running(Server("k80", [Model(name="m")], lacks=("/v1/responses",))) as port:
        assert ask(port, "POST", "/v1/responses", {"model": "m", "input": "hello"})[0] == 404
        assert chat(port)[0] == 200


def test_a_loaded_model_answers_as_many_at_a_time_as_it_may_and_lets_the_others_wait() -> None:
    gate = Gate()
    server = Server("t4", [Model(name="m")], Behaviour(tokens=1, parallel=2, max_queue=0), pace=gate)
    with running(server) as port, ThreadPoolExecutor(5) as pool:
        asked = [in_the_background(pool, port)]
        until(lambda: server.state()["loaded"] == ["m:latest"])
        asked += [in_the_background(pool, port) for _ in range(4)]
        until(lambda: server.memory.active == 5)
        gate.open.release(5)
        assert [future.result()[0] for future in asked] == [200] * 5


def test_who_waits_for_a_load_beyond_the_queue_is_told_that_the_server_is_busy() -> None:
    server = Server("t4", [Model(name="m"), Model(name="n")], Behaviour(load_seconds=60, max_queue=1))
    with ThreadPoolExecutor(2) as pool, running(server) as port:
        first = in_the_background(pool, port)
        until(lambda: server.requests == 1)
        second = in_the_background(pool, port, "n")
        until(lambda: server.memory.waiting == 1)
        status, answer = chat(port, "m")
        assert (status, answer["error"][:11]) == (503, "server busy")
    for future in (first, second):
        with pytest.raises((OSError, http.client.HTTPException)):
            future.result()


def test_a_model_makes_room_for_another_and_another_context_is_another_load() -> None:
    server = Server("t4", [Model(name="m"), Model(name="n"), Model(name="o")], Behaviour(max_loaded=2))
    with running(server) as port:
        for model in "mno":
            chat(port, model)
        assert server.state()["loaded"] == ["o:latest", "n:latest"]
        chat(port, "n", options={"num_ctx": 4096})
        contexts = {model["name"]: model["context_length"] for model in ask(port, "GET", "/api/ps")[2]["models"]}
    assert contexts == {"n:latest": 4096, "o:latest": 8192}


def test_a_model_in_use_is_not_put_out_for_another() -> None:
    gate = Gate()
    server = Server("t4", [Model(name="m"), Model(name="n")], Behaviour(tokens=1, max_loaded=1), pace=gate)
    with running(server) as port, ThreadPoolExecutor(2) as pool:
        first = in_the_background(pool, port)
        until(lambda: server.memory.active == 1)
        second = in_the_background(pool, port, "n")
        until(lambda: server.requests == 2)
        assert server.state()["loaded"] == ["m:latest"]
        gate.open.release(2)
        assert (first.result()[0], second.result()[0]) == (200, 200)
        assert server.state()["loaded"] == ["n:latest"]


def test_names_with_the_same_weights_are_in_memory_once() -> None:
    server = Server("t4", [Model(name="m"), Model(name="n", weights="m")])
    with running(server) as port:
        chat(port, "m")
        chat(port, "n")
        assert server.state()["loaded"] == ["m:latest"]


@pytest.mark.parametrize(("failure", "status"), [("busy", 503), ("missing", 404), ("error", 500)])
def test_a_switch_of_the_control_route_makes_it_fail_and_work_again(failure: str, status: int) -> None:
    with running(Server("t4", [Model(name="m"), Model(name="n")])) as port:
        assert ask(port, "POST", CONTROL, {"failure": failure, "only": ["m:latest"]})[0] == 200
        assert (chat(port)[0], chat(port, "n")[0]) == (status, 200)
        ask(port, "POST", CONTROL, {"failure": "none"})
        assert chat(port)[0] == 200


def test_an_error_in_a_stream_that_has_begun_comes_in_the_stream() -> None:
    with running(Server("t4", [Model(name="m")], Behaviour(failure="error", after=2))) as port:
        status, text = streamed(port)
    lines = [json.loads(line) for line in text.splitlines()]
    assert status == 200
    assert [set(line) & {"message", "error"} for line in lines] == [{"message"}, {"message"}, {"error"}]


@pytest.mark.parametrize("after", [0, 2])
def test_a_cut_breaks_the_connection(after: int) -> None:
    with running(Server("t4", [Model(name="m")], Behaviour(failure="cut", after=after))) as port:
        with pytest.raises((OSError, http.client.HTTPException)):
            streamed(port)
        assert ask(port, "GET", "/api/version")[0] == 200


def test_a_silent_server_answers_nothing_but_its_control_route() -> None:
    with running(Server("t4", behaviour=Behaviour(failure="silent"))) as port:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=0.3)
        connection.request("GET", "/api/version")
        with pytest.raises(TimeoutError):
            connection.getresponse()
        connection.close()
        assert ask(port, "GET", CONTROL)[2]["behaviour"]["failure"] == "silent"


def test_a_client_that_leaves_frees_its_place() -> None:
    server = Server("t4", [Model(name="m")], Behaviour(tokens_per_second=0.01))
    with running(server) as port:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
        connection.request("POST", "/api/chat", json.dumps({"model": "m", **CHAT}))
        until(lambda: server.memory.active == 1)
        connection.close()
        until(lambda: server.memory.active == 0)


@pytest.mark.parametrize(
    "switches",
    [{"colour": 1}, {"failure": "odd"}, {"parallel": 0}, {"tokens": True}, {"only": [1]}, {"load_seconds": "x"}, [1]],
)
def test_a_switch_that_means_nothing_is_refused_and_changes_nothing(switches: object) -> None:
    with running(Server("t4")) as port:
        assert ask(port, "POST", CONTROL, switches)[0] == 400
        assert ask(port, "GET", CONTROL)[2]["behaviour"] == json.loads(json.dumps(vars(Behaviour())))
    with pytest.raises(BehaviourError):
        Behaviour().changed(switches)


SCHEMAS = st.recursive(
    st.one_of(
        st.just({"type": "boolean"}),
        st.just({"type": "null"}),
        st.integers(-5, 5).map(lambda least: {"type": "integer", "minimum": least, "maximum": least + 9}),
        st.integers(0, 20).map(lambda least: {"type": "string", "minLength": least}),
        st.lists(st.text(), min_size=1).map(lambda words: {"enum": words}),
        st.text().map(lambda word: {"const": word}),
    ),
    lambda inner: st.one_of(
        inner.map(lambda items: {"type": "array", "items": items, "minItems": 2}),
        st.dictionaries(st.text(), inner, max_size=3).map(
            lambda properties: {"type": "object", "properties": properties, "required": list(properties)}
        ),
        inner.map(lambda one: {"anyOf": [one, {"type": "null"}]}),
    ),
    max_leaves=4,
)


@given(SCHEMAS)
def test_structured_output_follows_its_schema(schema: dict[str, Any]) -> None:
    Draft202012Validator(schema).validate(instance(schema))


def test_a_schema_may_refer_to_its_definitions() -> None:
    schema = {"$ref": "#/$defs/one", "$defs": {"one": {"type": "object", "properties": {"x": {"$ref": "#/$defs/two"}}}}}
    schema["$defs"]["two"] = {"type": "integer"}  # type: ignore[index]
    assert instance(schema) == {"x": 1}


@pytest.mark.parametrize(
    ("text", "seconds"), [(5, 5), ("5m", 300), ("1h30m", 5400), ("1.5s", 1.5), (-1, FOREVER), ("-1m", FOREVER), (0, 0)]
)
def test_durations_are_read_as_go_reads_them(text: object, seconds: float) -> None:
    assert duration(text) == seconds


@pytest.mark.parametrize("text", ["", "5", "five", "5 m", [], None, True])
def test_what_is_no_duration_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match="invalid duration"):
        duration(text)
