"""The simulator speaks as the real Ollama does: field by field, event by event."""

import hashlib
import http.client
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from simulator import Behaviour, Model, Server
from tests.models.pod import Pod
from tests.simulated import running

PATIENCE = 120
TEMPLATE = """{{- range .Messages }}{{ .Role }}: {{ .Content }}
{{- range .ToolCalls }}<tool_call>{"name": "{{ .Function.Name }}", "arguments": {{ .Function.Arguments }}}</tool_call>
{{- end }}{{ end }}{{- if .Tools }}tools {{ .Tools }}{{ end }}assistant:"""
"""From it Ollama concludes that the model calls tools, and how it writes a call."""

MEANT = {"object", "type", "role", "finish_reason", "done_reason", "stop_reason", "status", "event", "name", "owned_by"}
"""Keys whose values are words of the API. Of every other text only its being there is compared."""
OF_THE_MODEL = {"model_info", "tensors", "modelfile"}
"""What a model of another make has otherwise."""

HELLO = [{"role": "user", "content": "hello"}]
CITY = {"type": "object", "properties": {"city": {"type": "string", "enum": ["Paris"]}}, "required": ["city"]}
TOOL = {"type": "function", "function": {"name": "weather", "description": "d", "parameters": CITY}}
# Weights of chance call no tool by themselves. Held to this grammar, they can write nothing else.
CALL = {
    "type": "object",
    "properties": {"name": {"type": "string", "enum": ["weather"]}, "arguments": CITY},
    "required": ["name", "arguments"],
}
CALL_FORMAT = {"type": "json_schema", "json_schema": {"name": "call", "schema": CALL}}
FEW = {"num_predict": 3, "temperature": 0}
NAMED = ("/api/chat", "/api/generate", "/api/embed", "/api/embeddings", "/api/show")
COMPATIBLE = ("/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/messages", "/v1/responses")
EVERYTHING = {"messages": HELLO, "prompt": "hello", "input": "hello", "max_tokens": 3}


@dataclass(frozen=True)
class Both:
    """The ports of the real server and of the simulated one."""

    real: int
    simulated: int

    def same(self, method: str, path: str, body: object = None) -> None:
        real, simulated = (heard(port, method, path, body) for port in (self.real, self.simulated))
        assert simulated == real


