"""What a hostile client sends, byte for byte, and the status that it gets; made, not collected, so that a longer run
can make more."""

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

KEY = "hostile-0123456789-abcdefghijklm"
MODEL = "m"
GOOD = json.dumps({"model": MODEL, "messages": []}).encode()


@dataclass(frozen=True)
class Attack:
    """A request as bytes. `statuses` are those that are right; None: no answer, and the connection ends."""

    title: str
    request: bytes
    statuses: frozenset[int | None]
    passes: bool = False
    """Whether a pool may see it."""


def post(path: str = "/api/chat", body: bytes = GOOD, *headers: str, version: str = "HTTP/1.1") -> bytes:
    """A well-formed request with this content."""
    lines = [f"POST {path} {version}", "host: door", f"x-api-key: {KEY}", f"content-length: {len(body)}", *headers]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def raw(head: str, body: bytes = b"") -> bytes:
    """Whatever the head says, with the key."""
    return head.replace("\n", "\r\n").encode("latin-1") + b"\r\n\r\n" + body


Statuses = frozenset[int | None]
BAD: Statuses = frozenset({400})
NOT_FOUND: Statuses = frozenset({404})
CLOSED: Statuses = frozenset({403})
GONE: Statuses = frozenset({400, 404, 405, 501})


def bodies() -> Iterator[Attack]:
    """Bodies that are not what they should be."""
    for title, body in {
        "nothing": b"",
        "white space": b"   \n",
        "a word": b"model",
        "an open brace": b"{",
        "an open string": b'{"model": "m',
        "a trailing comma": b'{"model": "m",}',
        "garbage behind": b'{"model": "m"} x',
        "two values": b'{"model": "m"}{"model": "n"}',
        "a list": b'["m"]',
        "a number": b"3",
        "null": b"null",
        "a comment": b'{/* x */ "model": "m"}',
        "single quotes": b"{'model': 'm'}",
        "a list of models": b'{"model": ["m"]}',
        "an object as model": b'{"model": {"model": "m"}}',
        "null as model": b'{"model": null}',
        "a number as model": b'{"model": 3}',
        "a float beyond all": b'{"model": 1e999}',
        "true as model": b'{"model": true}',
        "an empty model": b'{"model": ""}',
        "an inner model": b'{"x": {"model": "m"}}',
        "capitals": b'{"MODEL": "m"}',
        "two models": b'{"model": "m", "model": "n"}',
        "two models that agree": b'{"model": "m", "model": "m"}',
        "a second model in capitals": b'{"model": "m", "Model": "n"}',
        "a second model in escapes": b'{"model": "m", "\\u006dODEL": "n"}',
        "a second set of options": b'{"model": "m", "options": {"num_gpu": 0}, "options": {}}',
        "options in capitals": b'{"model": "m", "OPTIONS": {"num_gpu": 0}}',
        "options with a long s": '{"model": "m", "option\u017f": {"num_gpu": 0}}'.encode(),
        "another context": b'{"model": "m", "options": {"num_ctx": 1000000}}',
        "the CPU": b'{"model": "m", "options": {"num_gpu": 0}}',
        "another GPU": b'{"model": "m", "options": {"main_gpu": 7}}',
        "a context as text": b'{"model": "m", "options": {"num_ctx": "8192"}}',
        "a lone surrogate": b'{"model": "\\ud800"}',
        "bad UTF-8": b'{"model": "\xff\xfe"}',
        "an overlong slash": b'{"model": "m\xc0\xaf"}',
        "UTF-16": '{"model": "m"}'.encode("utf-16"),
        "UTF-32": '{"model": "m"}'.encode("utf-32"),
        "a NUL inside": b'{"model": "m\x00"}',
        "a line break inside": b'{"model": "m\n"}',
        "NaN": b'{"model": "m", "x": NaN}',
        "1,000 lists": b'{"model": "m", "x": ' + b"[" * 1_000 + b"]" * 1_000 + b"}",
        "100,000 lists": b'{"model": "m", "x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        "100,000 open lists": b"[" * 100_000,
        "100,000 open objects": b'{"a":' * 100_000,
        "gzip": b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03",
        "multipart": b'--x\r\ncontent-disposition: form-data; name="model"\r\n\r\nm\r\n--x--\r\n',
    }.items():
        yield Attack(f"body: {title}", post(body=body), BAD)
    for title, name in {
        "CRLF": "a\\r\\nx-injected: 1",
        "quotes": 'a\\"b',
        "a slash up": "../../etc/passwd",
        "a NUL in escapes": "m\\u0000",
        "a format": "%DYNAMIC_METADATA(fleet:key)%",
        "a request header format": "%REQ(x-api-key)%",
        "unicode": "\u043c",
        "a right-to-left mark": "m\u202e",
        "full width": "\uff4d",
        "a space": "m ",
        "a space before": " m",
        "a wildcard": "*",
        "an order of pools": "t4>k80",
        "a cluster of the door's own": "beside",
        "no model of ours": "unknown-model",
        "markup": "<script>alert(1)</script>",
        "SQL": "m' or '1'='1",
        "a URL": "http://169.254.169.254/latest",
        "two tags": "m:latest:latest",
        "350 letters": "x" * 350,
        "100,000 letters": "x" * 100_000,
        "library of library": "library/library/m",
        "Lua": 'm" .. os.exit() .. "',
    }.items():
        yield Attack(f"model: {title}", post(body=f'{{"model": "{name}"}}'.encode()), NOT_FOUND | BAD)


