"""Machine types, and what may be attached to them."""

from pydantic import Field, model_validator

from infra.catalogue.types.fact import Fact


class Machine(Fact):
    """A Compute Engine machine type. `gpu`/`gpus` only where the GPU comes with the machine."""

    family: str
    vcpus: int = Field(ge=1)
    memory_gb: float = Field(gt=0)  # as Google writes it: 1 GB here is 1 GiB of the machine's memory
    gpu: str | None = None
    gpus: float = 0  # a fraction of one for the small g4 shapes

    @model_validator(mode="after")
    def _count_goes_with_kind(self) -> "Machine":
        if (self.gpu is None) != (self.gpus == 0):
            raise ValueError("`gpu` and `gpus` go together")
        return self


class AttachLimit(Fact):
    """How large an N1 machine may be beside `gpus` attached GPUs of one kind."""

    gpu: str
    gpus: int = Field(ge=1)
    max_vcpus: int
    max_memory_gb: float