@pytest.fixture(scope="module")
def both(ollama: Path, weights: bytes, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    pod = Pod(tmp_path_factory.mktemp("simulated") / "pod", ollama)
    like = {"family": "llama", "parameter_size": "116K", "quantization": "unknown", "embedding_length": 64}
    with pod.serving() as real:
        version = real.ask("/api/version")["version"]
        digest = f"sha256:{hashlib.sha256(weights).hexdigest()}"
        assert _asked(real.port, "POST", f"/api/blobs/{digest}", weights)[0] == 201
        for name, more in (("tiny", {}), ("handy", {"template": TEMPLATE})):
            real.ask("/api/create", {"model": name, "files": {"tiny.gguf": digest}, "stream": False, **more})
        models = [Model(name="tiny", capabilities=("completion",), **like), Model(name="handy", weights="tiny", **like)]
        with running(Server("real", models, Behaviour(tokens=9), version=version)) as simulated:
            yield Both(real.port, simulated)


def heard(port: int, method: str, path: str, body: object) -> dict[str, Any]:
    """What can be compared of an answer. Events in a row of one shape are one: how many there are is the model's."""
    status, kind, text = _asked(port, method, path, body)
    kind = kind.partition(";")[0]
    found: dict[str, Any] = {"status": status, "kind": kind}
    if status >= 400:
        return found | {"body": _error(text)}
    if kind == "application/x-ndjson":
        lines = [shape(json.loads(line)) for line in text.splitlines()]
    elif kind == "text/event-stream":
        lines = [_event(block) for block in text.split("\n\n") if block.strip()]
    elif kind == "application/json":
        lines = [shape(json.loads(text))] if text else []
    else:
        return found | {"body": text}
    return found | {"body": [line for number, line in enumerate(lines) if number == 0 or line != lines[number - 1]]}


def shape(value: Any, key: str = "") -> Any:
    """Keys and types, and the words of the API."""
    if key in OF_THE_MODEL:
        return type(value).__name__
    if isinstance(value, dict):
        return {name: shape(inner, name) for name, inner in value.items()}
    if isinstance(value, list):
        # what was made within one second stands in a list in any order: the real one sorts a map by its time
        made = all(isinstance(inner, dict) and {"modified_at", "created"} & inner.keys() for inner in value)
        ordered = sorted(value, key=lambda inner: str(inner.get("name") or inner.get("id"))) if made else value
        shapes = [shape(inner, key) for inner in ordered]
        return [one for number, one in enumerate(shapes) if one not in shapes[:number]]
    if isinstance(value, str):
        return value if key in MEANT else "text"
    return "number" if isinstance(value, (int, float)) and not isinstance(value, bool) else value


def _error(text: str) -> Any:
    """An error word for word, but for the id of the request."""
    try:
        body = json.loads(text)
    except ValueError:
        return text
    return {key: value for key, value in body.items() if key != "request_id"} | {"id": "request_id" in body}


def _event(block: str) -> Any:
    fields = dict(line.split(": ", 1) for line in block.splitlines())
    data = fields["data"]
    return {"event": fields.get("event"), "data": data if data == "[DONE]" else shape(json.loads(data))}


def _asked(port: int, method: str, path: str, body: object) -> tuple[int, str, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    try:
        connection.request(method, path, body if body is None or isinstance(body, bytes) else json.dumps(body))
        response = connection.getresponse()
        return response.status, response.getheader("content-type") or "", response.read().decode(errors="replace")
    finally:
        connection.close()


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/chat", {"model": "tiny", "messages": HELLO, "options": FEW}),
        ("/api/chat", {"model": "TINY:latest", "messages": HELLO, "options": FEW}),
        ("/api/generate", {"model": "tiny", "prompt": "hello", "options": FEW}),
        ("/v1/chat/completions", {"model": "tiny", "messages": HELLO, "max_tokens": 3, "temperature": 0}),
        (
            "/v1/chat/completions",
            {
                "model": "tiny",
                "messages": HELLO,
                "max_tokens": 3,
                "temperature": 0,
                "stream_options": {"include_usage": True},
            },
        ),
        ("/v1/completions", {"model": "tiny", "prompt": "hello", "max_tokens": 3, "temperature": 0}),
        (
            "/v1/completions",
            {"model": "tiny", "prompt": "hello", "max_tokens": 3, "stream_options": {"include_usage": True}, "seed": 1},
        ),
        ("/v1/messages", {"model": "tiny", "messages": HELLO, "max_tokens": 3, "temperature": 0}),
        ("/v1/responses", {"model": "tiny", "input": "hello", "max_output_tokens": 3, "temperature": 0}),
    ],
)
@pytest.mark.parametrize("stream", [True, False])
def test_an_answer_is_written_as_ollama_writes_it(both: Both, path: str, body: dict[str, Any], stream: bool) -> None:
    both.same("POST", path, {**body, "stream": stream})


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/chat", {"messages": HELLO, "tools": [TOOL], "format": CALL}),
        ("/v1/chat/completions", {"messages": HELLO, "tools": [TOOL], "response_format": CALL_FORMAT}),
        (
            "/v1/responses",
            {
                "input": "hello",
                "tools": [{"type": "function", "name": "weather", "description": "d", "parameters": CITY}],
                "text": {"format": {"type": "json_schema", "name": "call", "schema": CALL}},
            },
        ),
    ],
)
@pytest.mark.parametrize("stream", [True, False])
def test_a_call_of_a_tool_is_written_as_ollama_writes_it(
    both: Both, path: str, body: dict[str, Any], stream: bool
) -> None:
    both.same("POST", path, {"model": "handy", "stream": stream, **body})


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/embed", {"input": ["a", "b"]}),
        ("/api/embed", {"input": "a"}),
        ("/api/embed", {"input": "a", "dimensions": 8}),
        ("/api/embed", {}),
        ("/api/embeddings", {"prompt": "a"}),
        ("/api/embeddings", {}),
        ("/v1/embeddings", {"input": "a"}),
        ("/v1/embeddings", {"input": ["a", "b"], "encoding_format": "base64"}),
        ("/api/show", {}),
    ],
)
def test_what_has_no_stream_is_written_as_ollama_writes_it(both: Both, path: str, body: dict[str, Any]) -> None:
    both.same("POST", path, {"model": "tiny", **body})


