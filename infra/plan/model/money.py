"""What it costs."""

from dataclasses import dataclass
from datetime import date


@dataclass(frozen=True, kw_only=True)
class Money:
    """USD per hour at the minimum and at the maximum of replicas. The minimum is the mean of a month: it includes the
    hours in which schedules keep more replicas up."""

    minimum: float
    maximum: float

    def __add__(self, other: "Money") -> "Money":
        return Money(minimum=self.minimum + other.minimum, maximum=self.maximum + other.maximum)


@dataclass(frozen=True, kw_only=True)
class CostLine:
    """One line of the bill. `pool` is None for what stands whether or not any pool does."""

    title: str
    pool: str | None
    hourly: Money


@dataclass(frozen=True, kw_only=True)
class CostPlan:
    """What the fleet costs by list price."""

    region: str
    priced_in: str
    """The region whose prices were used; not `region` where the catalogue has none for it."""
    date: date
    """The oldest price used."""
    hours_per_month: int
    lines: tuple[CostLine, ...]
    not_counted: tuple[str, ...]
    budget: float | None = None
    """USD per month that the file allows; a check, not a cap."""

    @property
    def total(self) -> Money:
        """Of all lines."""
        return sum((line.hourly for line in self.lines), Money(minimum=0.0, maximum=0.0))

    def pool(self, name: str) -> Money:
        """Of one pool."""
        return sum((line.hourly for line in self.lines if line.pool == name), Money(minimum=0.0, maximum=0.0))

    @property
    def base(self) -> Money:
        """Of what stands without any pool."""
        return sum((line.hourly for line in self.lines if line.pool is None), Money(minimum=0.0, maximum=0.0))

    def monthly(self, hourly: float) -> float:
        """`hourly` for a month."""
        return hourly * self.hours_per_month
