"""The loop beside Envoy: from the mounted files to what is in force, over and over."""

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from router import log
from router.admin import UnreachableError
from router.answers import Lists
from router.certificate import Pair
from router.deciding import decide, differing
from router.envoy import Resources, Setup, follow
from router.maps import Maps
from router.poll import Poller, Seen
from router.publisher import TAKEN_WITHIN, LateError, Publisher, RefusedError
from router.routing import RouteMap, Table
from router.rules import Key, RuleFiles, Rules
from router.sites import SiteFiles, Sites

LOOK_EVERY = 0.2
"""Seconds between two looks at the mounted files: a few calls of stat."""

FIRST_ANSWERS_WITHIN = 2.0
"""Seconds that a start waits for the replicas, of which some may sleep."""


@dataclass(frozen=True, kw_only=True)
class Status:
    """What the loop knows of itself. Replaced as a whole, so that any thread may read it."""

    in_force: bool = False
    """Whether Envoy runs from a good map."""
    faults: tuple[str, ...] = ()
    """Why the mounted files are not the map in force."""
    door_faults: tuple[str, ...] = ()
    """Why the mounted rules, keys, tokens and certificates are not those in force."""
    overridden: tuple[str, ...] = ()
    """The models and pools that hand edits decide."""
    trouble: str = ""
    """What keeps Envoy from following the map, if anything."""
    changes: int = 0
    """How often something else came into force."""
    differing: Mapping[str, Mapping[str, list[str]]] = field(default_factory=dict)
    """Names that stand for different content on different replicas: name -> digest -> replicas."""
    draining: bool = False

    @property
    def ready(self) -> bool:
        """Whether requests shall come here."""
        return self.in_force and not self.draining


