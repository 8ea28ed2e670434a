"""OpenAI's chat completions, completions, embeddings and models."""

import base64
import secrets
import struct
import time
from collections.abc import Iterator
from typing import Any

from simulator.dialects import Compatible, encoded, messages_of, options_of
from simulator.generation import Chunk
from simulator.library import Model
from simulator.refusal import Refused

TYPES = {400: "invalid_request_error", 404: "not_found_error"}
DONE = b"data: [DONE]\n\n"


class OpenAI(Compatible):
    """Errors and usage."""

    request_package = "openai"

    def error(self, refused: Refused) -> Any:
        """Older Ollamas call everything an api_error that was found after the request was understood."""
        kind = TYPES.get(refused.status, "api_error") if self.newer or refused.early else "api_error"
        return {"error": {"message": refused.message, "type": kind, "param": None, "code": None}}


class ChatCompletions(OpenAI):
    """/v1/chat/completions."""

    request_type = "ChatCompletionRequest"

    def __init__(self, *, newer: bool) -> None:
        super().__init__(newer=newer)
        self._id = f"chatcmpl-{secrets.randbelow(999)}"
        self._usage_wanted = False
        self._begun = False
        self._called = False

    def asked(self, body: dict[str, Any]) -> dict[str, Any]:
        """Options and format under Ollama's names."""
        self._usage_wanted = bool((body.get("stream_options") or {}).get("include_usage"))
        messages = messages_of(body)
        if not messages:
            raise Refused(400, "[] is too short - 'messages'", early=True)
        options = options_of(body, num_predict="max_tokens", seed="seed", stop="stop", temperature="temperature")
        asked = {"model": body.get("model"), "messages": messages, "tools": body.get("tools"), "options": options}
        wanted = body.get("response_format") or {}
        match wanted.get("type"):
            case "json_object":
                asked["format"] = "json"
            case "json_schema":
                asked["format"] = (wanted.get("json_schema") or {}).get("schema")
        effort = body.get("reasoning_effort") or (body.get("reasoning") or {}).get("effort")
        return asked | ({"think": effort != "none"} if effort else {})

    def whole(self, answer: Chunk) -> Any:
        """One choice."""
        message = answer["message"]
        calls = _calls(message)
        reason = "tool_calls" if calls else answer["done_reason"]
        spoken: dict[str, Any] = {"role": "assistant", "content": message["content"]}
        spoken |= {"reasoning": message["thinking"]} if message.get("thinking") else {}
        spoken |= {"tool_calls": calls} if calls else {}
        choice = {"index": 0, "message": spoken, "finish_reason": reason}
        return self._object("chat.completion", answer, choices=[choice]) | {"usage": usage(answer)}

    def written(self, chunk: Chunk) -> Iterator[bytes]:
        """A chunk as an event; the last is followed by what ends the stream."""
        message, done = chunk.get("message", {}), chunk.get("done", False)
        delta: dict[str, Any] = {"role": "assistant"} if not (self.newer and self._begun) else {}
        delta |= {"content": message.get("content", "")}
        delta |= {"reasoning": message["thinking"]} if message.get("thinking") else {}
        calls = _calls(message)
        delta |= {"tool_calls": calls} if calls else {}
        self._called |= bool(calls)
        reason = chunk.get("done_reason")
        if reason == "stop" or not self.newer:
            reason = "tool_calls" if reason and self._called else reason
        if not self.newer:
            yield self._event(chunk, delta, reason)
        elif not (done and self._begun):
            yield self._event(chunk, delta, None)
        self._begun = True
        if not done:
            return
        if self.newer:
            yield self._event(chunk, {}, reason)
        if self._usage_wanted:
            yield _data(self._object("chat.completion.chunk", chunk, choices=[]) | {"usage": usage(chunk)})
        yield DONE

    def _event(self, chunk: Chunk, delta: dict[str, Any], reason: str | None) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": reason}
        return _data(self._object("chat.completion.chunk", chunk, choices=[choice]))

    def _object(self, kind: str, chunk: Chunk, **rest: Any) -> dict[str, Any]:
        return {
            "id": self._id,
            "object": kind,
            "created": int(time.time()),
            "model": chunk.get("model", ""),
            "system_fingerprint": "fp_ollama",
            **rest,
        }


