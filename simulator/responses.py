"""OpenAI's responses: the newer of its two ways to chat."""

import secrets
import time
from collections.abc import Iterator, Mapping
from typing import Any

from simulator.dialects import encoded, options_of, text_of
from simulator.generation import Chunk
from simulator.openai import OpenAI, function_arguments
from simulator.refusal import Refused


class Responses(OpenAI):
    """/v1/responses: a response of items, each announced, filled and closed by events with a running number."""

    request_type = "ResponsesRequest"

    def __init__(self, *, newer: bool) -> None:
        super().__init__(newer=newer)
        number = secrets.randbelow(999_999)
        self._id = f"resp_{number}"
        self._item = f"msg_{secrets.randbelow(999_999)}"
        self._thought_item = f"rs_{number}"
        self._body: dict[str, Any] = {}
        self._number = 0
        self._begun = False
        self._index = 0
        self._text: str | None = None
        self._thought: str | None = None
        self._items: list[dict[str, Any]] = []

    def asked(self, body: dict[str, Any]) -> dict[str, Any]:
        """Input items as Ollama's messages."""
        self._body = body
        given = body.get("input") or []
        items = [{"role": "user", "content": given}] if isinstance(given, str) else given
        if not isinstance(items, list) or not all(isinstance(item, Mapping) for item in items):
            raise Refused(400, "input must be a string or array", early=True)
        instructions = body.get("instructions")
        options = options_of(body, num_predict="max_output_tokens", temperature="temperature", top_p="top_p")
        asked = {
            "model": body.get("model"),
            "messages": [
                *([{"role": "system", "content": instructions}] if instructions else []),
                *(_message(item) for item in items),
            ],
            "options": options,
            "tools": [
                {"type": "function", "function": {"name": tool.get("name"), "parameters": tool.get("parameters")}}
                for tool in body.get("tools") or []
            ],
        }
        wanted = (body.get("text") or {}).get("format") or {}
        return asked | ({"format": wanted.get("schema")} if wanted.get("type") == "json_schema" else {})

    def whole(self, answer: Chunk) -> Any:
        """A completed response. A tool's call comes in place of text."""
        message = answer["message"]
        output = []
        if thought := message.get("thinking"):
            output.append(_thoughts(self._thought_item, thought))
        calls = message.get("tool_calls", [])
        output += [_call(f"fc_{self._id}_{index}", call) for index, call in enumerate(calls)]
        if not calls:
            output.append(_spoken(self._item, message["content"]))
        return self._response("completed", output, answer)

    def written(self, chunk: Chunk) -> Iterator[bytes]:
        """The events of a chunk."""
        message = chunk.get("message", {})
        if not self._begun:
            self._begun = True
            for kind in ("response.created", "response.in_progress"):
                yield self._event(kind, response=self._response("in_progress", [], None))
        if thought := message.get("thinking"):
            yield from self._thinking(thought)
        for index, call in enumerate(message.get("tool_calls", [])):
            yield from self._thinking_done()
            yield from self._calling(_call(f"fc_{secrets.randbelow(999_999)}_{index}", call), index)
        if (text := message.get("content")) and not self._items:
            yield from self._thinking_done()
            yield from self._speaking(text)
        if chunk.get("done"):
            yield from self._thinking_done()
            yield from self._spoken_done()
            # Ollama writes null for an output without an item.
            yield self._event("response.completed", response=self._response("completed", self._output() or None, chunk))

    def _thinking(self, thought: str) -> Iterator[bytes]:
        where = {"item_id": self._thought_item, "output_index": self._index, "summary_index": 0}
        if self._thought is None:
            self._thought = ""
            item = {"id": self._thought_item, "type": "reasoning", "summary": []}
            yield self._event("response.output_item.added", output_index=self._index, item=item)
        self._thought += thought
        yield self._event("response.reasoning_summary_text.delta", **where, delta=thought)

    def _thinking_done(self) -> Iterator[bytes]:
        if self._thought is None or self._index:
            return
        where = {"item_id": self._thought_item, "output_index": self._index, "summary_index": 0}
        yield self._event("response.reasoning_summary_text.done", **where, text=self._thought)
        item = _thoughts(self._thought_item, self._thought)
        yield self._event("response.output_item.done", output_index=self._index, item=item)
        self._index += 1

    def _calling(self, item: dict[str, Any], number: int) -> Iterator[bytes]:
        self._items.append(item)
        place = self._index + number
        where = {"item_id": item["id"], "output_index": place}
        begun = item | {"status": "in_progress", "arguments": ""}
        yield self._event("response.output_item.added", output_index=place, item=begun)
        yield self._event("response.function_call_arguments.delta", **where, delta=item["arguments"])
        yield self._event("response.function_call_arguments.done", **where, arguments=item["arguments"])
        yield self._event("response.output_item.done", output_index=place, item=item)

    def _speaking(self, text: str) -> Iterator[bytes]:
        where = {"item_id": self._item, "output_index": self._index, "content_index": 0}
        if self._text is None:
            self._text = ""
            item = _spoken(self._item, "") | {"status": "in_progress", "content": []}
            yield self._event("response.output_item.added", output_index=self._index, item=item)
            yield self._event("response.content_part.added", **where, part=_part(""))
        self._text += text
        yield self._event("response.output_text.delta", **where, delta=text, logprobs=[])

    def _spoken_done(self) -> Iterator[bytes]:
        if self._text is None or self._items:
            return
        where = {"item_id": self._item, "output_index": self._index, "content_index": 0}
        yield self._event("response.output_text.done", **where, text=self._text, logprobs=[])
        yield self._event("response.content_part.done", **where, part=_part(self._text))
        item = _spoken(self._item, self._text)
        yield self._event("response.output_item.done", output_index=self._index, item=item)

    def _output(self) -> list[dict[str, Any]]:
        thoughts = [] if self._thought is None else [_thoughts(self._thought_item, self._thought)]
        spoken = [] if self._text is None else [_spoken(self._item, self._text)]
        return thoughts + (self._items or spoken)

    def _event(self, kind: str, **content: Any) -> bytes:
        data = encoded({**content, "type": kind, "sequence_number": self._number})
        self._number += 1
        return b"event: " + kind.encode() + b"\ndata: " + data + b"\n\n"

    def _response(self, status: str, output: list[dict[str, Any]] | None, chunk: Chunk | None) -> dict[str, Any]:
        body, now = self._body, int(time.time())
        nothing = dict.fromkeys(
            ("incomplete_details", "previous_response_id", "error", "max_tool_calls", "safety_identifier")
        )
        return {
            **nothing,
            "id": self._id,
            "object": "response",
            "created_at": now,
            "completed_at": now if chunk else None,
            "status": status,
            "model": body.get("model", ""),
            "instructions": body.get("instructions") or None,
            "output": output,
            "tools": [_echoed(tool) for tool in body.get("tools") or []],
            "tool_choice": "auto",
            "truncation": body.get("truncation") or "disabled",
            "parallel_tool_calls": True,
            "text": {"format": (body.get("text") or {}).get("format") or {"type": "text"}},
            "top_p": body.get("top_p", 1),
            "presence_penalty": 0,
            "frequency_penalty": 0,
            "top_logprobs": 0,
            "temperature": body.get("temperature", 1),
            "reasoning": body.get("reasoning") or None,
            "usage": _usage(chunk) if chunk else None,
            "max_output_tokens": body.get("max_output_tokens"),
            "store": False,
            "background": body.get("background", False),
            "service_tier": "default",
            "metadata": {},
            "prompt_cache_key": None,
        }


