"""What an Ollama beside somebody's own application serves, and with which image: decided from its parameters alone."""

import re

from infra.catalogue import load
from infra.plan.model import Prepared
from infra.plan.modelfile import FROM, INPUT

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:/-]*")
DIGEST = re.compile(r"(?:sha256:)?([0-9a-f]{64})")


def default_image() -> str:
    """The official Ollama that the catalogue knows best."""
    return load().releases.default_image


def prepared(name: str, modelfile: str | None, digest: str | None, *, inputs: bool) -> Prepared:
    """The one model, pulled or made from its Modelfile. Raises ValueError, which names cause and remedy."""
    if not NAME.fullmatch(name):
        raise ValueError(f"{name!r} is no name of a model: write it as for ollama pull, llama3.2:3b for instance")
    pinned = DIGEST.fullmatch(digest) if digest is not None else None
    if digest is not None and pinned is None:
        raise ValueError(f"the digest of {name} is not 64 hex digits: take the manifest's, as `fleet pin` finds it")
    if modelfile is None:
        return Prepared(name=name, action="pull", source=name, digest=pinned[1] if pinned else None)
    if pinned:
        raise ValueError(f"{name} is made from its Modelfile, so a digest cannot pin it: take the digest out")
    if not FROM.search(modelfile):
        raise ValueError(f"the Modelfile of {name} has no FROM: begin it with FROM and a model, FROM llama3.2:3b")
    if not inputs and (missing := INPUT.search(modelfile)):
        raise ValueError(f"nothing fills {missing[0]} of the Modelfile of {name}: give the sidecar inputs, or write it")
    return Prepared(name=name, action="create", source=modelfile if modelfile.endswith("\n") else modelfile + "\n")
