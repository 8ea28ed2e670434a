"""From a map to the files that Envoy runs from."""

import hashlib
import json
from dataclasses import dataclass

from router import certificate
from router.bootstrap import CLUSTERS, ROUTES, bootstrap
from router.clusters import SYSTEM_CERTIFICATES, clusters
from router.deciding import decide
from router.extension import Config
from router.facts import Facts
from router.reading import parse
from router.routes import routes
from router.routing import Table
from router.rules import OPEN, Rules
from router.sites import Sites

BOOTSTRAP = "bootstrap.json"


@dataclass(frozen=True, kw_only=True)
class Setup:
    """What an Envoy is started with and no map changes."""

    port: int
    admin_port: int
    beside_port: int
    """Of the process beside it, on loopback."""
    spill_port: int
    """Of the listener before pools that hand requests on, on loopback."""
    directory: str
    """Where its files are."""
    memory: int
    """Bytes that it may take."""
    address: str = "0.0.0.0"  # noqa: S104
    certificates: str = SYSTEM_CERTIFICATES
    """The authorities trusted for pools behind https."""
    tls: str = ""
    """The folder of the door's own certificate; empty: plain HTTP."""


@dataclass(frozen=True, kw_only=True)
class Resources:
    """A file that Envoy follows while it runs."""

    content: tuple[Config, ...]

    @property
    def version(self) -> str:
        """What Envoy's statistics name while it runs from this file; equal content has an equal version."""
        return hashlib.sha256(_text(self.content).encode()).hexdigest()[:12]

    @property
    def text(self) -> str:
        """The file."""
        return _text({"version_info": self.version, "resources": self.content})


def start(setup: Setup) -> dict[str, str]:
    """The files by name that Envoy starts with, and that no change of the map or the rules changes."""
    files = {BOOTSTRAP: _start(setup)}
    if setup.tls:
        files[certificate.FILE] = Resources(content=(certificate.secret(setup.tls),)).text
    return files


def _start(setup: Setup) -> str:
    return _text(
        bootstrap(
            port=setup.port,
            admin_port=setup.admin_port,
            beside_port=setup.beside_port,
            spill_port=setup.spill_port,
            directory=setup.directory,
            address=setup.address,
            tls=bool(setup.tls),
            memory=setup.memory,
        )
    )


def follow(table: Table, setup: Setup, rules: Rules, sites: Sites | None = None) -> tuple[Resources, Resources]:
    """Clusters and routes. These need those, so Envoy has to have the clusters first."""
    found = clusters(table, spill_port=setup.spill_port, certificates=setup.certificates, sites=sites)
    return Resources(content=tuple(found)), Resources(content=(routes(table, rules),))


def render(routes_text: str, setup: Setup, facts: Facts | None = None, rules: Rules = OPEN) -> dict[str, str]:
    """The files of `setup.directory` by name, for `envoy -c DIRECTORY/bootstrap.json`.

    Equal arguments give equal bytes. A map that may not be served raises `router.MapError`.
    """
    fleet = parse(routes_text)
    its_clusters, its_routes = follow(decide(fleet, facts or Facts(), {}), setup, rules.on(fleet))
    return {**start(setup), CLUSTERS: its_clusters.text, ROUTES: its_routes.text}


def _text(content: object) -> str:
    return json.dumps(content, separators=(",", ":")) + "\n"
