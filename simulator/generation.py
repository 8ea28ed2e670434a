"""Ollama's own answers, chunk by chunk, for the routes to write in the words of each API."""

import secrets
import time
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

from simulator import answers
from simulator.clock import duration, nanoseconds, timestamp
from simulator.library import Model
from simulator.refusal import BUSY, Refused, not_found, not_pulled
from simulator.server import Server

Chunk = dict[str, Any]
Fill = Callable[[str, str, list[Chunk]], Chunk]
"""What a route puts into a chunk: from text, thinking and calls."""

TERMINATED = "llama runner process has terminated: simulated failure"


class CutError(Exception):
    """The connection is to break here."""


async def chat(server: Server, request: Mapping[str, Any]) -> AsyncIterator[Chunk]:
    """/api/chat. Raises Refused before the first chunk or between two."""
    if not request.get("model"):
        raise Refused(400, "model is required")
    model = _model(server, request["model"])
    messages = request.get("messages") or []
    if not isinstance(messages, list) or not all(isinstance(message, dict) for message in messages):
        raise Refused(400, "json: cannot unmarshal object into Go struct field ChatRequest.messages")

    def fill(text: str, thinking: str, calls: list[Chunk]) -> Chunk:
        message: Chunk = {"role": "assistant", "content": text}
        message |= {"thinking": thinking} if thinking else {}
        return {"message": message | ({"tool_calls": calls} if calls else {})}

    texts = [str(message.get("content") or "") for message in messages]
    async for chunk in _answer(server, request, model, "chat", texts, fill):
        yield chunk


async def generate(server: Server, request: Mapping[str, Any]) -> AsyncIterator[Chunk]:
    """/api/generate. Raises Refused before the first chunk or between two."""
    model = _model(server, request.get("model") or "")

    def fill(text: str, thinking: str, _: list[Chunk]) -> Chunk:
        return {"response": text} | ({"thinking": thinking} if thinking else {})

    prompt = str(request.get("prompt") or "")
    asked = {key: value for key, value in request.items() if key != "tools"}
    async for chunk in _answer(server, asked, model, "generate", [prompt] if prompt else [], fill):
        yield chunk


async def embed(server: Server, request: Mapping[str, Any]) -> Chunk:
    """/api/embed: a vector for each input."""
    started = time.monotonic()
    texts = request.get("input")
    texts = [texts] if isinstance(texts, str) and texts else texts or []
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise Refused(400, "invalid input type")
    if not request.get("model"):
        raise Refused(500, "unqualified name: registry.ollama.ai/library/!MISSING!:latest")
    model = _embedder(server, request["model"])
    async with server.memory.using(model, _context(request, model), _keep_alive(request)):
        loaded = time.monotonic()
        if not texts:
            return {"model": request["model"], "embeddings": []}
        await server.next_token()
        return {
            "model": request["model"],
            "embeddings": [answers.vector(text, model, request.get("dimensions") or 0) for text in texts],
            "total_duration": nanoseconds(time.monotonic() - started),
            "load_duration": nanoseconds(loaded - started),
            "prompt_eval_count": sum(answers.prompt_tokens(text) for text in texts),
        }


async def embeddings(server: Server, request: Mapping[str, Any]) -> Chunk:
    """/api/embeddings, the older of the two."""
    if not request.get("model"):
        raise Refused(400, "model is required")
    model = _embedder(server, request["model"])
    async with server.memory.using(model, _context(request, model), _keep_alive(request)):
        await server.next_token()
        prompt = str(request.get("prompt") or "")
        return {"embedding": answers.vector(prompt, model) if prompt else []}


