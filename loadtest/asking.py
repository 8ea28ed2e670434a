"""One request of a client, and what came back: first token, tokens, end, or why there was none."""

import json
import re
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import requests

from loadtest.mix import Prompt

CONNECT_SECONDS = 10.0
CHUNK = 2**16
"""Bytes at most: a piece of a stream is read as it comes."""
LONGEST_CAUSE = 120
EMBEDDING = "/api/embed"
NONE = "(none)"
POOL = re.compile(r"[a-z0-9-]{1,63}")


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """Of one request. Times are in seconds, `at` since the start of the run."""

    at: float
    model: str
    path: str
    pool: str = NONE
    status: int = 0
    """0 where no answer began."""
    cause: str = ""
    """Why it failed; empty where it did not."""
    total: float = 0.0
    first_token: float | None = None
    tokens: int = 0

    @property
    def tokens_per_second(self) -> float | None:
        """From the first token on; None where nothing can be said."""
        writing = self.total - (self.first_token or 0.0)
        return (self.tokens - 1) / writing if self.first_token is not None and self.tokens > 1 and writing > 0 else None


@dataclass
class _Reading:
    """What a stream has shown so far."""

    first_at: float | None = None
    chunks: int = 0
    counted: int = 0
    """By the server; a stream that does not say is counted by its chunks."""
    done: bool = False
    error: str = ""


def ask(
    session: requests.Session, url: str, path: str, model: str, prompt: Prompt, *, patience: float, began: float
) -> Outcome:
    """Ask once and read to the end. Never raises for what a network or a server does."""
    start = time.monotonic()
    at, pool, status = start - began, NONE, 0
    reading = _Reading()
    try:
        with session.post(
            url + path, json=_body(path, model, prompt), stream=True, timeout=(CONNECT_SECONDS, patience)
        ) as answer:
            status = answer.status_code
            named = answer.headers.get("x-fleet-pool", "")
            pool = named if POOL.fullmatch(named) else NONE
            if status == requests.codes.ok:
                READERS[path](answer.iter_lines(CHUNK), reading)
                cause = reading.error or ("" if reading.done else "the stream ended before its last message")
            else:
                cause = f"HTTP {status}: {_reason(answer)}"
    except requests.exceptions.ConnectTimeout:
        cause = f"no connection within {CONNECT_SECONDS:g} s"
    except requests.exceptions.Timeout:
        cause = f"no byte for {patience:g} s"
    except (requests.exceptions.ChunkedEncodingError, requests.exceptions.ContentDecodingError):
        cause = "the stream was cut"
    except requests.exceptions.ConnectionError:
        cause = "the stream was cut" if status else "no connection, or it was closed before an answer"
    except (requests.exceptions.RequestException, ValueError, AttributeError, TypeError, RecursionError) as error:
        # JSON of another shape too: a request that raised would be missing from the figures
        cause = f"the answer cannot be read: {type(error).__name__}"
    return Outcome(
        at=at,
        model=model,
        path=path,
        pool=pool,
        status=status,
        cause=cause,
        total=time.monotonic() - start,
        first_token=None if reading.first_at is None else reading.first_at - start,
        tokens=reading.counted or reading.chunks,
    )


def _body(path: str, model: str, prompt: Prompt) -> Mapping[str, Any]:
    if path == EMBEDDING:
        return {"model": model, "input": prompt.text}
    messages = [{"role": "user", "content": prompt.text}]
    if path == "/api/chat":
        return {"model": model, "messages": messages, "stream": True, "options": {"num_predict": prompt.tokens}}
    usage = {"include_usage": True}
    return {"model": model, "messages": messages, "stream": True, "max_tokens": prompt.tokens, "stream_options": usage}


def _of_ollama(lines: Iterable[bytes], reading: _Reading) -> None:
    for line in lines:
        if not line:
            continue
        chunk = json.loads(line)
        if "error" in chunk:
            reading.error = f"in the stream: {_plain(chunk['error'])}"
            return
        message = chunk.get("message", {})
        _text(reading, message.get("content") or message.get("thinking"))
        if chunk.get("done"):
            reading.done, reading.counted = True, int(chunk.get("eval_count") or 0)


def _of_openai(lines: Iterable[bytes], reading: _Reading) -> None:
    for line in lines:
        if not line.startswith(b"data:"):
            continue
        data = line[len(b"data:") :].strip()
        if data == b"[DONE]":
            reading.done = True
            return
        chunk = json.loads(data)
        if "error" in chunk:
            reading.error = f"in the stream: {_plain(chunk['error'])}"
            return
        for choice in chunk.get("choices", ()):
            delta = choice.get("delta", {})
            _text(reading, delta.get("content") or delta.get("reasoning"))
        reading.counted = int((chunk.get("usage") or {}).get("completion_tokens") or reading.counted)


def _of_embedding(lines: Iterable[bytes], reading: _Reading) -> None:
    reading.done = bool(json.loads(b"".join(lines)).get("embeddings"))


def _text(reading: _Reading, text: object) -> None:
    if text:
        reading.chunks += 1
        if reading.first_at is None:
            reading.first_at = time.monotonic()


READERS: Mapping[str, Callable[[Iterable[bytes], _Reading], None]] = {
    "/api/chat": _of_ollama,
    "/v1/chat/completions": _of_openai,
    EMBEDDING: _of_embedding,
}


def _reason(answer: requests.Response) -> str:
    """What the server said of it, in the forms that Ollama, OpenAI and Envoy have."""
    try:
        said = answer.json()["error"]
        text = said.get("message", said) if isinstance(said, dict) else said
    except (ValueError, KeyError, TypeError, RecursionError, requests.exceptions.RequestException):
        text = answer.reason
    return _plain(text)


def _plain(said: object) -> str:
    """What a server said, on one line, short, and harmless to a terminal."""
    text = " ".join(str(said).split())[:LONGEST_CAUSE]
    return "".join(letter if letter.isprintable() else "?" for letter in text)
