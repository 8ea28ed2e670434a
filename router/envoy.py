"""From the text of a map to the files that Envoy runs from."""

import hashlib
import json

from router.bootstrap import CLUSTERS, ROUTES, bootstrap
from router.clusters import SYSTEM_CERTIFICATES, clusters
from router.extension import Config
from router.routes import routes
from router.routing import parse

BOOTSTRAP = "bootstrap.json"


def render(
    routes_text: str,
    *,
    port: int,
    admin_port: int,
    directory: str,
    address: str = "0.0.0.0",  # noqa: S104
    certificates: str = SYSTEM_CERTIFICATES,
) -> dict[str, str]:
    """The files of `directory` by name, for `envoy -c DIRECTORY/bootstrap.json`; equal arguments give equal bytes.

    Only `clusters.json` and `routes.json` depend on the map, and Envoy follows them while it runs. A map that may not
    be served raises `router.MapError`.
    """
    fleet = parse(routes_text)
    return {
        BOOTSTRAP: _text(bootstrap(port=port, admin_port=admin_port, directory=directory, address=address)),
        CLUSTERS: _text(_resources(*clusters(fleet, certificates=certificates))),
        ROUTES: _text(_resources(routes(fleet))),
    }


def _resources(*resources: Config) -> Config:
    """A file for Envoy to follow. The version is what its statistics and its dump name."""
    version = hashlib.sha256(_text(list(resources)).encode()).hexdigest()[:12]
    return {"version_info": version, "resources": list(resources)}


def _text(content: object) -> str:
    return json.dumps(content, separators=(",", ":")) + "\n"
