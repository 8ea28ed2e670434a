"""Leaving: nobody is sent here any more, and whoever is being answered is answered to the end."""

import time

from router import log
from router.admin import Admin, UnreachableError

ACTIVE = "http.door.downstream_rq_active"
LOOK_EVERY = 0.2


def drain(admin: Admin, *, leave: float, limit: float) -> int:
    """Returns when no request is under way: after `leave` seconds at the earliest, `limit` later at the latest.

    In the first `leave` seconds requests are still taken, since clients and load balancers learn of it only by and by;
    every answer tells its client to hang up. Hands back how many requests are cut off by ending now.
    """
    start = time.monotonic()
    try:
        admin.post("/healthcheck/fail")
        # Envoy closes its listeners when its own drain time is over, and goes on with what it has
        admin.post("/drain_listeners", flag="graceful", inboundonly="")
        log.say("info", "draining")
        while True:
            gone = time.monotonic() - start
            active = admin.numbers(ACTIVE.replace(".", r"\.")).get(ACTIVE, 0)
            if gone >= leave and (not active or gone >= leave + limit):
                break
            time.sleep(LOOK_EVERY)
    except UnreachableError as error:
        log.say("warning", f"there is nothing to drain: {error}")
        return 0
    log.say("info" if not active else "warning", "drained", cut_off=active, seconds=round(gone, 1))
    return active
