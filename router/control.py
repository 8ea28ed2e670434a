"""The loop beside Envoy: from the mounted files to what is in force, over and over."""

import threading
from dataclasses import dataclass, replace

from router import log
from router.admin import UnreachableError
from router.envoy import Resources, Setup, follow
from router.maps import Maps
from router.publisher import LateError, Publisher, RefusedError

LOOK_EVERY = 0.2
"""Seconds between two looks at the mounted files: a few calls of stat."""


@dataclass(frozen=True, kw_only=True)
class Status:
    """What the loop knows of itself. Replaced as a whole, so that any thread may read it."""

    in_force: bool = False
    """Whether Envoy runs from a good map."""
    faults: tuple[str, ...] = ()
    """Why the mounted files are not the map in force."""
    overridden: tuple[str, ...] = ()
    """The models and pools that hand edits decide."""
    trouble: str = ""
    """What keeps Envoy from following the map, if anything."""
    changes: int = 0
    """How often something else came into force."""
    draining: bool = False

    @property
    def ready(self) -> bool:
        """Whether requests shall come here."""
        return self.in_force and not self.draining


class Control:
    """Keeps Envoy on the last good map. One thread runs it; `status` may be read from any."""

    def __init__(self, setup: Setup, maps: Maps, publisher: Publisher) -> None:
        self._setup = setup
        self._maps = maps
        self._publisher = publisher
        self._in_force: tuple[Resources, Resources] | None = None
        self._refused: tuple[Resources, Resources] | None = None
        self._lock = threading.Lock()
        self.status = Status()

    def run(self, stop: threading.Event) -> None:
        """Until `stop` is set."""
        while not stop.is_set():
            self.tick()
            stop.wait(LOOK_EVERY)

    def tick(self) -> None:
        """One look, and what follows from it."""
        if self._maps.look():
            self._say()
        fleet = self._maps.mounted.fleet
        if fleet is None:
            return
        wanted = follow(fleet, fleet.table, self._setup)
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
        except (LateError, UnreachableError) as later:
            self._trouble(str(later))

    def drain(self) -> None:
        """From now on no request shall come here."""
        self._update(draining=True)

    def _say(self) -> None:
        mounted = self._maps.mounted
        if mounted.faults:
            serves = "the last good map serves on" if mounted.fleet else "there is no map to serve"
            log.say("error", f"the mounted map is refused, {serves}", faults=mounted.faults)
        if mounted.overridden:
            log.say("warning", "hand edits of ollama-routes-override are in the map", overridden=mounted.overridden)
        self._update(faults=mounted.faults, overridden=mounted.overridden)

    def _trouble(self, text: str) -> None:
        if text != self.status.trouble:
            if text:
                log.say("warning", text)
            self._update(trouble=text)

    def _update(self, **changes: object) -> None:
        with self._lock:
            self.status = replace(self.status, **changes)  # type: ignore[arg-type]
