"""What Envoy starts with: the listener of the door, its filters and limits, and where the files that change are."""

from router import body, certificate, keys, origins, overload, waking
from router.clusters import CONNECTION_BUFFER, beside
from router.extension import LOOPBACK, Config, extension, socket
from router.loopback import listener
from router.observing import access_logs
from router.replies import local_replies
from router.routes import MOST_SILENT
from router.web import NAME_HEADER

HEALTH = "/healthz"
CLUSTERS = "clusters.json"
ROUTES = "routes.json"

HEADERS_WITHIN = "10s"
REQUEST_WITHIN = "60s"
"""For the whole request, not for its answer: a client that drips its body holds a buffer for no longer."""
IDLE_CONNECTION = "300s"
HEADERS_KIB = 32
MOST_CONNECTIONS = 50_000
"""A fixed number: without one, Envoy takes connections until the machine has no file handle left for the pools."""
STUCK_FOR = "60s"
"""After which Envoy ends itself: no probe asks it anything that it might refuse."""

INTERNAL = (body.MODEL_HEADER, NAME_HEADER, waking.SINCE, waking.SLEPT, waking.STILL)
"""What only the door itself says. No client is believed one of them, and no pool sees what a client said."""


def bootstrap(
    *,
    port: int,
    admin_port: int,
    beside_port: int,
    spill_port: int,
    directory: str,
    address: str,
    tls: bool,
    memory: int,
) -> Config:
    """The door on `port` of `address`; administration on loopback only; clusters and routes from files in `directory`.

    A change of these files takes effect when an entry is moved into `directory`, as the kubelet swaps a ConfigMap's
    `..data`. A file that Envoy refuses leaves the one before in force.
    """
    return {
        "node": {"id": "router", "cluster": "ollama-fleet"},
        "admin": {"address": socket(LOOPBACK, admin_port)},
        "static_resources": {
            "clusters": [beside(beside_port)],
            "listeners": [
                {
                    "name": "door",
                    "address": socket(address, port),
                    # what a drain closes; the way to oneself stays open for who waits
                    "traffic_direction": "INBOUND",
                    "per_connection_buffer_limit_bytes": CONNECTION_BUFFER,
                    "filter_chains": [
                        {
                            "filters": [_http(directory)],
                            **({"transport_socket": certificate.socket(directory)} if tls else {}),
                        }
                    ],
                },
                # who was let in goes on
                listener(spill_port, silent=MOST_SILENT, buffer=CONNECTION_BUFFER) | {"bypass_overload_manager": True},
            ],
        },
        "dynamic_resources": {"cds_config": _file(directory, CLUSTERS)},
        "watchdogs": {thread: {"kill_timeout": STUCK_FOR} for thread in ("main_thread_watchdog", "worker_watchdog")},
        "overload_manager": overload.manager(memory=memory, connections=MOST_CONNECTIONS),
    }


def _http(directory: str) -> Config:
    return extension(
        "envoy.filters.network.http_connection_manager",
        "extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        stat_prefix="door",
        # One way to write a path, so that what is refused below cannot be spelled differently.
        normalize_path=True,
        merge_slashes=True,
        path_with_escaped_slashes_action="REJECT_REQUEST",
        use_remote_address=True,
        server_header_transformation="PASS_THROUGH",
        common_http_protocol_options={
            "idle_timeout": IDLE_CONNECTION,
            "headers_with_underscores_action": "REJECT_REQUEST",
        },
        request_headers_timeout=HEADERS_WITHIN,
        request_timeout=REQUEST_WITHIN,
        stream_idle_timeout=MOST_SILENT,
        max_request_headers_kb=HEADERS_KIB,
        # Before any route is looked for: that of a split would let the first in on any path.
        early_header_mutation_extensions=[
            extension(
                "envoy.http.early_header_mutation.header_mutation",
                "extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation",
                mutations=[{"remove": name} for name in INTERNAL],
            )
        ],
        local_reply_config=local_replies(),
        access_log=access_logs(),
        http_filters=[
            # answers by itself: 200, and 503 from the moment on at which the router drains
            extension(
                "envoy.filters.http.health_check",
                "extensions.filters.http.health_check.v3.HealthCheck",
                pass_through_mode=False,
                headers=[{"name": ":path", "string_match": {"exact": HEALTH}}],
            ),
            *origins.filters(),
            *keys.filters(),
            *body.filters(),
            extension(
                "envoy.filters.http.router", "extensions.filters.http.router.v3.Router", suppress_envoy_headers=True
            ),
        ],
        rds={"route_config_name": "door", "config_source": _file(directory, ROUTES)},
    )


def _file(directory: str, name: str) -> Config:
    return {
        "resource_api_version": "V3",
        "path_config_source": {"path": f"{directory}/{name}", "watched_directory": {"path": directory}},
    }