class Completions(OpenAI):
    """/v1/completions."""

    request_type = "CompletionRequest"

    def __init__(self, *, newer: bool) -> None:
        super().__init__(newer=newer)
        self._id = f"cmpl-{secrets.randbelow(999)}"
        self._usage_wanted = False

    def asked(self, body: dict[str, Any]) -> dict[str, Any]:
        """A prompt is one string: Ollama takes no list."""
        if not isinstance(body.get("prompt", ""), str):
            kind = "CompletionRequest.prompt of type string"
            raise Refused(400, f"json: cannot unmarshal array into Go struct field {kind}", early=True)
        self._usage_wanted = bool((body.get("stream_options") or {}).get("include_usage"))
        options = options_of(body, num_predict="max_tokens", seed="seed", stop="stop", temperature="temperature")
        return {"model": body.get("model"), "prompt": body.get("prompt"), "options": options}

    def whole(self, answer: Chunk) -> Any:
        """One choice."""
        return self._object(answer, answer["response"], answer["done_reason"]) | {"usage": usage(answer)}

    def written(self, chunk: Chunk) -> Iterator[bytes]:
        """A chunk as an event; the last is followed by what ends the stream."""
        event = self._object(chunk, chunk.get("response", ""), chunk.get("done_reason"))
        nothing = dict.fromkeys(("prompt_tokens", "completion_tokens", "total_tokens"), 0)
        yield _data(event | ({"usage": nothing} if self._usage_wanted else {}))
        if chunk.get("done"):
            if self._usage_wanted:
                yield _data(event | {"choices": [], "usage": usage(chunk)})
            yield DONE

    def _object(self, chunk: Chunk, text: str, reason: str | None) -> dict[str, Any]:
        return {
            "id": self._id,
            "object": "text_completion",
            "created": int(time.time()),
            "model": chunk.get("model", ""),
            "system_fingerprint": "fp_ollama",
            "choices": [{"text": text, "index": 0, "finish_reason": reason}],
        }


class Embeddings(OpenAI):
    """/v1/embeddings."""

    request_type = "EmbedRequest"

    def __init__(self, *, newer: bool) -> None:
        super().__init__(newer=newer)
        self._base64 = False

    def asked(self, body: dict[str, Any]) -> dict[str, Any]:
        """The official client asks for base64."""
        encoding = body.get("encoding_format") or "float"
        if str(encoding).lower() not in {"float", "base64"}:
            known = "Supported values: ['float', 'base64']."
            raise Refused(400, f"Invalid value for 'encoding_format' = {encoding}. {known}", early=True)
        self._base64 = encoding.lower() == "base64"
        if body.get("input") in (None, []):
            raise Refused(400, "invalid input", early=True)
        return {key: body.get(key) for key in ("model", "input", "dimensions")} | (
            {"input": [""]} if body["input"] == "" else {}
        )

    def whole(self, answer: Chunk) -> Any:
        """A list of vectors."""
        count = answer.get("prompt_eval_count", 0)
        data = [
            {"object": "embedding", "embedding": self._vector(vector), "index": index}
            for index, vector in enumerate(answer["embeddings"])
        ]
        tokens = {"prompt_tokens": count, "total_tokens": count}
        return {"object": "list", "data": data, "model": answer["model"], "usage": tokens}

    def _vector(self, vector: list[float]) -> Any:
        return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode() if self._base64 else vector


def listed(model: Model, name: str | None = None) -> dict[str, Any]:
    """A model of /v1/models; `name` is what was asked for."""
    name = name or model.name
    owner = name.split("/")[-2] if "/" in name else "library"
    return {"id": name, "object": "model", "created": int(model.modified_at), "owned_by": owner}


def usage(chunk: Chunk) -> dict[str, int]:
    """Tokens of prompt and answer."""
    prompt, completion = chunk.get("prompt_eval_count", 0), chunk.get("eval_count", 0)
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


def function_arguments(call: Chunk) -> str:
    """The arguments of a call as the text that OpenAI's and Anthropic's streams carry."""
    return encoded(call["function"]["arguments"]).decode()


def _calls(message: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {
            "id": call["id"],
            "index": call["function"]["index"],
            "type": "function",
            "function": {"name": call["function"]["name"], "arguments": function_arguments(call)},
        }
        for call in message.get("tool_calls", [])
    ]


def _data(content: Any) -> bytes:
    return b"data: " + encoded(content) + b"\n\n"
