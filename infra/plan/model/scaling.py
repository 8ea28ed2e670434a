"""How many replicas there are, and when."""

from dataclasses import dataclass
from typing import Literal

from infra.plan.model.hardware import Asked


@dataclass(frozen=True, kw_only=True)
class WindowPlan:
    """Keeps `replicas` pods between two cron times."""

    start: str
    end: str
    timezone: str
    replicas: int


@dataclass(frozen=True, kw_only=True)
class KeptPlan:
    """What schedules keep up beyond the pool's minimum."""

    replicas: int
    hours: float
    """Of a month, in which they keep just as many."""
    machines: int
    """More than at the minimum of replicas."""
    monthly: float | None
    """USD of these machines in these hours; None without a price."""


@dataclass(frozen=True, kw_only=True)
class SleepPlan:
    """How a pool without a pod comes back, and what that costs."""

    wake: Literal["hold", "fallback"]
    hold_for: int
    """Seconds that a request waits for the pool at most."""
    held_at_most: int
    """Requests that wait at a time, in each router pod; one more is refused."""
    starts_within: int
    """Seconds that a wake should take."""
    idle_after: int
    """Seconds without a request after which the last pod goes."""
    billed_minutes: float
    """Node-minutes of a wake for one request; gaps longer than that are cheaper asleep."""
    wake_cost: float | None
    """USD of such a wake; None without a price."""
    saved_hourly: float | None
    """USD per hour asleep."""
    hours: float
    """Of a month, in which no schedule keeps it up."""


@dataclass(frozen=True, kw_only=True)
class ScalingPlan:
    """What a pool's replicas follow."""

    by: Literal["inFlight", "utilization", "fixed"]
    target: int
    """Requests in flight per replica, or per cent of the request."""
    up_after: int
    down_after: int
    up_every: int
    down_every: int
    """Seconds for one pod more, or fewer."""
    look_every: int
    """Seconds between two looks of KEDA."""
    windows: tuple[WindowPlan, ...]
    kept: tuple[KeptPlan, ...]
    """By these windows, the most replicas first."""
    sleep: SleepPlan | None

    @property
    def by_keda(self) -> bool:
        """Whether KEDA has to be there."""
        return self.by == "inFlight"


@dataclass(frozen=True, kw_only=True)
class KedaPlan:
    """KEDA as the program installs it."""

    chart: str
    version: str
    repository: str
    namespace: str
    metrics_port: int
    operator: Asked
    metrics_server: Asked
