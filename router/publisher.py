"""Puts the files into Envoy's folder, in an order in which no request meets a route without its cluster."""

import json
import re
import time
from collections.abc import Callable
from pathlib import Path

from router.admin import Admin
from router.bootstrap import CLUSTERS, ROUTES
from router.envoy import Resources
from router.extension import Config
from router.routing import HELD

TAKEN_WITHIN = 30.0
"""Seconds. Before a new pool may be used Envoy looks it up and probes it once, which is over in two or three."""
LOOK_EVERY = 0.02
KEPT_FOR = 65.0
"""Seconds. A request keeps the routes that it arrived under, and may take a minute to bring its body."""

CLUSTERS_TAKEN = "cluster_manager.cds.version_text"
CLUSTERS_REFUSED = r"cluster_manager\.cds\.update_(rejected|failure)"
CLUSTERS_WARMING = "cluster_manager.warming_clusters"
ROUTES_TAKEN = "http.door.rds.door.version_text"
ROUTES_REFUSED = r"http\.door\.rds\.door\.update_(rejected|failure)"


class RefusedError(Exception):
    """Envoy does not take a file. What was in force before still is, and stands in the folder again."""


class LateError(Exception):
    """Envoy did not take a file in time. No route leads to what it does not have, and trying again is safe."""


class Publisher:
    """Follows one folder, from what stands there already."""

    def __init__(self, folder: Path, admin: Admin, *, kept_for: float = KEPT_FOR) -> None:
        self._folder = folder
        self._admin = admin
        self._kept_for = kept_for
        self._clusters = _clusters(folder / CLUSTERS)
        """Every cluster that Envoy may have."""
        self._wanted = self._clusters
        """Those that the routes in force need."""
        self._moved_at = 0.0

    @property
    def retiring(self) -> tuple[str, ...]:
        """The clusters that no route leads to any more and that still are in force."""
        return tuple(sorted(self._clusters.keys() - self._wanted.keys()))

    def publish(self, clusters: Resources, routes: Resources) -> None:
        """Brings both into force, clusters first, and returns when requests follow them. Doing it again is harmless.

        Raises RefusedError, LateError, or `UnreachableError` while Envoy is not there.
        """
        wanted = {cluster["name"]: cluster for cluster in clusters.content}
        # the old ones stay: the routes in force lead there, and so do the requests that came under them
        everything = self._clusters | wanted
        self._bring_clusters(everything)
        self._clusters = everything
        self._bring(ROUTES, routes, lambda: self._admin.text(ROUTES_TAKEN) == routes.version, ROUTES_REFUSED)
        self._wanted = wanted
        self._moved_at = time.monotonic()

    def retire(self) -> None:
        """Takes away the clusters that no route leads to, once the last request that could need them has ended."""
        if not self.retiring or time.monotonic() - self._moved_at < self._kept_for:
            return
        # who waits for a pool to wake is tried by turns, and may be at none of them at this moment
        names = "|".join([*map(re.escape, self.retiring), f"[^>]*{HELD}"])
        if any(self._admin.numbers(rf"cluster\.({names})\.upstream_rq_active").values()):
            return
        self._bring_clusters(self._wanted)
        self._clusters = self._wanted

    def _bring_clusters(self, clusters: dict[str, Config]) -> None:
        resources = Resources(content=tuple(clusters.values()))

        def taken() -> bool:
            there = self._admin.text(CLUSTERS_TAKEN) == resources.version
            return there and not self._admin.numbers(re.escape(CLUSTERS_WARMING)).get(CLUSTERS_WARMING)

        self._bring(CLUSTERS, resources, taken, CLUSTERS_REFUSED)

    def _bring(self, name: str, resources: Resources, taken: Callable[[], bool], refused: str) -> None:
        file = self._folder / name
        before = file.read_text() if file.exists() else None
        refusals = sum(self._admin.numbers(refused).values())
        if before != resources.text:
            write(file, resources.text)
        start = time.monotonic()
        while not taken():
            if sum(self._admin.numbers(refused).values()) > refusals:
                if before is not None:
                    write(file, before)
                raise RefusedError(f"Envoy refuses {name}; its log says why")
            if time.monotonic() - start > TAKEN_WITHIN:
                raise LateError(f"Envoy has not taken {name} for {TAKEN_WITHIN:.0f} s")
            time.sleep(LOOK_EVERY)


def write(file: Path, text: str) -> None:
    """Replaces a file in one step: whoever reads meets the old content or the new one, and Envoy notices the move."""
    beside = file.with_name(f".{file.name}.new")
    beside.write_text(text)
    beside.rename(file)


def _clusters(file: Path) -> dict[str, Config]:
    if not file.exists():
        return {}
    return {cluster["name"]: cluster for cluster in json.loads(file.read_text())["resources"]}
