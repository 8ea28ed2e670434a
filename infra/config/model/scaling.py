"""How many pods a pool has, and when."""

from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, field_validator, model_validator

from infra.config.model.section import Section
from infra.config.types import Count, Duration, refuse, shown


class Replicas(Section):
    """How many pods a pool has; different numbers mean that it scales between them."""

    min: Annotated[int, Field(strict=True, ge=0, le=1000)]
    """The fewest pods; 0 lets the pool sleep."""
    max: Annotated[int, Field(strict=True, ge=1, le=1000)]
    """The most pods."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.min > self.max:
            raise refuse(f"at least {self.min} and at most {self.max} cannot both hold", "put the smaller number first")
        return self

    @property
    def scales(self) -> bool:
        """Whether an autoscaler owns the number."""
        return self.min != self.max


class Scaling(Section):
    """What a pool's replicas follow."""

    by: Literal["inFlight", "utilization", "fixed"]
    """What is counted; fixed: nothing, and replicas is one number."""
    target: Count | None = None
    """Requests in flight per replica, or per cent of the request for `utilization`; default by the pool's parallel."""
    up_after: Duration = 30
    """How long the figure has to be above the target."""
    down_after: Duration = 600
    """How long it has to be below it."""


def _scaling(value: Any) -> Any:
    return {"by": value} if isinstance(value, str) else value


ScalingInput = BeforeValidator(_scaling, json_schema_input_type=str | dict[str, Any])


MOST_WINDOWS = 50
"""Of a schedule: one for each day of a month leaves room."""


class ScheduleWindow(Section):
    """Keeps `replicas` pods between two cron times (five fields)."""

    start: Annotated[str, Field(alias="from")]
    """When it begins, as five cron fields: 0 8 * * 1-5."""
    end: Annotated[str, Field(alias="to")]
    """When it ends, as five cron fields."""
    timezone: str = "UTC"
    """A name of the IANA database, such as Europe/Berlin."""
    replicas: Count = 1
    """How many pods are kept meanwhile."""

    @field_validator("start", "end")
    @classmethod
    def _five_fields(cls, value: str) -> str:
        if len(value.split()) != 5:
            raise refuse(
                f"{shown(value)} is not a cron time",
                "write five fields, for instance '0 8 * * 1-5' for 8:00 on workdays",
            )
        # KEDA makes the name of a metric of it
        return " ".join(value.split())
