"""What Envoy does while it still has memory: it gives up requests, the larger the body the sooner.

Beyond the limit of its container it would be killed with all its streams, and it is bodies that fill it.

HTTP/1: each piece of a request that arrives is refused with a probability that grows with the memory taken. So a body
of a thousand pieces is given up a thousand times as easily as a small request, which comes in one, and an answer that
has begun never is. HTTP/2, of which alone Envoy knows which stream takes most: the largest bodies are given up, and
where these are too many and too small, the connections on which more of them comes.
"""

from router.extension import Config, extension

FROM, ALL = 0.35, 0.75
"""Shares of the limit at which the first piece may be refused, and from which on every one is. Two hundred requests of
1 MB that wait for a pool stay below the first. Above the second there is room for what those who are inside still need:
who waits for a pool has his body here twice, and a body that is read takes nine times its length for a moment."""
LAST = 0.85
"""Share from which on a connection of HTTP/2 on which anything comes is hung up, answers on it and all. Only who sends
bodies of less than a piece on very many streams gets there: the limit of the container would cut everybody."""
LOOK_EVERY = "0.05s"
"""In a second, the default, a fast network brings a gigabyte."""
SMALLEST_GIVEN_UP = 15
"""As a power of two, of HTTP/2: there are eight classes, and the last is that of the largest bodies, from 4 MiB on.
Smaller ones are not looked at: with 18, a thousand bodies of 250 kB filled the limit and none was given up."""

_HEAP = "envoy.resource_monitors.fixed_heap"


def manager(*, memory: int, connections: int) -> Config:
    """The `overload_manager` of an Envoy that may take so many bytes and downstream connections."""
    scaled = {"scaled": {"scaling_threshold": FROM, "saturation_threshold": ALL}}
    last = {"scaled": {"scaling_threshold": ALL, "saturation_threshold": LAST}}
    return {
        "refresh_interval": LOOK_EVERY,
        "buffer_factory_config": {"minimum_account_to_track_power_of_two": SMALLEST_GIVEN_UP},
        "loadshed_points": [
            _when("envoy.load_shed_points.http1_server_abort_dispatch", scaled),
            _when("envoy.load_shed_points.http2_server_go_away_and_close_on_dispatch", last),
        ],
        "actions": [
            _when("envoy.overload_actions.shrink_heap", {"threshold": {"value": FROM}}),
            _when("envoy.overload_actions.reset_high_memory_stream", scaled),
            _when("envoy.overload_actions.stop_accepting_requests", {"threshold": {"value": ALL}}),
        ],
        "resource_monitors": [
            extension(_HEAP, "extensions.resource_monitors.fixed_heap.v3.FixedHeapConfig", max_heap_size_bytes=memory),
            extension(
                "envoy.resource_monitors.global_downstream_max_connections",
                "extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig",
                max_active_downstream_connections=connections,
            ),
        ],
    }


def _when(name: str, trigger: Config) -> Config:
    return {"name": name, "triggers": [{"name": _HEAP, **trigger}]}
