"""How each API asks, and how it writes what Ollama's own API says. Ollama converts in the same way."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from simulator.generation import Chunk
from simulator.refusal import Refused

JSON = "application/json"
NDJSON = "application/x-ndjson"
SSE = "text/event-stream"


class Dialect:
    """Ollama's own API, and the base of the others: one object for one request."""

    request_package = "api"
    request_type = "ChatRequest"
    """Go's name of the request, as some errors have it."""
    stream_type = NDJSON
    streams_by_default = True
    empty_body = "missing request body"

    def __init__(self, *, newer: bool) -> None:
        self.newer = newer

    def asked(self, body: dict[str, Any]) -> dict[str, Any]:
        """The request in Ollama's own terms. Raises Refused, `early`."""
        return body

    def whole(self, answer: Chunk) -> Any:
        """An answer without a stream."""
        return answer

    def written(self, chunk: Chunk) -> Iterator[bytes]:
        """What a chunk adds to a stream."""
        yield encoded(chunk) + b"\n"

    def broken(self, refused: Refused) -> Iterator[bytes]:
        """What an error adds to a stream that has begun."""
        yield encoded({"error": refused.message}) + b"\n"

    def error(self, refused: Refused) -> Any:
        """An error instead of an answer."""
        return {"error": refused.message}


class Generate(Dialect):
    """/api/generate."""

    request_type = "GenerateRequest"


class Compatible(Dialect):
    """What the APIs of others have in common."""

    stream_type = SSE
    streams_by_default = False
    empty_body = "EOF"

    def broken(self, _: Refused) -> Iterator[bytes]:
        """Ollama reads its own error as an empty chunk here, and then the stream ends."""
        return self.written({})


def encoded(content: Any) -> bytes:
    """JSON as Go writes it."""
    return json.dumps(content, separators=(",", ":"), ensure_ascii=False).encode()


def text_of(content: Any) -> str:
    """The text of a message's content, which is a string or a list of parts. Raises Refused."""
    if content is None or isinstance(content, str):
        return content or ""
    if isinstance(content, list) and all(isinstance(part, Mapping) for part in content):
        return "".join(str(part.get("text") or "") for part in content)
    raise Refused(400, f"invalid message content type: {type(content).__name__}", early=True)


def messages_of(body: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The messages of a request, with plain text for content. Raises Refused."""
    messages = body.get("messages") or []
    if not isinstance(messages, list) or not all(isinstance(message, dict) for message in messages):
        raise Refused(400, "invalid message format", early=True)
    return [{**message, "content": text_of(message.get("content"))} for message in messages]


def options_of(body: Mapping[str, Any], **names: str) -> dict[str, Any]:
    """Ollama's options from the fields that another API has for them."""
    return {option: body[field] for option, field in names.items() if body.get(field) is not None}
