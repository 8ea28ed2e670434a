"""What a change does, as data: keys of the file, pools, models, resources, money, risks."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, StrEnum
from typing import Any

from infra.plan.model import FleetPlan, Money
from infra.problem import Problem


class Level(StrEnum):
    """How much a change asks of its reviewer; each includes those before it."""

    NOTHING = "nothing"
    IN_PLACE = "in-place"
    REPLACE = "replace"
    """Something that stands is taken away: replaced or removed."""
    RISK = "risk"

    @property
    def rank(self) -> int:
        """Position from nothing (0) to risk (3)."""
        return list(Level).index(self)


class Action(StrEnum):
    """What happens to one resource."""

    CREATE = "create"
    UPDATE = "update"
    REPLACE = "replace"
    DELETE = "delete"


@dataclass(frozen=True, kw_only=True)
class PropertyChange:
    """One input that differs, `path` as Pulumi writes it; None is absent."""

    path: str
    before: Any
    after: Any
    replaces: bool


@dataclass(frozen=True, kw_only=True)
class ResourceChange:
    """One resource and what happens to it."""

    urn: str
    type: str
    name: str
    action: Action
    component: bool = False
    properties: tuple[PropertyChange, ...] = ()
    reasons: tuple[str, ...] = ()
    """Why it is replaced: the properties, or what it hangs on."""
    deletes_first: bool = False
    recreates_nodes: bool = False
    """It stays, and Google makes its nodes anew, one after the other."""
    protected: bool = False
    """Pulumi refuses to take it away."""


class Missing(Enum):
    """What stands in the place of a key that is not there."""

    MISSING = "missing"


@dataclass(frozen=True, kw_only=True)
class KeyChange:
    """One key of the file, by its path; MISSING where it is not there."""

    path: tuple[str, ...]
    before: Any
    after: Any


@dataclass(frozen=True, kw_only=True)
class PoolChange:
    """What happens to a pool, its nodes and its pods."""

    name: str
    added: bool = False
    removed: bool = False
    nodes: Action | None = None
    recreated: bool = False
    """GKE makes the nodes anew, one after the other."""
    reasons: tuple[str, ...] = ()
    restarts: bool = False
    """Its pods are made anew, one after the other."""
    down: bool = False
    """For a while it serves nothing."""
    fallbacks: Mapping[str, str | None] = field(default_factory=dict)
    """While it is down: model -> the pool that serves it meanwhile, None for none."""
    driver_changes: bool = False
    fetches: tuple[str, ...] = ()
    """Models that it has to bring into place first."""

    @property
    def moved(self) -> bool:
        """Whether it goes from GKE to another site, or comes from one."""
        return not (self.added or self.removed) and self.nodes in (Action.DELETE, Action.CREATE)

    @property
    def level(self) -> Level:
        """Replaced and removed above the rest."""
        gone = self.removed or self.nodes in (Action.REPLACE, Action.DELETE)
        return Level.REPLACE if gone else Level.IN_PLACE


@dataclass(frozen=True, kw_only=True)
class ModelChange:
    """A model that came, went, or is served otherwise; a route is None where the model is not there."""

    name: str
    before: tuple[str, ...] | None
    after: tuple[str, ...] | None
    digest: tuple[str | None, str | None] | None = None
    """Before and after, where they differ."""
    context: tuple[int, int] | None = None
    defined_anew: bool = False
    """Its Modelfile differs."""

    @property
    def moved(self) -> bool:
        """Whether it is served on other pools, or in another order."""
        return None not in (self.before, self.after) and self.before != self.after


@dataclass(frozen=True, kw_only=True)
class FleetChange:
    """The whole of it."""

    stack: str
    base: str
    head: str
    before: FleetPlan | None
    """None: the base has no such stack, or it cannot be read."""
    after: FleetPlan | None
    """None: the head has no such stack."""
    keys: tuple[KeyChange, ...]
    pools: tuple[PoolChange, ...]
    models: tuple[ModelChange, ...]
    resources: tuple[ResourceChange, ...] | None
    """None where they could not be compared."""
    notes: tuple[str, ...]
    """What limits the comparison: a new file, a base that cannot be read."""
    risks: tuple[Problem, ...]
    new_warnings: tuple[Problem, ...] = ()
    code_compared: bool = False

    @property
    def errors(self) -> tuple[Problem, ...]:
        """What stops the head."""
        return tuple(one for one in self.after.problems if one.severity == "error") if self.after else ()

    @property
    def level(self) -> Level:
        """The most that it asks."""
        if self.risks:
            return Level.RISK
        acts = {one.action for one in self.resources or ()}
        if acts & {Action.REPLACE, Action.DELETE} or any(pool.level is Level.REPLACE for pool in self.pools):
            return Level.REPLACE
        return Level.IN_PLACE if acts or self.keys or self.pools or self.models else Level.NOTHING

    def monthly(self, plan: FleetPlan | None) -> Money:
        """What a side costs a month, by list price; nothing for a side that is not there."""
        if plan is None or plan.cost is None:
            return Money(minimum=0.0, maximum=0.0)
        total = plan.cost.total
        return Money(minimum=plan.cost.monthly(total.minimum), maximum=plan.cost.monthly(total.maximum))
