"""What a registry says of a model: its manifest's digest, its size, and the shape in the header of its weights."""

import hashlib
import http.client
import json
import re
import tempfile
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from infra import gguf_header
from infra.catalogue.types import Shape
from infra.plan.lock import LARGEST_NUMBER
from infra.plan.sources import PLAIN_HTTP
from infra.unreachable import why

DEFAULT_HOST = "registry.ollama.ai"
MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
WEIGHTS = "application/vnd.ollama.image.model"
HEADER_SIZES = tuple(2**exponent for exponent in (20, 23, 25, 27))
"""Bytes of the weights that are asked for until the whole header is there: the vocabulary stands in it."""
LARGEST_MANIFEST = 2**22
LARGEST_MODEL = 2**42
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
FAMILY = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")
SECONDS = 60
"""Without a byte."""
SECONDS_IN_ALL = 600
"""For one answer: a byte now and then is none."""


class RegistryError(Exception):
    """A registry that does not give what it is asked for, in a sentence."""


class UnreachableError(RegistryError):
    """A registry that does not answer at all: another of its models need not be asked for."""


@dataclass(frozen=True, kw_only=True)
class Found:
    """A model as its registry has it."""

    digest: str
    size: int
    weights: str
    url: str
    """Of the repository: manifests and blobs are below it."""


@dataclass(frozen=True, kw_only=True)
class Header:
    """What the plan needs of a GGUF's header."""

    family: str
    kind: str
    quantization: str
    max_context: int
    shape: Shape


def find(source: str) -> Found:
    """Resolve the name that a pool pulls (`llama3.2:1b`, `host/namespace/model:tag`). Raises RegistryError."""
    url, tag = _repository(source)
    body = _get(f"{url}/manifests/{tag}", source, {"Accept": MANIFEST}, most=LARGEST_MANIFEST)
    try:
        manifest: dict[str, Any] = json.loads(body)
        layers = manifest["layers"]
        weights = str(next(layer["digest"] for layer in layers if layer["mediaType"] == WEIGHTS))
        sizes = [int(layer["size"]) for layer in [*layers, manifest["config"]]]
    except (ValueError, KeyError, TypeError, StopIteration, OverflowError, RecursionError):
        raise RegistryError(f"{source} is no model of Ollama: its manifest names no weights") from None
    if not DIGEST.fullmatch(weights):
        raise RegistryError(f"{source} is no model of Ollama: its weights have no sha256 digest")
    if min(sizes) < 0 or not 0 < sum(sizes) <= LARGEST_MODEL:
        raise RegistryError(f"{source} is no model of Ollama: its manifest has a size that none has")
    return Found(digest=hashlib.sha256(body).hexdigest(), size=sum(sizes), weights=weights, url=url)


def host(source: str) -> str:
    """Whom `find` asks."""
    return urlsplit(_repository(source)[0]).netloc


def _repository(source: str) -> tuple[str, str]:
    scheme = "http" if source.startswith(PLAIN_HTTP) else "https"
    *before, short = source.removeprefix(PLAIN_HTTP).split("/")
    model, _, tag = short.partition(":")
    namespace = before[-1] if before else "library"
    where = "/".join(before[:-1]) or DEFAULT_HOST
    return f"{scheme}://{where}/v2/{namespace}/{model}", tag or "latest"


def header(found: Found, source: str) -> Header:
    """The header of a model's weights, by range requests. Raises RegistryError."""
    for size in HEADER_SIZES:
        start = _get(f"{found.url}/blobs/{found.weights}", source, {"Range": f"bytes=0-{size - 1}"}, most=size)
        try:
            if gguf_header.length(start) is None:
                continue
        except gguf_header.NoHeaderError:
            break
        if (read := _read(start, found.size)) is None:
            break
        return read
    raise RegistryError(f"the weights of {source} have no header that can be read: is it a GGUF?")


def _get(url: str, source: str, headers: dict[str, str], most: int) -> bytes:
    """At most the first `most` bytes."""
    request = urllib.request.Request(url, headers=headers)  # noqa: S310 - http or https, by `find`
    end = time.monotonic() + SECONDS_IN_ALL
    body = bytearray()
    try:
        with urllib.request.build_opener(_Redirects).open(request, timeout=SECONDS) as reply:
            while len(body) < most and (piece := reply.read1(min(2**20, most - len(body)))):
                body += piece
                if time.monotonic() > end:
                    raise RegistryError(
                        f"the registry sends {source} too slowly: {len(body)} bytes in {SECONDS_IN_ALL} s"
                    )
            return bytes(body)
    except urllib.error.HTTPError as failure:
        if failure.code == 404:
            raise RegistryError(f"the registry does not know {source}: check its name and tag") from None
        if 300 <= failure.code < 400:
            raise RegistryError(
                f"the registry leads round in circles for {source}, or away from HTTP ({failure.code})"
            ) from None
        raise RegistryError(f"the registry answers {failure.code} for {source}") from None
    except http.client.HTTPException as failure:
        raise RegistryError(f"the registry of {source} does not speak HTTP: {type(failure).__name__}") from None
    except (OSError, ValueError) as failure:
        raise UnreachableError(f"the registry {urlsplit(url).netloc} is not reachable: {why(failure)}") from None


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows to https, and to http only from there: nobody on the way shall choose what is pinned."""

    def redirect_request(
        self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        scheme = urlsplit(newurl).scheme.lower()
        if scheme != "https" and not (scheme == "http" and req.type == "http"):
            raise RegistryError(f"the registry of {req.host} leads to {scheme or 'no'}://, which is not followed")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _read(start: bytes, whole: int) -> Header | None:
    """The header, or None where it does not end within `start`."""
    from gguf import GGUFReader, LlamaFileType

    with tempfile.NamedTemporaryFile(suffix=".gguf") as file:
        file.write(start)
        # as long as the weights, so that the reader finds where its tensors would be; a hole takes no room
        file.truncate(max(whole, len(start)))
        try:
            reader = GGUFReader(Path(file.name))
        except (ValueError, KeyError, IndexError, TypeError, OverflowError, MemoryError):
            return None
        if reader.data_offset > len(start):
            return None
        fields = reader.fields

        def value(name: str, default: Any = None) -> Any:
            field = fields.get(name) or fields.get(f"{family}.{name}")
            return field.contents() if field is not None else default

        family = ""
        family = str(value("general.architecture", ""))
        if not FAMILY.fullmatch(family):
            return None
        try:
            heads = _most(value("attention.head_count"))
            embedding = int(value("embedding_length"))
            read = Header(
                family=family,
                kind="embedding" if value("pooling_type") is not None else "chat",
                quantization=LlamaFileType(int(value("general.file_type", 0))).name.removeprefix("MOSTLY_"),
                max_context=int(value("context_length")),
                shape=Shape(
                    layers=int(value("block_count")),
                    heads=heads,
                    kv_heads=_most(value("attention.head_count_kv", heads)),
                    head_dim=int(value("attention.key_length", embedding // heads)),
                    embedding=embedding,
                    vocabulary=int(value("vocab_size") or len(fields["tokenizer.ggml.tokens"].data)),
                ),
            )
        except (TypeError, ValueError, KeyError, ZeroDivisionError):
            return None
        numbers = [read.max_context, *read.shape.model_dump(exclude={"sliding"}).values()]
        return read if max(numbers) < LARGEST_NUMBER and read.max_context > 0 else None


def _most(value: Any) -> int:
    """A number, or the largest of one for each layer: what is reckoned with it errs on the safe side."""
    return max(map(int, value)) if isinstance(value, list) else int(value)
