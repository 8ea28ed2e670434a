"""The map as it is mounted, and the last good one of it."""

from dataclasses import dataclass, field, replace
from pathlib import Path

from router import facts
from router.facts import Facts
from router.mounted import Files
from router.reading import OVERRIDE, MapError, edited, parse
from router.routing import RouteMap

ROUTES = "routes.toml"


@dataclass(frozen=True, kw_only=True)
class Mounted:
    """What a look at the mounted files found."""

    fleet: RouteMap | None = None
    """The last good map; None until there was one."""
    facts: Facts = field(default_factory=Facts)
    """What the plan says beside it."""
    overridden: tuple[str, ...] = ()
    """The models and pools that hand edits decide in it."""
    faults: tuple[str, ...] = ()
    """Why the files as they stand are not the map; empty when they are."""


class Maps:
    """Two mounted folders: that of the program's map and that of the hand edits, which need not be there."""

    def __init__(self, folder: Path, override: Path) -> None:
        self._files = (folder / ROUTES, folder / facts.FILE, override / ROUTES)
        self._watched = Files(*self._files)
        self.mounted = Mounted()

    def look(self) -> bool:
        """Whether the files changed since the last look; `mounted` then is what they hold, or the last good of them."""
        if not self._watched.changed():
            return False
        self.mounted = self._read()
        return True

    def _read(self) -> Mounted:
        last = self.mounted
        map_file, facts_file, override_file = self._files
        try:
            text = map_file.read_text()
            known = facts.parse(facts_file.read_text()) if facts_file.exists() else Facts()
        except FileNotFoundError:
            return _still(last, [f"{ROUTES} is not there"])
        except (OSError, UnicodeDecodeError) as error:
            return _still(last, [f"{ROUTES} cannot be read: {error}"])
        except MapError as refused:
            return _still(last, list(map(str, refused.faults)))
        try:
            override = override_file.read_text() if override_file.exists() else ""
            return Mounted(fleet=parse(text, override), facts=known, overridden=edited(override))
        except (OSError, UnicodeDecodeError) as error:
            faults = [f"{OVERRIDE} cannot be read: {error}"]
        except MapError as refused:
            faults = list(map(str, refused.faults))
        if last.fleet is None:
            # nothing is in force yet: a fault of the hand edits is no reason to serve nothing
            last = _alone(text, known)
        return _still(last, faults)


def _still(last: Mounted, faults: list[str]) -> Mounted:
    return replace(last, faults=tuple(faults))


def _alone(text: str, known: Facts) -> Mounted:
    try:
        return Mounted(fleet=parse(text), facts=known)
    except MapError:
        return Mounted()