def _message(item: Mapping[str, Any]) -> dict[str, Any]:
    if item.get("type") == "function_call_output":
        return {"role": "tool", "content": text_of(item.get("output"))}
    if item.get("type") == "function_call":
        return {"role": "assistant", "content": ""}
    return {"role": item.get("role", "user"), "content": text_of(item.get("content"))}


def _part(text: str) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _spoken(name: str, text: str) -> dict[str, Any]:
    return {"id": name, "type": "message", "status": "completed", "role": "assistant", "content": [_part(text)]}


def _thoughts(name: str, thought: str) -> dict[str, Any]:
    summary = [{"type": "summary_text", "text": thought}]
    return {"id": name, "type": "reasoning", "summary": summary, "encrypted_content": thought}


def _call(name: str, call: Chunk) -> dict[str, Any]:
    return {
        "id": name,
        "type": "function_call",
        "status": "completed",
        "call_id": call["id"],
        "name": call["function"]["name"],
        "arguments": function_arguments(call),
    }


def _echoed(tool: Mapping[str, Any]) -> dict[str, Any]:
    return {key: tool.get(key) for key in ("type", "name", "description", "strict", "parameters")}


def _usage(chunk: Chunk) -> dict[str, Any]:
    prompt, completion = chunk.get("prompt_eval_count", 0), chunk.get("eval_count", 0)
    return {
        "input_tokens": prompt,
        "output_tokens": completion,
        "total_tokens": prompt + completion,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens_details": {"reasoning_tokens": 0},
    }
