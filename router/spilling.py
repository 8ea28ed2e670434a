"""Pools that hand requests on when they are busy (`whenBusy: spill`).

A breaker that is full is not retried: it answers the request. So a spilling pool is reached through a listener on
loopback in the same Envoy, behind whose breaker the pool is: from there a full breaker is an upstream's 503, which is
retried at the next pool. Ollama itself refuses nothing; it queues for a loaded model without end.
"""

from router.extension import Config
from router.retrying import elsewhere

ROOM = "~room"
"""Behind a pool's name: the pool as far as it has room."""


def host(*, silent: str) -> Config:
    """Of the listener on loopback: the host of a request is the name of the cluster that it is sent on to."""
    return {
        "name": "spill",
        "domains": ["*"],
        "routes": [
            {
                "match": {"prefix": "/"},
                "route": {
                    "cluster_header": ":authority",
                    "timeout": "0s",
                    "idle_timeout": silent,
                    "auto_host_rewrite": True,
                    # at another replica, when one is gone; a full breaker is not retried here
                    "retry_policy": elsewhere("connect-failure,refused-stream,reset"),
                },
            }
        ],
    }
