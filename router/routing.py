"""The map that the door follows: which model goes to which pools, and where these are."""

from collections.abc import Mapping
from dataclasses import dataclass, field

DEFAULT_REGISTRY = "registry.ollama.ai/"
DEFAULT_NAMESPACE = "library/"

THROUGH = "~spill"
"""Behind a pool's name: the way to a pool that hands on what it has no room for."""
LACKING = "lacking"
"""A cluster without hosts, for requests on a path that no pool of their model serves."""

HELD = "~held"
"""Behind a pool's name: the way to a pool that may sleep, on which requests wait for it."""
NOW = "~now"
"""Behind a pool's name: an answer at once that the pool sleeps, for who need not wait."""

Order = tuple[str, ...]
"""Pools in order of preference."""


def canonical(name: str) -> str:
    """`name` as Ollama compares names: no default registry or namespace, always with a tag, without regard to case."""
    return shown(name.lower())


def shown(name: str) -> str:
    """`name` as Ollama lists it: in the case it was given, with its tag, without the default registry or namespace.

    The tag is split only at a last `:` behind the last `/` (host:port/model has none).
    """
    for prefix in (DEFAULT_REGISTRY, DEFAULT_NAMESPACE):
        if name.lower().startswith(prefix):
            name = name[len(prefix) :]
    return name if ":" in name.rsplit("/", 1)[-1] else f"{name}:latest"


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """One address of a pool. A name may stand for many replicas: every address it resolves to is one."""

    host: str
    port: int


@dataclass(frozen=True, kw_only=True)
class Pool:
    """Where the replicas of a pool are, and under which name the token for it is kept."""

    endpoints: tuple[Endpoint, ...]
    tls: bool = False
    token: str | None = None


@dataclass(frozen=True, kw_only=True)
class Sleeper:
    """A pool that may have no server."""

    hold_for: int
    """Seconds that a request waits for it at most."""
    held_at_most: int
    """Requests that wait at a time."""
    starts_within: int
    """Seconds that it usually takes to wake."""
    fallback: bool = False
    """Whether the next pool answers meanwhile."""


@dataclass(frozen=True, kw_only=True)
class RouteMap:
    """A map that passed every check. Names of models are as the map writes them; `canonical` makes them comparable.

    Every pool of a route exists, every target of an alias or split is in `models`, and no two names of `models`,
    `aliases` and `splits` are the same to Ollama.
    """

    pools: Mapping[str, Pool]
    models: Mapping[str, Order]
    aliases: Mapping[str, str] = field(default_factory=dict)
    splits: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """Weights of the models that share the requests for a name."""

    @property
    def orders(self) -> dict[str, Order]:
        """The pools of every model and alias, by canonical name: an alias has those of its model."""
        orders = {canonical(model): order for model, order in self.models.items()}
        return orders | {canonical(alias): orders[canonical(model)] for alias, model in self.aliases.items()}

    @property
    def names(self) -> tuple[str, ...]:
        """Every name that a client may ask for, sorted."""
        return tuple(sorted([*self.models, *self.aliases, *self.splits]))

    @property
    def table(self) -> "Table":
        """The map as it stands, whatever the replicas hold."""
        orders = self.orders
        return Table(
            pools=self.pools,
            orders=orders,
            splits={
                canonical(name): tuple((orders[canonical(model)], weight) for model, weight in sorted(weights.items()))
                for name, weights in self.splits.items()
            },
        )


@dataclass(frozen=True, kw_only=True)
class Table:
    """Where the door sends each name at this moment. Names are canonical; every pool of an order is in `pools`."""

    pools: Mapping[str, Pool]
    orders: Mapping[str, Order]
    splits: Mapping[str, tuple[tuple[Order, int], ...]] = field(default_factory=dict)
    """The orders that share the requests for a name, and their weights."""
    lacking: Mapping[str, "Table"] = field(default_factory=dict)
    """Paths that some pools do not serve: path -> the table for it, in which an order may be empty."""
    rooms: Mapping[str, int] = field(default_factory=dict)
    """Pools that hand on what they have no room for: pool -> how many requests it has room for."""
    sleepers: Mapping[str, Sleeper] = field(default_factory=dict)
    """Pools that may sleep. The first of an order is waited for."""

    def members(self, order: Order) -> tuple[str, ...]:
        """The clusters that are tried in turn for an order. Where there is nothing to hand on to, requests wait."""
        awaited = self._awaited(order)
        at_once = awaited is not None and self.sleepers[awaited].fallback and awaited != order[-1]
        tried: list[str] = []
        for pool in order:
            tried.append(pool + THROUGH if pool in self.rooms else pool)
            if pool == awaited:
                tried.append(pool + (NOW if at_once else HELD))
        if order[-1] in self.rooms:
            tried.append(order[-1])
        if awaited is not None and at_once:
            tried.append(awaited + HELD)
        return tuple(tried)

    def waits_to_the_end(self, order: Order) -> bool:
        """Whether no other pool is left for who waits: then also while the awaited one is up and busy."""
        awaited = self._awaited(order)
        return awaited is not None and (self.sleepers[awaited].fallback or awaited == order[-1])

    def _awaited(self, order: Order) -> str | None:
        return next((pool for pool in order if pool in self.sleepers), None)

    def cluster(self, order: Order) -> str:
        """The name of the cluster for an order; `>` is in no pool's name."""
        if not order:
            return LACKING
        alone = len(order) == 1 and len(self.members(order)) > 1
        return order[0] + ">" if alone else ">".join(order)

    @property
    def all_orders(self) -> list[Order]:
        """Each order that occurs, sorted."""
        shares = (order for shares in self.splits.values() for order, _ in shares)
        here = {order for order in (*self.orders.values(), *shares) if order}
        return sorted(here.union(*(table.all_orders for table in self.lacking.values())))
