"""The official Python clients of Ollama, OpenAI and Anthropic at the door: what they get, and what they raise."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anthropic
import httpx
import ollama
import openai
import pytest
from pydantic import BaseModel

from simulator import Asked, Behaviour, Model, Server
from tests.router.door import Door
from tests.simulated import running

CHAT, EMBEDDER, SPLIT = "llama3.1:8b", "nomic-embed-text", "assistant"
HELLO: list[Any] = [{"role": "user", "content": "hello"}]
SIMULATED = "This answer is simulated"
CITY = {"type": "object", "properties": {"city": {"type": "string", "enum": ["Paris"]}}, "required": ["city"]}
TOOL: Any = {"type": "function", "function": {"name": "weather", "description": "of a city", "parameters": CITY}}
LENGTH = 12


class Country(BaseModel):
    name: str
    capital: str
    inhabitants: int
    languages: list[str]


@dataclass(frozen=True)
class Clients:
    """A door, the servers behind it, and the three clients that know only its address."""

    door: Door
    servers: dict[str, Server]
    ollama: ollama.Client
    openai: openai.OpenAI
    anthropic: anthropic.Anthropic

    def behave(self, **switches: object) -> None:
        for server in self.servers.values():
            server.behaviour = Behaviour().changed(switches)


@pytest.fixture(scope="module")
def _clients(envoy: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clients]:
    with ExitStack() as stack:
        servers = {
            "t4": Server("t4", [Model(name=CHAT), Model(name="gemma3:4b"), Model(name=SPLIT)]),
            "a100": Server(
                "a100", [Model(name=CHAT), Model(name=EMBEDDER, capabilities=("embedding",)), Model(name=SPLIT)]
            ),
        }
        ports = {name: stack.enter_context(running(server)) for name, server in servers.items()}
        pools = "\n".join(f'{name} = "127.0.0.1:{port}"' for name, port in ports.items())
        text = f'[routes]\n"{CHAT}" = ["t4", "a100"]\n{EMBEDDER} = ["a100"]\n"gemma3:4b" = ["t4"]\n[pools]\n{pools}\n'
        door = Door(envoy, tmp_path_factory.mktemp("clients") / "door", text, python=sys.executable)
        stack.callback(door.close)
        url = f"http://127.0.0.1:{door.port}"
        yield Clients(
            door,
            servers,
            ollama.Client(host=url, trust_env=False),
            openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0),
            anthropic.Anthropic(base_url=url, api_key="none", max_retries=0),
        )


@pytest.fixture
def clients(_clients: Clients) -> Iterator[Clients]:
    _clients.behave()
    yield _clients
    _clients.behave()


class TestOllama:
    def test_chats(self, clients: Clients) -> None:
        answer = clients.ollama.chat(CHAT, HELLO)
        assert answer.message.content and answer.message.content.startswith(SIMULATED)
        assert (answer.done, answer.done_reason, answer.model) == (True, "stop", CHAT)

    def test_streams_a_chat(self, clients: Clients) -> None:
        clients.behave(tokens=LENGTH)
        chunks = list(clients.ollama.chat(CHAT, HELLO, stream=True))
        assert len(chunks) == LENGTH + 1
        assert "".join(chunk.message.content or "" for chunk in chunks).startswith(SIMULATED)
        assert [chunk.done for chunk in chunks] == [False] * LENGTH + [True]

    def test_generates_with_and_without_a_stream(self, clients: Clients) -> None:
        whole = clients.ollama.generate(CHAT, "hello").response
        assert "".join(part.response for part in clients.ollama.generate(CHAT, "hello", stream=True)) == whole

    def test_stops_at_the_limit_that_is_asked_for(self, clients: Clients) -> None:
        answer = clients.ollama.chat(CHAT, HELLO, options={"num_predict": 3})
        assert (answer.done_reason, answer.eval_count) == ("length", 3)

    def test_calls_a_tool_and_takes_its_result(self, clients: Clients) -> None:
        message = clients.ollama.chat(CHAT, HELLO, tools=[TOOL]).message
        assert message.tool_calls
        assert (message.tool_calls[0].function.name, message.tool_calls[0].function.arguments) == (
            "weather",
            {"city": "Paris"},
        )
        result = {"role": "tool", "tool_name": "weather", "content": "rain"}
        answer = clients.ollama.chat(CHAT, [*HELLO, message, result], tools=[TOOL])
        assert answer.message.content and answer.message.content.endswith("Asked: rain")

    def test_gets_structured_output(self, clients: Clients) -> None:
        answer = clients.ollama.chat(CHAT, HELLO, format=Country.model_json_schema())
        assert Country.model_validate_json(answer.message.content or "").inhabitants == 1

    def test_embeds(self, clients: Clients) -> None:
        one, two = clients.ollama.embed(EMBEDDER, ["one", "two"]).embeddings
        assert len(one) == len(two) == 256
        assert one != two
        assert clients.ollama.embed(EMBEDDER, "one").embeddings[0] == one
        assert len(clients.ollama.embeddings(EMBEDDER, "one").embedding) == 256

    def test_lists_and_shows(self, clients: Clients) -> None:
        listed = [model.model for model in clients.ollama.list().models]
        assert listed == ["gemma3:4b", CHAT, f"{EMBEDDER}:latest"]
        assert clients.ollama.show(EMBEDDER).capabilities == ["embedding"]

    @pytest.mark.parametrize(
        ("switches", "model", "status"),
        [
            ({}, "none", 404),
            ({}, EMBEDDER, 400),
            ({"failure": "busy"}, CHAT, 503),
            ({"failure": "error"}, CHAT, 500),
        ],
    )
    def test_raises_its_error(self, clients: Clients, switches: dict[str, Any], model: str, status: int) -> None:
        clients.behave(**switches)
        with pytest.raises(ollama.ResponseError) as raised:
            clients.ollama.chat(model, HELLO)
        assert (raised.value.status_code, bool(raised.value.error)) == (status, True)

    def test_raises_its_error_in_a_stream_that_has_begun(self, clients: Clients) -> None:
        clients.behave(failure="error", after=2)
        chunks = clients.ollama.chat(CHAT, HELLO, stream=True)
        assert next(chunks).message.content and next(chunks).message.content
        with pytest.raises(ollama.ResponseError, match="terminated"):
            next(chunks)

    def test_notices_a_stream_that_breaks(self, clients: Clients) -> None:
        clients.behave(failure="cut", after=2)
        with pytest.raises(httpx.RemoteProtocolError):
            list(clients.ollama.chat(CHAT, HELLO, stream=True))

    def test_may_not_pull(self, clients: Clients) -> None:
        with pytest.raises(ollama.ResponseError, match="closed at the door") as raised:
            clients.ollama.pull(CHAT)
        assert raised.value.status_code == 403


class TestOpenAI:
    def test_chats(self, clients: Clients) -> None:
        answer = clients.openai.chat.completions.create(model=CHAT, messages=HELLO)
        (choice,) = answer.choices
        assert choice.message.content and choice.message.content.startswith(SIMULATED)
        assert choice.finish_reason == "stop"
        assert answer.usage and answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens

    def test_streams_a_chat(self, clients: Clients) -> None:
        clients.behave(tokens=LENGTH)
        stream = clients.openai.chat.completions.create(
            model=CHAT, messages=HELLO, stream=True, stream_options={"include_usage": True}
        )
        chunks = list(stream)
        text = "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)
        assert text.startswith(SIMULATED)
        reasons = [choice.finish_reason for chunk in chunks for choice in chunk.choices]
        assert reasons == [None] * LENGTH + ["stop"]
        assert chunks[-1].usage and chunks[-1].usage.completion_tokens == LENGTH

    def test_accumulates_a_stream_with_a_tool(self, clients: Clients) -> None:
        with clients.openai.chat.completions.stream(model=CHAT, messages=HELLO, tools=[TOOL]) as stream:
            (choice,) = stream.get_final_completion().choices
        assert choice.finish_reason == "tool_calls" and choice.message.tool_calls
        assert json.loads(choice.message.tool_calls[0].function.arguments) == {"city": "Paris"}

    def test_calls_a_tool_and_takes_its_result(self, clients: Clients) -> None:
        message = clients.openai.chat.completions.create(model=CHAT, messages=HELLO, tools=[TOOL]).choices[0].message
        assert message.tool_calls
        (call,) = message.tool_calls
        assert call.type == "function"
        assert (call.function.name, json.loads(call.function.arguments)) == ("weather", {"city": "Paris"})
        result = {"role": "tool", "tool_call_id": call.id, "content": "rain"}
        messages: list[Any] = [*HELLO, message.to_dict(), result]
        answer = clients.openai.chat.completions.create(model=CHAT, messages=messages, tools=[TOOL])
        assert (answer.choices[0].message.content or "").endswith("Asked: rain")

    def test_gets_structured_output(self, clients: Clients) -> None:
        answer = clients.openai.chat.completions.parse(model=CHAT, messages=HELLO, response_format=Country)
        assert isinstance(answer.choices[0].message.parsed, Country)

    def test_completes(self, clients: Clients) -> None:
        answer = clients.openai.completions.create(model=CHAT, prompt="hello", max_tokens=3)
        assert answer.choices[0].finish_reason == "length"

    def test_uses_responses(self, clients: Clients) -> None:
        assert clients.openai.responses.create(model=CHAT, input="hello").output_text.startswith(SIMULATED)
        parsed = clients.openai.responses.parse(model=CHAT, input="hello", text_format=Country)
        assert isinstance(parsed.output_parsed, Country)

    def test_streams_responses(self, clients: Clients) -> None:
        with clients.openai.responses.stream(model=CHAT, input="hello") as stream:
            kinds = [event.type for event in stream]
            final = stream.get_final_response()
        assert (kinds[0], kinds[-1]) == ("response.created", "response.completed")
        assert final.output_text.startswith(SIMULATED)

    def test_calls_a_tool_through_responses(self, clients: Clients) -> None:
        tool: Any = {"type": "function", "name": "weather", "parameters": CITY, "strict": True}
        (call,) = clients.openai.responses.create(model=CHAT, input="hello", tools=[tool]).output
        assert call.type == "function_call"
        assert (call.name, json.loads(call.arguments)) == ("weather", {"city": "Paris"})

    def test_embeds_in_base64_and_in_numbers(self, clients: Clients) -> None:
        coded = clients.openai.embeddings.create(model=EMBEDDER, input=["one", "two"])
        plain = clients.openai.embeddings.create(model=EMBEDDER, input=["one", "two"], encoding_format="float")
        for one, other in zip(coded.data, plain.data, strict=True):
            assert one.embedding == pytest.approx(other.embedding)

    def test_lists_and_retrieves(self, clients: Clients) -> None:
        assert CHAT in [model.id for model in clients.openai.models.list()]
        assert clients.openai.models.retrieve(CHAT).id == CHAT

    @pytest.mark.parametrize(
        ("switches", "model", "error"),
        [
            ({}, "none", openai.NotFoundError),
            ({}, EMBEDDER, openai.BadRequestError),
            ({"failure": "busy"}, CHAT, openai.InternalServerError),
            ({"failure": "error"}, CHAT, openai.InternalServerError),
            ({"failure": "cut"}, CHAT, openai.InternalServerError),
        ],
    )
    def test_raises_the_right_error(
        self, clients: Clients, switches: dict[str, Any], model: str, error: type[openai.APIStatusError]
    ) -> None:
        clients.behave(**switches)
        for stream in (False, True):
            with pytest.raises(error) as raised:
                clients.openai.chat.completions.create(model=model, messages=HELLO, stream=stream)
            assert type(raised.value) is error
            assert isinstance(raised.value.body, dict) and raised.value.body["message"]

    def test_retries_by_itself_what_may_be_tried_again(self, clients: Clients) -> None:
        clients.behave(failure="busy")
        before = clients.servers["t4"].requests
        with pytest.raises(openai.InternalServerError):
            clients.openai.with_options(max_retries=1).completions.create(model="gemma3:4b", prompt="hello")
        assert clients.servers["t4"].requests - before >= 2


class TestAnthropic:
    def test_chats(self, clients: Clients) -> None:
        message = clients.anthropic.messages.create(model=CHAT, messages=HELLO, max_tokens=100)
        (block,) = message.content
        assert block.type == "text" and block.text.startswith(SIMULATED)
        assert message.stop_reason == "end_turn"
        assert message.usage.output_tokens > 0

    def test_takes_a_system_prompt_and_stops_at_the_limit(self, clients: Clients) -> None:
        message = clients.anthropic.messages.create(model=CHAT, system="Be brief.", messages=HELLO, max_tokens=3)
        assert (message.stop_reason, message.usage.output_tokens) == ("max_tokens", 3)

    def test_streams(self, clients: Clients) -> None:
        clients.behave(tokens=LENGTH)
        with clients.anthropic.messages.stream(model=CHAT, messages=HELLO, max_tokens=100) as stream:
            parts = list(stream.text_stream)
            final = stream.get_final_message()
        assert len(parts) == LENGTH
        assert "".join(parts).startswith(SIMULATED)
        assert (final.stop_reason, final.usage.output_tokens) == ("end_turn", LENGTH)

    @pytest.mark.parametrize("streamed", [False, True])
    def test_calls_a_tool_and_takes_its_result(self, clients: Clients, streamed: bool) -> None:
        tools: Any = [{"name": "weather", "description": "of a city", "input_schema": CITY}]
        asked: Any = {"model": CHAT, "messages": HELLO, "max_tokens": 100, "tools": tools}
        if streamed:
            with clients.anthropic.messages.stream(**asked) as stream:
                message = stream.get_final_message()
        else:
            message = clients.anthropic.messages.create(**asked)
        (block,) = message.content
        assert block.type == "tool_use" and message.stop_reason == "tool_use"
        assert (block.name, block.input) == ("weather", {"city": "Paris"})
        result = {"type": "tool_result", "tool_use_id": block.id, "content": "rain"}
        said: Any = {"role": "assistant", "content": [block.to_dict()]}
        messages: Any = [*HELLO, said, {"role": "user", "content": [result]}]
        (answer,) = clients.anthropic.messages.create(**{**asked, "messages": messages}).content
        assert answer.type == "text" and answer.text.endswith("Asked: rain")

    @pytest.mark.parametrize(
        ("switches", "model", "error"),
        [
            ({}, "none", anthropic.NotFoundError),
            ({}, EMBEDDER, anthropic.BadRequestError),
            ({"failure": "busy"}, CHAT, anthropic.ServiceUnavailableError),
            ({"failure": "error"}, CHAT, anthropic.InternalServerError),
        ],
    )
    def test_raises_the_right_error(
        self, clients: Clients, switches: dict[str, Any], model: str, error: type[anthropic.APIStatusError]
    ) -> None:
        clients.behave(**switches)
        for stream in (False, True):
            with pytest.raises(error) as raised:
                clients.anthropic.messages.create(model=model, messages=HELLO, max_tokens=9, stream=stream)
            assert type(raised.value) is error
            assert isinstance(raised.value.body, dict) and raised.value.body["error"]["message"]


PAGE = (Path(__file__).parents[2] / "docs" / "clients.md").read_text()
BLOCK = re.compile(r"^## ([^\n]+)\n\n```(sh|python)\n(.*?)```", re.MULTILINE | re.DOTALL)
LINES = {title: (kind, code) for title, kind, code in BLOCK.findall(PAGE)}
"""What the page says that one types, by client."""
KEY = "sk-of-a-test"
TESTED = ("curl", "ollama", "openai", "anthropic")


def typed(client: str, url: str) -> str:
    kind, code = LINES[client]
    run = ["sh", "-c", code] if kind == "sh" else [sys.executable, "-c", code]
    environment = {**os.environ, "FLEET_URL": url, "FLEET_API_KEY": KEY, "NO_PROXY": "127.0.0.1"}
    return subprocess.run(run, capture_output=True, text=True, check=True, timeout=60, env=environment).stdout


def test_the_page_has_lines_for_each_client_that_is_tested() -> None:
    assert set(LINES) == set(TESTED)


@pytest.mark.parametrize("client", TESTED)
def test_what_the_page_says_works_at_the_door(clients: Clients, client: str) -> None:
    assert SIMULATED in typed(client, f"http://127.0.0.1:{clients.door.port}")


@pytest.mark.parametrize("client", TESTED)
def test_each_client_sends_its_key_as_the_page_says(client: str) -> None:
    heard: list[Asked] = []
    with running(Server("t4", [Model(name=CHAT)], heard=heard.append)) as port:
        typed(client, f"http://127.0.0.1:{port}")
    assert [asked.headers.get("authorization") for asked in heard] == [f"Bearer {KEY}"]
