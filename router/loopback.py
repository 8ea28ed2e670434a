"""The listener on loopback through which Envoy sends requests to itself: to pools that spill, and to those that sleep.

What it answers is an upstream's answer to the door, and can be retried there; what a cluster refuses cannot.
"""

from router import spilling, waking
from router.extension import LOOPBACK, Config, extension, socket
from router.replies import replies_to_the_door


def listener(port: int, *, silent: str, buffer: int) -> Config:
    """The listener on `port`."""
    manager = extension(
        "envoy.filters.network.http_connection_manager",
        "extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        stat_prefix="spill",
        server_header_transformation="PASS_THROUGH",
        generate_request_id=False,
        stream_idle_timeout=silent,
        route_config={"name": "spill", "virtual_hosts": [*waking.hosts(), spilling.host(silent=silent)]},
        local_reply_config=replies_to_the_door(),
        http_filters=[
            *waking.filters(),
            # without its headers: one of them would forbid the retry at the next pool
            extension(
                "envoy.filters.http.router", "extensions.filters.http.router.v3.Router", suppress_envoy_headers=True
            ),
        ],
    )
    return {
        "name": "spill",
        "address": socket(LOOPBACK, port),
        "per_connection_buffer_limit_bytes": buffer,
        "filter_chains": [{"filters": [manager]}],
    }