@pytest.mark.parametrize("more", [{}, {"keep_alive": 0}, {"keep_alive": "5m"}, {"keep_alive": -1}])
@pytest.mark.parametrize("path", ["/api/chat", "/api/generate"])
def test_a_request_without_a_question_loads_or_unloads(both: Both, path: str, more: dict[str, Any]) -> None:
    both.same("POST", path, {"model": "tiny", **more})


def test_a_loaded_model_is_listed_as_ollama_lists_it(both: Both) -> None:
    for port in (both.real, both.simulated):
        _asked(port, "POST", "/api/generate", {"model": "tiny", "keep_alive": -1})
    both.same("GET", "/api/ps")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        *(("GET", path) for path in ("/", "/api/version", "/api/tags", "/v1/models", "/v1/models/tiny")),
        *(("GET", path) for path in ("/v1/models/none", "/nothing", "/api/chat", "/api/nothing")),
        *(("HEAD", path) for path in ("/", "/api/version", "/api/tags", "/nothing")),
        ("POST", "/api/tags"),
        ("DELETE", "/api/delete"),
        ("POST", "/api/copy"),
    ],
)
def test_lists_and_wrong_paths_are_as_ollamas(both: Both, method: str, path: str) -> None:
    both.same(method, path)


@pytest.mark.parametrize("path", [*NAMED, *COMPATIBLE])
@pytest.mark.parametrize(
    "body",
    [
        {**EVERYTHING, "model": "none"},
        EVERYTHING,
        {**EVERYTHING, "model": ""},
        {"model": 3},
        [],
        b"{",
        b"",
        b" ",
    ],
    ids=["unknown", "missing", "empty", "number", "list", "broken", "nothing", "blank"],
)
def test_an_error_is_ollamas_word_for_word(both: Both, path: str, body: object) -> None:
    both.same("POST", path, body)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/chat", {"messages": HELLO, "tools": [TOOL]}),
        ("/v1/chat/completions", {"messages": HELLO, "tools": [TOOL]}),
        ("/v1/chat/completions", {}),
        ("/v1/messages", {}),
        ("/v1/messages", {"max_tokens": 3}),
        ("/v1/embeddings", {}),
        ("/v1/embeddings", {"input": "a", "encoding_format": "hex"}),
        ("/api/embed", {"input": 3}),
        ("/api/chat", {"messages": HELLO, "think": True}),
        ("/api/generate", {"prompt": "hello", "think": True}),
    ],
)
def test_what_a_model_or_a_route_cannot_do_is_refused_in_ollamas_words(
    both: Both, path: str, body: dict[str, Any]
) -> None:
    both.same("POST", path, {"model": "tiny", **body})


def test_a_copy_is_made_and_deleted(both: Both) -> None:
    both.same("POST", "/api/copy", {"source": "tiny", "destination": "twin"})
    both.same("POST", "/api/copy", {"source": "none", "destination": "twin"})
    both.same("POST", "/api/show", {"model": "twin"})
    both.same("DELETE", "/api/delete", {"model": "twin"})
    both.same("DELETE", "/api/delete", {"model": "twin"})
