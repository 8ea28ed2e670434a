"""Where each name leads at this moment: the map, seen with what the replicas hold."""

import re
from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from dataclasses import replace

from router.facts import Facts
from router.poll import Replica, Seen
from router.routes import BY_BODY
from router.routing import Order, RouteMap, Table, canonical


def decide(fleet: RouteMap, facts: Facts, seen: Seen) -> Table:
    """A name leads only to pools that have it, as long as there is one.

    A pool whose replicas answer and lack the name is left out: the model is still being fetched there, and until it has
    come, pools that hold it from before serve it on. A pool that does not answer keeps its place, since it may sleep.
    For a path that the image of some pools lacks, these are left out.
    """
    holders = Holders(fleet, seen)
    planned = fleet.table
    table = Table(
        pools=planned.pools,
        orders={name: holders.order(name, order) for name, order in planned.orders.items()},
        splits={name: holders.shares(name, shares) for name, shares in planned.splits.items()},
    )
    return replace(table, lacking=_lacking(table, facts), rooms=_rooms(fleet, facts, seen))


def _lacking(table: Table, facts: Facts) -> dict[str, Table]:
    paths = {path for pool in table.pools for path in facts.pool(pool).missing if re.fullmatch(BY_BODY, path)}
    return {path: _without(table, {pool for pool in table.pools if path in facts.pool(pool).missing}) for path in paths}


def _without(table: Table, pools: AbstractSet[str]) -> Table:
    def rest(order: Order) -> Order:
        return tuple(pool for pool in order if pool not in pools)

    return Table(
        pools=table.pools,
        orders={name: rest(order) for name, order in table.orders.items()},
        splits={
            name: tuple((rest(order), weight) for order, weight in shares if rest(order)) or (((), 1),)
            for name, shares in table.splits.items()
        },
    )


def _rooms(fleet: RouteMap, facts: Facts, seen: Seen) -> dict[str, int]:
    """How many requests a spilling pool has room for: as many as its replicas answer at a time."""
    return {
        pool: at_once * max(1, len(seen.get(pool, ())))
        for pool in fleet.pools
        if (at_once := facts.pool(pool).spills_at) is not None
    }


class Holders:
    """Which pools hold which names."""

    def __init__(self, fleet: RouteMap, seen: Seen) -> None:
        self._answering = {pool for pool in fleet.pools if seen.get(pool)}
        self._held: dict[str, set[str]] = {}
        for pool in sorted(self._answering):
            for replica in seen[pool]:
                for name in replica.models:
                    self._held.setdefault(name, set()).add(pool)

    def order(self, name: str, planned: Order) -> Order:
        """The pools for a name whose plan is `planned`."""
        held = self._held.get(name, set())
        possible = self._possible(name, planned)
        if not held.intersection(possible):
            possible += tuple(sorted(held.difference(possible)))
        return possible or planned

    def shares(self, name: str, planned: Iterable[tuple[Order, int]]) -> tuple[tuple[Order, int], ...]:
        """The shares of a split: one whose pools all lack the name goes to the others."""
        planned = tuple(planned)
        possible = tuple((order, weight) for whole, weight in planned if (order := self._possible(name, whole)))
        if possible:
            return possible
        rest = self.order(name, ())
        return ((rest, 1),) if rest else planned

    def _possible(self, name: str, planned: Order) -> Order:
        held = self._held.get(name, set())
        return tuple(pool for pool in planned if pool in held or pool not in self._answering)


def differing(fleet: RouteMap, seen: Seen) -> dict[str, dict[str, list[str]]]:
    """Names of the map that stand for different content on different replicas: name -> digest -> pool/address.

    A split is another model on the pools of each of its parts, and is compared within these.
    """
    found: dict[str, dict[str, list[str]]] = {}
    for name in fleet.names:
        parts = [fleet.orders[canonical(model)] for model in fleet.splits.get(name, {})]
        for pools in parts or [tuple(fleet.pools)]:
            digests: dict[str, list[str]] = {}
            for pool, replica in _holding(pools, seen, canonical(name)):
                digest = str(replica.models[canonical(name)].get("digest", ""))
                digests.setdefault(digest, []).append(f"{pool}/{replica.address}")
            if len(digests) > 1:
                found[canonical(name)] = found.get(canonical(name), {}) | digests
    return dict(sorted(found.items()))


def _holding(pools: Iterable[str], seen: Seen, name: str) -> list[tuple[str, Replica]]:
    return [(pool, replica) for pool in pools for replica in seen.get(pool, ()) if name in replica.models]