def paths() -> Iterator[Attack]:
    """Ways to a route that is closed."""
    for name in ("pull", "push", "create", "copy", "delete", "blobs/sha256:00", "me", "signout", "experimental/x"):
        yield Attack(f"path: /api/{name}", post(f"/api/{name}"), CLOSED)
    for path in (
        "/api//pull", "//api/pull", "///api///pull", "/api/./pull", "/./api/pull", "/api/x/../pull", "/x/../api/pull",
        "/api/chat/../pull", "/api/chat/../../api/pull", "/api/%70ull", "/%61pi/pull", "/%61%70%69/%70%75%6c%6c",
        "/api/pull?", "/api/pull?x", "/api/pull?model=m", "/api/pull#x", "/api/chat/%2e%2e/pull", "/api/chat/.%2e/pull",
        "/api%2fpull", "/api%2Fpull", "/api%5cpull", "/api\\pull", "/api/chat%2f..%2fpull", "/api/chat/..%2fpull",
        "/api/chat/%2e%2e%2fpull", "/api/pull%00", "/api/pull%0d%0a", "/api/pull%20", "/api/pull;x=1", "/api/pull/",
        "/api/pull/x", "/api/PULL", "/API/pull", "/Api/Pull", "/api/pull.", "/api/pull,", "/api/%2570ull",
        "/api/pul%6c%",
        "/../api/pull", "/../../api/pull", "/api/../../api/pull", "/api/\xa0pull", "/api/p\u00fcll", "/api/chat/pull",
        "/v1/../api/pull", "/v1/models/../../api/pull", "/healthz/../api/pull", "/healthz/api/pull", "/?/api/pull",
        "/v1/models/m/../../../api/pull",
    ):  # fmt: skip
        yield Attack(f"path: {path}", post(path), CLOSED | GONE)
    for path in ("/stats", "/config_dump", "/quitquitquit", "/drain", "/drain_listeners", "/metrics", "/debug/pprof",
                 "/readyz", "/server_info", "/api", "/api/", "/v1", "/.env", "/fleet.json", "/simulator"):  # fmt: skip
        yield Attack(f"path: {path}", post(path), NOT_FOUND)
    for target in ("http://door/api/pull", "HTTP://door/api/pull", "http://127.0.0.1:9901/quitquitquit", "*",
                   "api/pull", "door:11434", "http://"):  # fmt: skip
        head = f"POST {target} HTTP/1.1\nhost: door\nx-api-key: {KEY}\ncontent-length: {len(GOOD)}"
        yield Attack(f"target: {target}", raw(head, GOOD), CLOSED | GONE)
    for method in ("PULL", "CONNECT", "TRACE", "PROPFIND", "post", "DELETE", "PUT", "PATCH", "X" * 100, "PRI"):
        head = f"{method} /api/pull HTTP/1.1\nhost: door\nx-api-key: {KEY}\ncontent-length: 0"
        yield Attack(f"method: {method[:20]}", raw(head), CLOSED | GONE)


