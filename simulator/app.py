"""The routes of a simulated server, and the one that no Ollama has: the control route."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Any

from aiohttp import web

from simulator import library, openai
from simulator.anthropic import Messages
from simulator.dialects import JSON, Dialect, Generate, encoded
from simulator.generation import Chunk, CutError, chat, embed, embeddings, generate, together
from simulator.refusal import Refused, not_found
from simulator.responses import Responses
from simulator.server import Asked, Server

CONTROL = "/simulator"
"""GET says how the server stands, POST sets switches. Not a path of Ollama, so a door that passes only these is shut to
it."""

LARGEST_BODY = 2**30
HEADER = "x-simulated-by"

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Answer = Callable[[Server, dict[str, Any]], AsyncIterator[Chunk]]
Single = Callable[[Server, dict[str, Any]], Awaitable[Chunk]]


def application(server: Server) -> web.Application:
    """The whole of it, for aiohttp to serve."""
    app = web.Application(client_max_size=LARGEST_BODY, middlewares=[_frame(server)])
    app.on_response_prepare.append(_signed(server))
    add = app.router.add_route
    for path, methods, answer in (
        ("/", ("GET", "HEAD"), _text("Ollama is running")),
        ("/api/version", ("GET", "HEAD"), _content(lambda _: {"version": server.version})),
        ("/api/tags", ("GET", "HEAD"), _content(lambda _: {"models": _tags(server)})),
        ("/api/ps", ("GET",), _content(lambda _: {"models": server.memory.described()})),
        ("/v1/models", ("GET",), _content(lambda _: {"object": "list", "data": _models(server)})),
        ("/v1/models/{name:.+}", ("GET",), _one_model(server)),
        ("/api/chat", ("POST",), _stream(server, Dialect, chat)),
        ("/api/generate", ("POST",), _stream(server, Generate, generate)),
        ("/v1/chat/completions", ("POST",), _stream(server, openai.ChatCompletions, chat)),
        ("/v1/completions", ("POST",), _stream(server, openai.Completions, generate)),
        ("/v1/responses", ("POST",), _stream(server, Responses, chat)),
        ("/v1/messages", ("POST",), _stream(server, Messages, chat)),
        ("/api/embed", ("POST",), _single(server, _typed("EmbedRequest"), embed)),
        ("/api/embeddings", ("POST",), _single(server, _typed("EmbeddingRequest"), embeddings)),
        ("/v1/embeddings", ("POST",), _single(server, openai.Embeddings, embed)),
        ("/api/show", ("POST",), _single(server, _typed("ShowRequest"), _show)),
        ("/api/pull", ("POST",), _stream(server, _typed("PullRequest"), _pull)),
        ("/api/copy", ("POST",), _silent(server, _copy)),
        ("/api/delete", ("DELETE",), _silent(server, _delete)),
        (CONTROL, ("GET",), _content(lambda _: server.state())),
        (CONTROL, ("POST",), _control(server)),
    ):
        for method in methods:
            add(method, path, answer)
    return app


def _frame(server: Server) -> Any:
    """Around every route: what is heard, what never answers, what is not there."""

    @web.middleware
    async def frame(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path == CONTROL:
            return await handler(request)
        headers = {name.lower(): value for name, value in request.headers.items()}
        server.hear(Asked(request.method, request.path, headers, await request.read()))
        if server.behaviour.failure == "silent":
            await asyncio.Event().wait()
        try:
            return _no_such_page() if request.path in server.lacks else await handler(request)
        except web.HTTPNotFound:
            return _no_such_page()
        except web.HTTPMethodNotAllowed as wrong:
            allow = {"Allow": ", ".join(sorted(wrong.allowed_methods))}
            return web.Response(status=405, text="405 method not allowed", headers=allow)
        except CutError:
            if request.transport is not None:
                request.transport.abort()
            raise asyncio.CancelledError from None

    return frame


def _no_such_page() -> web.Response:
    return web.Response(status=404, text="404 page not found")


def _signed(server: Server) -> Any:
    async def sign(_: web.Request, response: web.StreamResponse) -> None:
        response.headers[HEADER] = f"ollama-fleet simulator {server.name}"
        response.headers.pop("Server", None)

    return sign


def _stream(server: Server, dialect_of: Callable[..., Dialect], answer: Answer) -> Handler:
    """A route that answers in chunks, or with all of them together."""

    async def handler(request: web.Request) -> web.StreamResponse:
        dialect = dialect_of(newer=server.newer)
        try:
            body = await _body(request, dialect)
            chunks = answer(server, dialect.asked(body))
            first = await anext(chunks)
            wanted = body.get("stream")
            if not (dialect.streams_by_default if wanted is None else wanted) or _stands_alone(first):
                return _json(dialect.whole(together([first, *[chunk async for chunk in chunks]])))
        except Refused as refused:
            return _json(dialect.error(refused), refused.status)
        return await _streamed(request, dialect, first, chunks)

    return handler


def _stands_alone(chunk: Chunk) -> bool:
    """What only loads or unloads is no stream in Ollama's own API."""
    return chunk.get("done_reason") in {"load", "unload"}


async def _streamed(
    request: web.Request, dialect: Dialect, first: Chunk, chunks: AsyncIterator[Chunk]
) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": dialect.stream_type})
    response.enable_chunked_encoding()
    await response.prepare(request)

    async def write(parts: Iterable[bytes]) -> None:
        if content := b"".join(parts):
            await response.write(content)

    try:
        await write(dialect.written(first))
        async for chunk in chunks:
            await write(dialect.written(chunk))
    except Refused as refused:
        await write(dialect.broken(refused))
    await response.write_eof()
    return response


