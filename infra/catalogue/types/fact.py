"""What every part of the catalogue has in common."""

from datetime import date
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Version = Annotated[str, Field(pattern=r"^\d+(\.\d+)*$")]
Zone = Annotated[str, Field(pattern=r"^[a-z]+-[a-z]+\d+-[a-z]$")]


class Part(BaseModel):
    """A part of the catalogue: it does not change, and a key that nobody knows is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Fact(Part):
    """One entry: what somebody else says is so. `inferred` marks what no source states in so many words."""

    source: str = Field(min_length=4)
    date: date
    inferred: bool = False
