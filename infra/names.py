"""Names as Ollama and Kubernetes compare and bound them; used by the file, the plan and the components."""

import hashlib
import re
from collections.abc import Sequence

DEFAULT_REGISTRY = "registry.ollama.ai/"
DEFAULT_NAMESPACE = "library/"
DNS_LABEL_LENGTH = 63


def canonical_model(name: str) -> str:
    """`name` as Ollama compares names: no default registry or namespace, always with a tag, without regard to case.

    The tag is split only at a last `:` behind the last `/` (host:port/model has none).
    """
    name = name.lower().removeprefix(DEFAULT_REGISTRY).removeprefix(DEFAULT_NAMESPACE)
    return name if ":" in name.rsplit("/", 1)[-1] else f"{name}:latest"


def short(name: str, length: int) -> str:
    """`name` if it has at most `length` characters, else its head and eight hex digits of its hash.

    The same name always gives the same result, and two long names that share a head stay apart.
    """
    if len(name) <= length:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:8]
    return f"{name[: length - 9].rstrip('-.')}-{digest}"


def fingerprint(text: str) -> str:
    """Sixteen hex digits of the hash of `text`, for an annotation that changes when the text does."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def key(name: str) -> str:
    """`name` as a ConfigMap key or volume path: what Kubernetes refuses is replaced, and a hash keeps names apart."""
    safe = re.sub(r"[^A-Za-z0-9_.-]", "-", name)
    return short(safe if safe == name else f"{safe}-{hashlib.sha256(name.encode()).hexdigest()[:8]}", 200)


def some(names: Sequence[str]) -> str:
    """The first six, for a sentence that must not grow with the file."""
    return f"{', '.join(names[:6])}{', ...' if names[6:] else ''}"