def _single(server: Server, dialect_of: Callable[..., Dialect], answer: Single) -> Handler:
    """A route that answers once."""

    async def handler(request: web.Request) -> web.StreamResponse:
        dialect = dialect_of(newer=server.newer)
        try:
            return _json(dialect.whole(await answer(server, dialect.asked(await _body(request, dialect)))))
        except Refused as refused:
            return _json(dialect.error(refused), refused.status)

    return handler


def _silent(server: Server, act: Callable[[Server, dict[str, Any]], None]) -> Handler:
    """A route whose success says nothing."""

    async def handler(request: web.Request) -> web.StreamResponse:
        dialect = Dialect(newer=server.newer)
        try:
            act(server, await _body(request, dialect))
        except Refused as refused:
            return _json(dialect.error(refused), refused.status)
        return web.Response(headers={"Content-Length": "0"})

    return handler


def _typed(name: str) -> Callable[..., Dialect]:
    """Ollama's own API for requests of another type."""

    def dialect(*, newer: bool) -> Dialect:
        made = Dialect(newer=newer)
        made.request_type = name
        return made

    return dialect


async def _body(request: web.Request, dialect: Dialect) -> dict[str, Any]:
    """The request, whatever its content type. Raises Refused in Go's words."""
    text = await request.read()
    if not text.strip():
        raise Refused(400, dialect.empty_body, early=True)
    try:
        body = json.loads(text)
    except json.JSONDecodeError as wrong:
        rest = wrong.doc[wrong.pos :].strip()
        message = f"invalid character {rest[0]!r} looking for beginning of value" if rest else "unexpected EOF"
        raise Refused(400, message, early=True) from wrong
    except (UnicodeDecodeError, RecursionError) as wrong:
        raise Refused(400, "invalid character looking for beginning of value", early=True) from wrong
    kind = dialect.request_type
    if not isinstance(body, dict):
        of = f"Go value of type {dialect.request_package}.{kind}"
        raise Refused(400, f"json: cannot unmarshal {_go(body)} into {of}", early=True)
    if not isinstance(body.get("model") or "", str):
        of = f"Go struct field {kind}.model of type string"
        raise Refused(400, f"json: cannot unmarshal {_go(body['model'])} into {of}", early=True)
    return body


def _go(value: Any) -> str:
    """What Go calls a JSON value of that type."""
    names = {bool: "bool", int: "number", float: "number", str: "string", list: "array", dict: "object"}
    return names.get(type(value), "null")


async def _show(server: Server, body: dict[str, Any]) -> Chunk:
    name = body.get("model") or body.get("name")
    if not name:
        raise Refused(400, "model is required")
    model = server.library.find(name)
    if model is None or server.fails(model.name) == "missing":
        raise not_found(name)
    return library.described(model)


async def _pull(server: Server, body: dict[str, Any]) -> AsyncIterator[Chunk]:
    """There is no registry: whatever is asked for exists, and is here after the next line."""
    name = body.get("model") or body.get("name")
    if not name:
        raise Refused(400, "invalid model name")
    model = library.Model(name=name)
    yield {"status": "pulling manifest"}
    layer = f"sha256:{model.digest}"
    yield {"status": f"pulling {model.digest[:12]}", "digest": layer, "total": model.size, "completed": model.size}
    server.library.models.setdefault(library.canonical(name), model)
    for status in ("verifying sha256 digest", "writing manifest", "success"):
        yield {"status": status}


def _copy(server: Server, body: dict[str, Any]) -> None:
    source = server.library.find(body.get("source") or "")
    if source is None:
        raise Refused(404, f'model "{body.get("source", "")}" not found')
    if not body.get("destination"):
        raise Refused(400, 'destination "" is invalid')
    server.library.copy(source, body["destination"])


def _delete(server: Server, body: dict[str, Any]) -> None:
    name = body.get("model") or body.get("name") or ""
    model = server.library.find(name)
    if model is None:
        raise not_found(name)
    server.library.delete(model)


def _one_model(server: Server) -> Handler:
    async def handler(request: web.Request) -> web.StreamResponse:
        name = request.match_info["name"]
        model = server.library.find(name)
        if model is None or server.fails(model.name) == "missing":
            return _json(openai.OpenAI(newer=server.newer).error(not_found(name)), 404)
        return _json(openai.listed(model, name))

    return handler


def _control(server: Server) -> Handler:
    async def handler(request: web.Request) -> web.StreamResponse:
        try:
            server.behaviour = server.behaviour.changed(json.loads(await request.read()))
        except ValueError as wrong:
            return _json({"error": str(wrong)}, 400)
        return _json(server.state())

    return handler


def _tags(server: Server) -> list[dict[str, Any]]:
    return [library.listed(model, newer=server.newer) for model in server.library.newest_first()]


def _models(server: Server) -> list[dict[str, Any]]:
    return [openai.listed(model) for model in server.library.newest_first()]


def _content(content: Callable[[web.Request], Any]) -> Handler:
    async def handler(request: web.Request) -> web.StreamResponse:
        return _json(content(request))

    return handler


def _text(text: str) -> Handler:
    async def handler(_: web.Request) -> web.StreamResponse:
        return web.Response(text=text)

    return handler


def _json(content: Any, status: int = 200) -> web.Response:
    return web.Response(body=encoded(content), status=status, content_type=JSON, charset="utf-8")