class Control:
    """Keeps Envoy on the last good map. One thread runs it; `status` may be read from any."""

    def __init__(
        self, setup: Setup, maps: Maps, rules: RuleFiles, sites: SiteFiles, poller: Poller, publisher: Publisher
    ) -> None:
        self._setup = setup
        self._maps = maps
        self._rules = rules
        self._sites = sites
        self._certificate = Pair(setup.tls)
        self._poller = poller
        self._publisher = publisher
        self._wanted: tuple[Table, Rules, Sites, tuple[Resources, Resources]] | None = None
        self._lists: tuple[object, object, object, Lists] | None = None
        self._keys: tuple[object, object, Mapping[str, Key] | None] | None = None
        self._in_force: tuple[Resources, Resources] | None = None
        self._refused: tuple[Resources, Resources] | None = None
        self._lock = threading.Lock()
        self._began = time.monotonic()
        self.status = Status()

    def run(self, stop: threading.Event) -> None:
        """Until `stop` is set."""
        # a router that starts while a model moves must know who has it before the first request
        if self._look():
            self._poller.round()
            self._poller.settle(FIRST_ANSWERS_WITHIN)
        while not stop.is_set():
            self._began = time.monotonic()
            self.tick()
            stop.wait(LOOK_EVERY)

    def tick(self) -> None:
        """One look, and what follows from it."""
        fleet, rules = self._look(), self._rules.rules
        if fleet is None or rules is None:
            return
        wanted = self._files(decide(fleet, self._maps.mounted.facts, self._poller.seen), rules.on(fleet))
        self._compare(fleet)
        try:
            if wanted == self._refused:
                # the answer would be the same
                return
            if wanted != self._in_force:
                self._publisher.publish(*wanted)
                self._in_force = wanted
                self._update(in_force=True, changes=self.status.changes + 1)
                log.say("info", "a map came into force", routes=wanted[1].version)
            self._publisher.retire()
            self._refused = None
            self._trouble("")
        except RefusedError as refused:
            self._refused = wanted
            self._trouble(str(refused))
        except (LateError, UnreachableError, OSError) as later:
            self._trouble(str(later))

    @property
    def alive(self) -> bool:
        """Whether the loop still turns; Envoy may take its time with a map."""
        return time.monotonic() - self._began < 4 * TAKEN_WITHIN

    @property
    def lists(self) -> Lists:
        """What the whole fleet has at this moment."""
        mounted, wanted, seen = self._maps.mounted, self._wanted, self._poller.seen
        known = self._lists
        if known is None or known[0] is not mounted or known[1] is not wanted or known[2] is not seen:
            lists = Lists(self.fleet, self.table, mounted.facts, seen)
            known = self._lists = (mounted, wanted, seen, lists)
        return known[3]

    @property
    def fleet(self) -> RouteMap:
        """The last good map; an empty one before there was any."""
        return self._maps.mounted.fleet or RouteMap(pools={}, models={})

    @property
    def table(self) -> Table:
        """Where each name leads at this moment."""
        wanted = self._wanted
        return wanted[0] if wanted else self.fleet.table

    @property
    def seen(self) -> Seen:
        """What the replicas said last."""
        return self._poller.seen

    @property
    def failures(self) -> Mapping[str, Mapping[str, str]]:
        """Why replicas do not answer: pool -> address -> cause."""
        return self._poller.failures

    def allowed(self, key: str) -> frozenset[str] | None:
        """The canonical names that the bearer of a key may know; None: all of them. One who is not known: none."""
        rules, fleet = self._rules.rules, self.fleet
        known = self._keys
        if known is None or known[0] is not rules or known[1] is not fleet:
            known = self._keys = (rules, fleet, rules.on(fleet).keys if rules else {})
        if known[2] is None:
            return None
        found = known[2].get(key)
        return frozenset() if found is None else frozenset(found.models) or None

    @property
    def pools(self) -> tuple[str, ...]:
        """The pools of the map."""
        fleet = self._maps.mounted.fleet
        return tuple(sorted(fleet.pools)) if fleet else ()

    def drain(self) -> None:
        """From now on no request shall come here."""
        self._update(draining=True)

    def _look(self) -> RouteMap | None:
        if self._maps.look():
            self._say()
        # both are looked at: `or` would leave out the second
        if any([self._rules.look(), self._certificate.look(), self._sites.look()]):
            self._say_of_the_door()
        fleet = self._maps.mounted.fleet
        if fleet is not None:
            self._poller.follow(fleet.pools, self._sites.sites)
        return fleet

    def _files(self, table: Table, rules: Rules) -> tuple[Resources, Resources]:
        """What Envoy needs for a table; rendered once, since most looks find what the one before found."""
        sites = self._sites.sites
        if self._wanted is None or self._wanted[:3] != (table, rules, sites):
            self._wanted = (table, rules, sites, follow(table, self._setup, rules, sites))
        return self._wanted[3]

    def _compare(self, fleet: RouteMap) -> None:
        found = differing(fleet, self._poller.seen)
        if found != self.status.differing:
            if found.keys() - self.status.differing.keys():
                log.say("warning", "a name stands for different content on different replicas", digests=found)
            self._update(differing=found)

    def _say(self) -> None:
        mounted = self._maps.mounted
        if mounted.faults:
            serves = "the last good map serves on" if mounted.fleet else "there is no map to serve"
            log.say("error", f"the mounted map is refused, {serves}", faults=mounted.faults)
        if mounted.overridden:
            log.say("warning", "hand edits of ollama-routes-override are in the map", overridden=mounted.overridden)
        self._update(faults=mounted.faults, overridden=mounted.overridden)

    def _say_of_the_door(self) -> None:
        faults = tuple(filter(None, (*self._rules.faults, self._certificate.fault, *self._sites.faults)))
        if faults:
            serve = "the last good ones serve on" if self._rules.rules else "there are none to serve by"
            log.say("error", f"mounted rules, keys, tokens or certificates are refused, {serve}", faults=faults)
        self._update(door_faults=faults)

    def _trouble(self, text: str) -> None:
        if text != self.status.trouble:
            if text:
                log.say("warning", text)
            self._update(trouble=text)

    def _update(self, **changes: object) -> None:
        with self._lock:
            self.status = replace(self.status, **changes)  # type: ignore[arg-type]
