"""What clients ask for."""

from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Field, model_validator

from infra.config.model.section import Section
from infra.config.types import Count, Digest, InputValue, ModelName, PoolName, Quantity, RegistryName, refuse


class Model(Section):
    """A name that clients ask for, and the pools that serve it in order of preference."""

    pools: tuple[PoolName, ...] = ()
    """The pools in order of preference."""
    context: Count | None = None
    """Tokens per request; left out, the smallest context of its pools."""
    digest: Digest | None = None
    """The sha256 of its manifest, 64 hex digits; with FROM a file or an address, that of the weights."""
    modelfile: Annotated[str, Field(min_length=1)] | None = None
    """Makes the model: FROM another model, ./FILE.gguf or https://HOST/FILE.gguf, and what is laid over it."""
    inputs: dict[str, InputValue] = {}
    """What fills {inputs.NAME} in the modelfile."""
    registry: RegistryName | None = None
    """As the pool's, or a name in full: host/namespace/model:tag."""
    vram: Quantity | None = None
    """What the model needs on the GPU, for one that the catalogue does not know."""
    disk: Quantity | None = None
    """What its files take, for one that the catalogue does not know."""

    @model_validator(mode="after")
    def _inputs_have_a_modelfile(self) -> Self:
        if self.inputs and self.modelfile is None:
            raise refuse("inputs fill a modelfile, and there is none", "add modelfile or take inputs out")
        return self


def _model(value: Any) -> Any:
    """`[t4, a100]` is short for `{pools: [t4, a100]}`; nothing at all is a model without pools."""
    if value is None:
        return {}
    if isinstance(value, str):
        raise refuse("the pools of a model are a list", "write them in brackets, for instance [t4]")
    return {"pools": value} if isinstance(value, list) else value


ModelInput = BeforeValidator(_model, json_schema_input_type=Model | list[str] | None)


class Alias(Section):
    """Another name for a model, or a split between models by weight."""

    targets: dict[ModelName, Annotated[int, Field(strict=True, ge=1, le=10_000)]]


def _alias(value: Any) -> Any:
    if isinstance(value, str):
        return {"targets": {value: 1}}
    if isinstance(value, dict) and value:
        return {"targets": value}
    raise refuse("an alias names a model or a split", "write a model's name, or {model-a: 90, model-b: 10}")


AliasInput = BeforeValidator(_alias, json_schema_input_type=str | dict[str, int])
