"""An Envoy beside one server of the same pod that speaks no TLS itself: the certificate before it, and its way to the
door behind it."""

import json
from dataclasses import dataclass

from router import certificate, overload
from router.bootstrap import HEADERS_WITHIN, IDLE_CONNECTION
from router.clusters import CONNECTION_BUFFER
from router.extension import LOOPBACK, Config, extension, socket, typed

FILE, AUTHORITY = "envoy.json", "authority.json"
MOST_CONNECTIONS = 1_000
"""Of browsers, which have two each. Whoever comes here has shown no key yet: with Envoy's own bounds, 150 clients that
asked for a picture and did not read it took 210 MB."""


@dataclass(frozen=True, kw_only=True)
class Door:
    """A door with TLS that the server asks through Envoy, in clear on loopback."""

    listen: int
    address: str
    port: int
    name: str = ""
    """What its certificate must be for; empty: nobody knows."""
    folder: str
    """Where its Secret is mounted, the certificate alone."""


def files(
    port: int, server_port: int, *, configuration: str, pair: str, memory: int, door: Door | None = None
) -> dict[str, str]:
    """What Envoy reads from the folder `configuration`, with the certificate and its key in the folder `pair`, where it
    may take so many bytes.

    WebSockets pass, a renewed pair is taken up, and a stream may be silent as long as the server wants. The door is
    believed with a certificate of the mounted chain alone, as it is renewed, and for its name where that is known.
    """
    listeners = [
        _listener("server", "0.0.0.0", port, upgrades=True, transport_socket=certificate.socket(configuration))  # noqa: S104
    ]
    clusters = [_cluster("server", LOOPBACK, server_port)]
    more: dict[str, Config] = {}
    if door is not None:
        # who was let in goes on
        listeners.append(_listener("door", LOOPBACK, door.listen) | {"bypass_overload_manager": True})
        clusters.append(_cluster("door", door.address, door.port, transport_socket=_tls(door, configuration)))
        more[AUTHORITY] = {"resources": [_authority(door)]}
    bootstrap = {
        "node": {"id": "terminator", "cluster": "ollama-fleet"},
        "static_resources": {"listeners": listeners, "clusters": clusters},
        "overload_manager": overload.manager(memory=memory, connections=MOST_CONNECTIONS),
    }
    parts = {FILE: bootstrap, certificate.FILE: {"resources": [certificate.secret(pair)]}, **more}
    return {name: json.dumps(part, indent=1) + "\n" for name, part in parts.items()}


def _listener(cluster: str, address: str, port: int, *, upgrades: bool = False, **chain: Config) -> Config:
    everything = {"route": {"cluster": cluster, "timeout": "0s"}, "match": {"prefix": "/"}}
    manager = extension(
        "envoy.filters.network.http_connection_manager",
        "extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        stat_prefix=cluster,
        use_remote_address=True,
        normalize_path=True,
        request_headers_timeout=HEADERS_WITHIN,
        common_http_protocol_options={"idle_timeout": IDLE_CONNECTION},
        stream_idle_timeout="0s",
        **({"upgrade_configs": [{"upgrade_type": "websocket"}]} if upgrades else {}),
        http_filters=[extension("envoy.filters.http.router", "extensions.filters.http.router.v3.Router")],
        route_config={"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [everything]}]},
    )
    return {
        "name": cluster,
        "address": socket(address, port),
        "per_connection_buffer_limit_bytes": CONNECTION_BUFFER,
        "filter_chains": [{**chain, "filters": [manager]}],
    }


def _cluster(name: str, address: str, port: int, **more: Config) -> Config:
    return {
        "name": name,
        "type": "STRICT_DNS",
        "dns_lookup_family": "V4_PREFERRED",
        "connect_timeout": "5s",
        "per_connection_buffer_limit_bytes": CONNECTION_BUFFER,
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": socket(address, port)}}]}],
        },
        **more,
    }


def _tls(door: Door, configuration: str) -> Config:
    source = {"resource_api_version": "V3", "path_config_source": {"path": f"{configuration}/{AUTHORITY}"}}
    return extension(
        "envoy.transport_sockets.tls",
        "extensions.transport_sockets.tls.v3.UpstreamTlsContext",
        sni=door.name or door.address,
        common_tls_context={"validation_context_sds_secret_config": {"name": "door", "sds_config": source}},
    )


def _authority(door: Door) -> Config:
    """The door's own chain is trusted: the cluster has it, so that nobody needs to be asked who signed it."""
    names = [{"san_type": "DNS", "matcher": {"exact": door.name}}] if door.name else []
    return typed(
        "extensions.transport_sockets.tls.v3.Secret",
        name="door",
        validation_context={
            "trusted_ca": {"filename": f"{door.folder}/{certificate.CHAIN}"},
            "watched_directory": {"path": door.folder},
            **({"match_typed_subject_alt_names": names} if names else {}),
        },
    )
