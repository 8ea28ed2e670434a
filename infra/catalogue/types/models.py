"""Models of the Ollama library."""

from typing import Literal

from pydantic import Field

from infra.catalogue.types.fact import Fact, Part, Version


class SlidingWindow(Part):
    """Layers that keep only the last `window` tokens."""

    layers: int = Field(ge=1)
    window: int = Field(ge=1)


class Shape(Part):
    """What the memory formula needs of a transformer. `kv_heads * head_dim` is the width of K and of V."""

    layers: int = Field(ge=1)
    heads: int = Field(ge=1)
    kv_heads: int = Field(ge=1)
    head_dim: int = Field(ge=1)
    embedding: int = Field(ge=1)
    vocabulary: int = Field(ge=1)
    sliding: SlidingWindow | None = None


class Model(Fact):
    """A model of the Ollama library: its default tag's file and its shape."""

    family: str
    kind: Literal["chat", "embedding"] = "chat"
    size_gb: float = Field(gt=0)  # decimal GB of the weights on disk
    quantization: str  # of that file: says which one the size is of
    max_context: int = Field(ge=1)
    shape: Shape
    single_parallel: bool = False  # Ollama forces OLLAMA_NUM_PARALLEL to 1 for this family
    minimum_ollama: Version | None = None


class Latest(Fact):
    """The library's bare names, and the tag that each stands for."""

    tags: dict[str, str]
