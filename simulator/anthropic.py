"""Anthropic's messages."""

import json
import secrets
from collections.abc import Iterator, Mapping
from typing import Any

from simulator.dialects import Compatible, encoded, options_of, text_of
from simulator.generation import Chunk
from simulator.openai import function_arguments
from simulator.refusal import Refused

TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
    503: "overloaded_error",
}


class Messages(Compatible):
    """/v1/messages: blocks of thinking, text and tool use, each with a start, deltas and a stop."""

    request_package = "anthropic"
    request_type = "MessagesRequest"

    def __init__(self, *, newer: bool) -> None:
        super().__init__(newer=newer)
        self._id = f"msg_{secrets.token_hex(12)}"
        self._model = ""
        self._estimate = 0
        self._begun = False
        self._open: str | None = None
        self._index = 0
        self._called = False

    def asked(self, body: dict[str, Any]) -> dict[str, Any]:
        """Blocks as Ollama's messages, tools under its names."""
        messages = body.get("messages") or []
        if not body.get("model"):
            raise Refused(400, "model is required", early=True)
        if not isinstance(body.get("max_tokens"), int) or body["max_tokens"] <= 0:
            raise Refused(400, "max_tokens is required and must be positive", early=True)
        if not messages:
            raise Refused(400, "messages is required", early=True)
        self._model = body["model"]
        self._estimate = max(1, len(json.dumps([messages, body.get("system")])) // 16)
        system = text_of(body.get("system"))
        options = options_of(body, num_predict="max_tokens", temperature="temperature", stop="stop_sequences")
        asked = {
            "model": body["model"],
            "messages": [
                *([{"role": "system", "content": system}] if system else []),
                *(one for message in messages for one in _messages(message)),
            ],
            "options": options,
            "tools": [_tool(tool) for tool in body.get("tools") or []],
        }
        return asked | ({"think": True} if (body.get("thinking") or {}).get("type") == "enabled" else {})

    def whole(self, answer: Chunk) -> Any:
        """One message of blocks."""
        message = answer["message"]
        blocks: list[dict[str, Any]] = []
        if message.get("thinking"):
            blocks.append({"type": "thinking", "thinking": message["thinking"]})
        if message["content"]:
            blocks.append({"type": "text", "text": message["content"]})
        blocks += [_block(call) | {"input": call["function"]["arguments"]} for call in message.get("tool_calls", [])]
        return {
            **self._message(blocks),
            "stop_reason": _reason(answer["done_reason"], called=bool(message.get("tool_calls"))),
            "usage": _usage(answer),
        }

    def written(self, chunk: Chunk) -> Iterator[bytes]:
        """The events of a chunk."""
        message = chunk.get("message", {})
        if not self._begun:
            self._begun = True
            start = self._message([]) | {"usage": {"input_tokens": self._estimate, "output_tokens": 0}}
            yield _event("message_start", message=start)
        if thought := message.get("thinking"):
            yield from self._added("thinking", {"type": "thinking", "thinking": ""}, thinking=thought)
        if text := message.get("content"):
            yield from self._added("text", {"type": "text", "text": ""}, text=text)
        for call in message.get("tool_calls", []):
            yield from self._closed()
            yield _event("content_block_start", index=self._index, content_block=_block(call) | {"input": {}})
            delta = {"type": "input_json_delta", "partial_json": function_arguments(call)}
            yield _event("content_block_delta", index=self._index, delta=delta)
            yield _event("content_block_stop", index=self._index)
            self._index += 1
            self._called = True
        if chunk.get("done"):
            yield from self._closed()
            reason = _reason(chunk["done_reason"], called=self._called)
            yield _event("message_delta", delta={"stop_reason": reason}, usage=_usage(chunk))
            yield _event("message_stop")

    def error(self, refused: Refused) -> Any:
        """With an id of the request, which has no other trace."""
        error = {"type": TYPES.get(refused.status, "api_error"), "message": refused.message}
        return {"type": "error", "error": error, "request_id": f"req_{secrets.token_hex(12)}"}

    def _added(self, kind: str, empty: dict[str, str], **delta: str) -> Iterator[bytes]:
        if self._open != kind:
            yield from self._closed()
            self._open = kind
            yield _event("content_block_start", index=self._index, content_block=empty)
        yield _event("content_block_delta", index=self._index, delta={"type": f"{kind}_delta", **delta})

    def _closed(self) -> Iterator[bytes]:
        if self._open:
            self._open = None
            yield _event("content_block_stop", index=self._index)
            self._index += 1

    def _message(self, blocks: list[dict[str, Any]]) -> dict[str, Any]:
        return {"id": self._id, "type": "message", "role": "assistant", "model": self._model, "content": blocks}


def _messages(message: Any) -> Iterator[dict[str, Any]]:
    """What was said, then the results of tools, each a message of its own."""
    if not isinstance(message, Mapping):
        raise Refused(400, "invalid message format", early=True)
    content = message.get("content")
    blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
    if not isinstance(blocks, list) or not all(isinstance(block, Mapping) for block in blocks):
        raise Refused(400, "invalid content block format", early=True)
    said = [block for block in blocks if block.get("type") != "tool_result"]
    if said:
        spoken = "".join(str(block.get("text") or "") for block in said)
        yield {"role": str(message.get("role", "user")).lower(), "content": spoken}
    for block in blocks:
        if block.get("type") == "tool_result":
            yield {"role": "tool", "content": text_of(block.get("content"))}


def _tool(tool: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "function", "function": {"name": tool.get("name"), "parameters": tool.get("input_schema")}}


def _block(call: Chunk) -> dict[str, Any]:
    return {"type": "tool_use", "id": call["id"], "name": call["function"]["name"]}


def _reason(reason: str, *, called: bool) -> str:
    if called:
        return "tool_use"
    return {"stop": "end_turn", "length": "max_tokens"}.get(reason, "stop_sequence")


def _usage(chunk: Chunk) -> dict[str, int]:
    return {"input_tokens": chunk.get("prompt_eval_count", 0), "output_tokens": chunk.get("eval_count", 0)}


def _event(kind: str, **content: Any) -> bytes:
    return b"event: " + kind.encode() + b"\ndata: " + encoded({"type": kind, **content}) + b"\n\n"
