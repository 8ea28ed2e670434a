"""What `fleet add` and `fleet pin` read from registries (fleet.lock.toml), laid under file and catalogue."""

from datetime import date
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from infra.catalogue.types import Catalogue, Shape
from infra.catalogue.types import Model as ModelFacts
from infra.config import FleetConfig, Model
from infra.config.types import Digest
from infra.names import canonical_model

LARGEST_NUMBER = 2**31
"""Of a shape: what is larger is no model's."""
LARGEST_GB = 2**42 / 10**9
FACTS = {"family", "kind", "quantization", "max_context", "size_gb", "source", "date"}


class Locked(BaseModel):
    """One model as its registry had it on a day. Without a shape it is only pinned."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    digest: Digest
    size_gb: float = Field(gt=0, le=LARGEST_GB)
    source: str
    date: date
    family: str = ""
    kind: Literal["chat", "embedding"] = "chat"
    quantization: str = ""
    max_context: int = Field(default=0, ge=0, lt=LARGEST_NUMBER)
    shape: Shape | None = None

    @property
    def facts(self) -> ModelFacts | None:
        """What the catalogue would say of it; None where nobody read its shape."""
        if self.shape is None:
            return None
        return ModelFacts.model_validate({**self.model_dump(include=FACTS), "shape": self.shape})

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        # a lock edited by hand is refused where it is read, not where a plan is made of it
        try:
            _ = self.facts
        except ValidationError as failure:
            wrong = failure.errors()[0]
            raise ValueError(f"{'.'.join(map(str, wrong['loc']))}: {wrong['msg']}") from None
        if self.shape is not None:
            numbers = self.shape.model_dump(exclude={"sliding"}).values()
            if max(numbers) >= LARGEST_NUMBER or self.max_context < 1 or not self.family:
                raise ValueError("no model has this shape")
        return self


class Lock(BaseModel):
    """The whole of fleet.lock.toml."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    models: dict[str, Locked] = {}


def apply(catalogue: Catalogue, config: FleetConfig, lock: Lock) -> tuple[Catalogue, FleetConfig]:
    """Catalogue and file with what the lock adds; no fact of the catalogue and no word of the file is replaced."""
    known = {canonical_model(name) for name in [*catalogue.models, *catalogue.latest.tags]}
    locked = {canonical_model(name): entry for name, entry in lock.models.items()}
    facts = {
        name: entry.facts
        for name, entry in lock.models.items()
        if entry.facts is not None and canonical_model(name) not in known
    }
    models = {
        name: _pinned(model, locked[canonical_model(name)].digest)
        if model.digest is None and model.modelfile is None and canonical_model(name) in locked
        else model
        for name, model in config.models.items()
    }
    return (
        catalogue.model_copy(update={"models": {**catalogue.models, **facts}}) if facts else catalogue,
        config.model_copy(update={"models": models}) if lock.models else config,
    )


def _pinned(model: Model, digest: str) -> Model:
    pinned = model.model_copy(update={"digest": digest})
    pinned.model_fields_set.discard("digest")  # the file does not say it
    return pinned