async def _answer(
    server: Server, request: Mapping[str, Any], model: Model, ability: str, texts: list[str], fill: Fill
) -> AsyncIterator[Chunk]:
    def chunk(**fields: Any) -> Chunk:
        return {"model": request["model"], "created_at": timestamp(), **fields}

    _refuse_what_it_cannot(model, request, ability)
    keep_alive = _keep_alive(request)
    if not texts and keep_alive == 0:
        server.memory.unload(model)
        yield chunk(**fill("", "", []), done=True, done_reason="unload")
        return
    started = time.monotonic()
    async with server.memory.using(model, _context(request, model), keep_alive):
        loaded = time.monotonic()
        if not texts:
            yield chunk(**fill("", "", []), done=True, done_reason="load")
            return
        said = answers.said(server.name, model, request, texts[-1], server.behaviour.tokens)
        parts: list[tuple[Any, str]] = [
            *((thought, "thinking") for thought in said.thinking),
            *((token, "text") for token in said.tokens),
            *((_identified(call), "call") for call in said.calls),
        ]
        for number, (part, kind) in enumerate(parts):
            await server.next_token()
            _fail_in_the_middle(server, model, number)
            text, thinking = (part if kind == wanted else "" for wanted in ("text", "thinking"))
            yield chunk(**fill(text, thinking, [part] if kind == "call" else []), done=False)
        _fail_in_the_middle(server, model, len(parts))
        ended = time.monotonic()
        yield chunk(
            **fill("", "", []),
            done=True,
            done_reason=said.done_reason,
            **({"context": list(range(answers.prompt_tokens(*texts)))} if ability == "generate" else {}),
            total_duration=nanoseconds(ended - started),
            load_duration=nanoseconds(loaded - started),
            prompt_eval_count=answers.prompt_tokens(*texts),
            prompt_eval_duration=nanoseconds(0.001),
            eval_count=said.count,
            eval_duration=nanoseconds(ended - loaded),
        )


def together(chunks: list[Chunk]) -> Chunk:
    """What a request without a stream gets: the last chunk with the text and the calls of all."""
    last = dict(chunks[-1])
    if "message" not in last:
        joined = {key: "".join(chunk.get(key, "") for chunk in chunks) for key in ("response", "thinking")}
        return last | {key: text for key, text in joined.items() if text or key == "response"}
    messages = [chunk["message"] for chunk in chunks]
    message: Chunk = {"role": "assistant", "content": "".join(message["content"] for message in messages)}
    if thinking := "".join(message.get("thinking", "") for message in messages):
        message["thinking"] = thinking
    if calls := [call for one in messages for call in one.get("tool_calls", [])]:
        message["tool_calls"] = calls
    return last | {"message": message}


def _model(server: Server, name: str) -> Model:
    model = server.library.find(name)
    if model is None or _fails_at_once(server, model) == "missing":
        raise not_found(name)
    return model


def _embedder(server: Server, name: str) -> Model:
    model = server.library.find(name)
    if model is None or _fails_at_once(server, model) == "missing":
        raise not_pulled(name)
    return model


def _fails_at_once(server: Server, model: Model) -> str:
    failure = server.fails(model.name)
    if failure == "busy":
        raise Refused(503, BUSY)
    if server.behaviour.after == 0:
        _fail_in_the_middle(server, model, 0)
    return failure


def _fail_in_the_middle(server: Server, model: Model, token: int) -> None:
    if token < server.behaviour.after:
        return
    match server.fails(model.name):
        case "error":
            raise Refused(500, TERMINATED)
        case "cut":
            raise CutError


def _refuse_what_it_cannot(model: Model, request: Mapping[str, Any], ability: str) -> None:
    if request.get("think") and "thinking" not in model.capabilities:
        raise Refused(400, f'"{request["model"]}" does not support thinking')
    if "completion" not in model.capabilities:
        raise Refused(400, f'"{request["model"]}" does not support {ability}')
    if request.get("tools") and "tools" not in model.capabilities:
        raise Refused(400, f"{model.full_name} does not support tools")


def _context(request: Mapping[str, Any], model: Model) -> int:
    wanted = (request.get("options") or {}).get("num_ctx")
    return min(wanted if isinstance(wanted, int) and wanted > 0 else model.context, model.max_context)


def _keep_alive(request: Mapping[str, Any]) -> float | None:
    if request.get("keep_alive") is None:
        return None
    try:
        return duration(request["keep_alive"])
    except ValueError as wrong:
        raise Refused(400, str(wrong)) from wrong


def _identified(call: Chunk) -> Chunk:
    return {"id": f"call_{secrets.token_hex(4)}", **call}