def headers() -> Iterator[Attack]:
    """Headers that mean to decide something, or to be read in two ways."""
    answered = frozenset({200})
    for header in ("x-ollama-model: n", "x-fleet-pool: k80", "x-fleet-key: everyone",
                   "x-envoy-original-path: /api/pull",
                   "x-original-url: /api/pull", "x-rewrite-url: /api/pull", "x-http-method-override: DELETE",
                   "x-envoy-upstream-rq-timeout-ms: 1", "x-envoy-max-retries: 99", "x-envoy-retry-on: 5xx",
                   "x-envoy-force-trace: 1", "x-envoy-internal: true", "x-envoy-decorator-operation: x",
                   "x-forwarded-host: evil.example", "x-forwarded-for: 127.0.0.1", "x-forwarded-proto: https",
                   "forwarded: for=127.0.0.1", "x-request-id: %0d%0a", "expect: 100-continue", "te: trailers",
                   "content-type: application/x-www-form-urlencoded", "accept-encoding: bomb", "range: bytes=0-",
                   "cookie: x=y", "connection: close", "upgrade: websocket", "upgrade: h2c",
                   # taken as one line, and as one value
                   "x-a: 1\r\n 2", "x-a: 1\rx-b: 2", "host: evil.example"):  # fmt: skip
        yield Attack(
            f"header: {header}", post("/api/chat", GOOD, header), answered | {100, 400, 403, 404, 426}, passes=True
        )
        if header.startswith(("x-", "forwarded")):
            yield Attack(f"closed: {header}", post("/api/pull", GOOD, header), CLOSED)
    for title, header in {
        "a space before the colon": "x-a : 1",
        "no colon": "x-a",
        "no name": ": 1",
        "a NUL": "x-a: \x00",
        "an underscore": "x_ollama_model: n",
        "two lengths": "content-length: 3",
        "a length and chunks": "transfer-encoding: chunked",
        "chunks in disguise": "transfer-encoding: xchunked",
        "chunks twice": "transfer-encoding: chunked, chunked",
        "identity": "transfer-encoding: identity",
        "chunks behind a tab": "transfer-encoding:\tchunked",
        "chunks in capitals": "Transfer-Encoding: CHUNKED",
        "40 KB": "x-a: " + "x" * 40_000,
        "a second key": "x-api-key: other",
        "a wrong bearer": "authorization: Bearer other",
    }.items():
        yield Attack(f"header: {title}", post("/api/chat", GOOD, header), frozenset({400, 401, 431, 501}))
    for title, length in {"minus": "-1", "a plus": "+5", "hexadecimal": "0x10", "a word": "all", "endless": "9" * 30,
                          "a list": "5, 5", "a fraction": "5.0", "nothing": ""}.items():  # fmt: skip
        head = f"POST /api/chat HTTP/1.1\nhost: door\nx-api-key: {KEY}\ncontent-length: {length}"
        yield Attack(f"length: {title}", raw(head, GOOD), frozenset({400, 413}))
    chunked = f"POST /api/chat HTTP/1.1\nhost: door\nx-api-key: {KEY}\ntransfer-encoding: chunked"
    smuggled = b"0\r\n\r\nPOST /api/pull HTTP/1.1\r\nhost: door\r\n\r\n"
    for title, body in {"a bad size": b"zz\r\n", "a negative size": b"-1\r\n", "a size too large": b"f" * 40 + b"\r\n",
                        "no end of line": b"2\r\n{}XX", "a request behind": smuggled}.items():  # fmt: skip
        yield Attack(f"chunks: {title}", raw(chunked, body), BAD | {None})
    for title, head in {
        "no host": f"POST /api/chat HTTP/1.1\nx-api-key: {KEY}\ncontent-length: 0",
        "HTTP/0.9": "GET /",
        "HTTP/9.9": "GET / HTTP/9.9\nhost: door",
        "no version": "GET / \nhost: door",
        "a TLS hello": "\x16\x03\x01\x02\x00\x01",
        "nothing but spaces": "   ",
        "a NUL": "\x00\x00",
    }.items():
        yield Attack(f"start: {title}", raw(head), frozenset({400, 426, 505}))


@cache
def table() -> tuple[Attack, ...]:
    """All of them."""
    return (*bodies(), *paths(), *headers())


def mutated(seed: int) -> bytes:
    """One of them with some bytes changed, doubled, moved or cut; the same for the same seed."""
    chance = random.Random(seed)  # noqa: S311
    attack = chance.choice(table())
    data = bytearray(attack.request[:20_000])
    for _ in range(chance.randint(1, 8)):
        at = chance.randrange(len(data) + 1)
        match chance.randrange(4):
            case 0:
                data[at : at + 1] = bytes([chance.randrange(256)])
            case 1:
                data[at:at] = chance.choice([b"\r\n", b"\x00", b"%2e", b"/", b'"', b"{", b":", b" ", b"\xff"])
            case 2:
                data[at : at + chance.randint(1, 40)] = b""
            case 3:
                data[at:at] = data[at : at + chance.randint(1, 200)]
    return bytes(data)
