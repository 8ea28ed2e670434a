"""Pools that may sleep: who asks for one waits, and is answered by it as soon as it is there.

Behind a sleeping pool in its order stands a way to a listener on loopback of the same Envoy. There the request is
tried at the pool, and while that has no server at an address that answers 503 and when to come again, until the pool
is up or the deadline has passed. No process of ours is in the path: the answer streams from the pool to the client, and
whoever waits goes on waiting while the process beside is restarted.

These tries stand apart from those of the door, which are few: an answer that breaks off is not sought for ever.
The way there is also what counts: as many requests as are on it wait, or were let through from there.
"""

from collections.abc import Iterable, Iterator

from router.extension import Config, extension, typed
from router.keys import lua_text
from router.routing import NOW, Sleeper

WOKEN = "~woken"
"""Behind a pool's name: its servers, for those who waited."""
ASLEEP = "~asleep"
"""Behind a pool's name: where nobody is at home."""
TRIED = "~tried"
"""Behind a pool's name: its servers, then where nobody is at home."""
STILL = "x-fleet-asleep"
"""Of the answer that nobody is at home yet: in how many seconds to come again."""
TO_THE_END = "x-fleet-to-the-end"
"""Of a request with no other pool left: a server that has no room is asked again, while for any other what a server
answers is the answer. Set at the door, whatever a client sends, from what the cluster of its order says: two ways to
the pool, one for each, would each have a bound of its own on those who wait."""

SLEPT = "x-fleet-slept"
"""Names the pool that did not start in time; tells the door to try the next one, if there is one."""
SINCE = "x-fleet-since"
"""When a request came to the door, in seconds. Set there, whatever a client sends."""
COME_AGAIN = "1"
"""Envoy adds up to a half."""
PAUSE = {"base_interval": "0.025s", "max_interval": "0.25s"}
"""Before a server that has no room is asked again."""
BEYOND = 60
"""Seconds by which the door outlasts who waits."""
FOR_EVER = 20_000
"""Tries: of more than an hour. Envoy sets 16 bytes aside for each as soon as a request comes."""
LARGEST_BODY = 2**30
"""The door has refused what is too large."""

_BUFFER = "envoy.filters.http.buffer"
_LUA = "envoy.filters.http.lua"

SCRIPT = """
function envoy_on_request(handle)
  local headers = handle:headers()
  local patience, pool = headers:get(":authority"):match("^(%d+)%.([^~]+)")
  local since = tonumber(headers:get("x-fleet-since") or "")
  if since == nil or os.time() - since >= tonumber(patience) then
    local reason = "pool " .. pool .. " did not start within " .. patience .. " s, please try again"
    handle:respond({[":status"] = "504", [@slept@] = pool}, reason)
  end
end
"""


def endpoint_name(pool: str, sleeper: Sleeper) -> str:
    """The host under which the listener knows that nobody is at home, and for how long that may be so."""
    return f"{sleeper.hold_for}.{pool}{ASLEEP}"


def filters() -> list[Config]:
    """What the hosts below switch on."""
    buffer = extension(_BUFFER, "extensions.filters.http.buffer.v3.Buffer", max_request_bytes=LARGEST_BODY)
    return [
        buffer | {"disabled": True},
        extension(_LUA, "extensions.filters.http.lua.v3.Lua") | {"disabled": True},
    ]


def hosts() -> Iterator[Config]:
    """Of the listener on loopback, told apart by the end of the name that is asked for."""
    yield {
        "name": "held",
        "domains": [f"*{TRIED}"],
        "typed_per_filter_config": {
            # the whole body: each try sends it anew
            _BUFFER: _on(
                typed("extensions.filters.http.buffer.v3.BufferPerRoute", buffer={"max_request_bytes": LARGEST_BODY})
            )
        },
        "routes": [
            _try({"headers": [_present(TO_THE_END)]}, "retriable-status-codes", retriable_status_codes=[503]),
            # a pool that is up and has no room is left to the door where it can go on to another
            _try({}, "retriable-headers", retriable_headers=[_present(STILL)]),
        ],
    }
    script = SCRIPT.replace("@slept@", lua_text(SLEPT))
    yield {
        "name": "asleep",
        "domains": [f"*{ASLEEP}"],
        "response_headers_to_add": [{"header": {"key": STILL, "value": COME_AGAIN}}],
        "typed_per_filter_config": {
            _LUA: _on(typed("extensions.filters.http.lua.v3.LuaPerRoute", source_code={"inline_string": script}))
        },
        "routes": [{"match": {"prefix": "/"}, "direct_response": {"status": 503}}],
    }
    yield {
        "name": "now",
        "domains": [f"*{NOW}"],
        "routes": [{"match": {"prefix": "/"}, "direct_response": {"status": 503}}],
    }


def _try(match: Config, retry_on: str, **retry: object) -> Config:
    return {
        "match": {"prefix": "/", **match},
        "route": {
            "cluster_header": ":authority",
            "timeout": "0s",
            # the door's own is what counts
            "idle_timeout": "0s",
            "auto_host_rewrite": True,
            "retry_policy": {
                # On a machine that stalls, not even a connection on loopback is there within its second: with Envoy
                # stopped four times for 1.2 s, 11 and 50 of 200 who waited had a 502 before the pool was woken.
                "retry_on": f"connect-failure,{retry_on}",
                **retry,
                "num_retries": FOR_EVER,
                "retry_back_off": PAUSE,
                "rate_limited_retry_back_off": {"reset_headers": [{"name": STILL, "format": "SECONDS"}]},
                "retry_priority": extension(
                    "envoy.retry_priorities.previous_priorities",
                    "extensions.retry.priority.previous_priorities.v3.PreviousPrioritiesConfig",
                    update_frequency=1,
                ),
            },
        },
    }


def _present(header: str) -> Config:
    return {"name": header, "present_match": True}


def longest(sleepers: Iterable[Sleeper]) -> int:
    """Seconds for which nobody gives up; 0 where no pool sleeps."""
    return max((sleeper.hold_for for sleeper in sleepers), default=0)


def _on(config: Config) -> Config:
    return typed("config.route.v3.FilterConfig", config=config, disabled=False)
