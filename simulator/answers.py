"""What a simulated model says: text, a call of a tool, JSON of a schema, a vector."""

import json
import math
import random
import re
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from simulator.library import Model
from simulator.schema import instance

EXCERPT = 60
FILLING = " and so on"
CHARACTERS_PER_TOKEN = 4


@dataclass(frozen=True, kw_only=True)
class Said:
    """An answer, token by token."""

    tokens: tuple[str, ...] = ()
    thinking: tuple[str, ...] = ()
    calls: tuple[dict[str, Any], ...] = ()
    done_reason: str = "stop"

    @property
    def count(self) -> int:
        """Tokens in all; a call counts as one for each word of it."""
        return len(self.thinking) + len(self.tokens) + sum(len(tokens(json.dumps(call))) for call in self.calls)


def said(server: str, model: Model, request: Mapping[str, Any], question: str, length: int) -> Said:
    """The answer to `question`, the last thing that was said: `length` tokens of text, or 0 for one sentence."""
    if request.get("tools") and not _answers_a_tool(request):
        return Said(calls=(_call(request["tools"][0]),))
    wanted = request.get("format")
    if wanted:
        return _bounded(json.dumps(instance(wanted) if isinstance(wanted, dict) else {"simulated": True}), request)
    asked = f"{question[:EXCERPT]}..." if len(question) > EXCERPT else question
    text = f"This answer is simulated, no model ran. Server: {server}. Model: {model.name}. Asked: {asked}"
    if length:
        text = "".join((tokens(text) + tokens(FILLING * length))[:length])
    return _bounded(text, request, thinking="Nothing to think about: I am simulated." if request.get("think") else "")


def tokens(text: str) -> list[str]:
    """A word with the space before it is a token; together they are the text again."""
    return re.findall(r"\s*\S+|\s+$", text)


def prompt_tokens(*texts: str) -> int:
    """About as many as a real tokenizer finds."""
    return max(1, sum(map(len, texts)) // CHARACTERS_PER_TOKEN)


def vector(text: str, model: Model, dimensions: int = 0) -> list[float]:
    """The same unit vector for the same text and weights; 32-bit numbers, as Ollama's."""
    length = min(dimensions, model.embedding_length) if dimensions > 0 else model.embedding_length
    source = random.Random(f"{model.runner} {text}")  # noqa: S311 - nothing secret
    raw = [source.gauss(0, 1) for _ in range(length)]
    norm = math.sqrt(sum(value * value for value in raw))
    return list(struct.unpack(f"<{length}f", struct.pack(f"<{length}f", *(value / norm for value in raw))))


def _bounded(text: str, request: Mapping[str, Any], thinking: str = "") -> Said:
    options = request.get("options") or {}
    stops = options.get("stop") or []
    for stop in [stops] if isinstance(stops, str) else stops:
        text = text.partition(stop)[0] if stop else text
    thought, spoken = tokens(thinking), tokens(text)
    most = options.get("num_predict")
    if isinstance(most, int) and 0 <= most < len(thought) + len(spoken):
        thought, spoken = thought[:most], spoken[: max(0, most - len(thought))]
        return Said(tokens=tuple(spoken), thinking=tuple(thought), done_reason="length")
    return Said(tokens=tuple(spoken), thinking=tuple(thought))


def _answers_a_tool(request: Mapping[str, Any]) -> bool:
    messages: Sequence[Any] = request.get("messages") or ()
    return bool(messages) and messages[-1].get("role") == "tool"


def _call(tool: Mapping[str, Any]) -> dict[str, Any]:
    function = tool.get("function") or {}
    arguments = instance(function.get("parameters") or {}) or {}
    return {"function": {"index": 0, "name": function.get("name", ""), "arguments": arguments}}
