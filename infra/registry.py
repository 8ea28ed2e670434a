"""What a registry says of a model: its manifest's digest, its size, and the shape in the header of its weights."""

import hashlib
import json
import tempfile
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infra.catalogue.types import Shape
from infra.plan.sources import PLAIN_HTTP

DEFAULT_HOST = "registry.ollama.ai"
MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
WEIGHTS = "application/vnd.ollama.image.model"
HEADER_SIZES = tuple(2**exponent for exponent in (20, 23, 25, 27))
"""Bytes of the weights that are asked for until the whole header is there: the vocabulary stands in it."""
SECONDS = 60


class RegistryError(Exception):
    """A registry that does not give what it is asked for, in a sentence."""


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
    scheme = "http" if source.startswith(PLAIN_HTTP) else "https"
    *before, short = source.removeprefix(PLAIN_HTTP).split("/")
    model, _, tag = short.partition(":")
    namespace = before[-1] if before else "library"
    host = "/".join(before[:-1]) or DEFAULT_HOST
    url = f"{scheme}://{host}/v2/{namespace}/{model}"
    body = _get(f"{url}/manifests/{tag or 'latest'}", source, {"Accept": MANIFEST})
    try:
        manifest: dict[str, Any] = json.loads(body)
        layers = manifest["layers"]
        weights = next(layer["digest"] for layer in layers if layer["mediaType"] == WEIGHTS)
        size = sum(int(layer["size"]) for layer in [*layers, manifest["config"]])
    except (ValueError, KeyError, TypeError, StopIteration):
        raise RegistryError(f"{source} is no model of Ollama: its manifest names no weights") from None
    return Found(digest=hashlib.sha256(body).hexdigest(), size=size, weights=str(weights), url=url)


def header(found: Found, source: str) -> Header:
    """The header of a model's weights, by range requests. Raises RegistryError."""
    for size in HEADER_SIZES:
        start = _get(f"{found.url}/blobs/{found.weights}", source, {"Range": f"bytes=0-{size - 1}"}, most=size)
        if (read := _read(start, found.size)) is not None:
            return read
    raise RegistryError(f"the weights of {source} have no header that can be read: is it a GGUF?")


def _get(url: str, source: str, headers: dict[str, str], most: int = 2**22) -> bytes:
    request = urllib.request.Request(url, headers=headers)  # noqa: S310 - http or https, by `find`
    try:
        with urllib.request.urlopen(request, timeout=SECONDS) as reply:  # noqa: S310
            body: bytes = reply.read(most)
            return body
    except urllib.error.HTTPError as failure:
        if failure.code == 404:
            raise RegistryError(f"the registry does not know {source}: check its name and tag") from None
        raise RegistryError(f"the registry answers {failure.code} for {source}") from None
    except (OSError, ValueError) as failure:
        raise RegistryError(f"the registry of {source} is not reachable: {failure}") from None


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
        try:
            heads = _most(value("attention.head_count"))
            embedding = int(value("embedding_length"))
            return Header(
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


def _most(value: Any) -> int:
    """A number, or the largest of one for each layer: what is reckoned with it errs on the safe side."""
    return max(map(int, value)) if isinstance(value, list) else int(value)
