"""A plain TLS door before one server of the same pod: for what speaks no TLS itself."""

import json

from router import certificate
from router.extension import LOOPBACK, extension, socket

FILE = "envoy.json"


def files(port: int, server_port: int, *, configuration: str, pair: str) -> dict[str, str]:
    """What Envoy reads from the folder `configuration`, with the certificate and its key in the folder `pair`.

    WebSockets pass, a renewed pair is taken up, and a stream may be silent as long as the server wants.
    """
    to_server = {"route": {"cluster": "server", "timeout": "0s"}, "match": {"prefix": "/"}}
    manager = extension(
        "envoy.filters.network.http_connection_manager",
        "extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        stat_prefix="door",
        use_remote_address=True,
        normalize_path=True,
        stream_idle_timeout="0s",
        upgrade_configs=[{"upgrade_type": "websocket"}],
        http_filters=[extension("envoy.filters.http.router", "extensions.filters.http.router.v3.Router")],
        route_config={"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [to_server]}]},
    )
    chain = {"transport_socket": certificate.socket(configuration), "filters": [manager]}
    cluster = {
        "name": "server",
        "connect_timeout": "5s",
        "load_assignment": {
            "cluster_name": "server",
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": socket(LOOPBACK, server_port)}}]}],
        },
    }
    bootstrap = {
        "node": {"id": "terminator", "cluster": "ollama-fleet"},
        "static_resources": {
            "listeners": [{"name": "door", "address": socket("0.0.0.0", port), "filter_chains": [chain]}],  # noqa: S104
            "clusters": [cluster],
        },
    }
    resources = {"resources": [certificate.secret(pair)]}
    return {FILE: json.dumps(bootstrap, indent=1) + "\n", certificate.FILE: json.dumps(resources, indent=1) + "\n"}
