"""Runs a local fleet until it is told to stop."""

import asyncio
import secrets
import signal
import socket
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path

from infra.local.door import ADDRESS, Door
from infra.local.pools import Pools
from infra.plan.model import RouterPlan
from infra.problem import error
from infra.stack import UnreadableError
from router import page
from simulator import CONTROL, serving

START_SECONDS = 30.0
LOOK_SECONDS = 0.2


def run(envoy: Path, port: int, pools: Pools, plan: RouterPlan) -> None:
    """Serve on `port` until Ctrl-C or SIGTERM. Raises UnreadableError where the port is taken or Envoy ends."""
    _free(port)
    with tempfile.TemporaryDirectory(prefix="fleet-local-") as folder:
        # one that may do everything first, if there is one
        names = sorted(
            plan.keys, key=lambda name: (name in plan.settings.keys and bool(plan.settings.keys[name].models), name)
        )
        keys = {name: secrets.token_urlsafe() for name in names}
        asyncio.run(_run(Door(envoy, Path(folder), port, plan, keys), pools))


async def _run(door: Door, pools: Pools) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, stop.set)
    async with AsyncExitStack() as stack:
        for server, listening in pools.simulated:
            await stack.enter_async_context(serving(server, listening))
        stack.callback(door.close)
        door.start(pools.routes, pools.facts)
        if await _ready(door, stop):
            _announce(door, pools)
        while not stop.is_set():
            _still_runs(door)
            for words in await asyncio.to_thread(door.follow):
                _say(words)
            await _pause(stop)


async def _ready(door: Door, stop: asyncio.Event) -> bool:
    """Wait until the door answers; False where it was told to stop before."""
    end = time.monotonic() + START_SECONDS
    while not stop.is_set():
        if await asyncio.to_thread(door.answers):
            return True
        _still_runs(door)
        if time.monotonic() > end:
            raise UnreadableError(
                error(
                    "the door", f"it does not answer within {START_SECONDS:.0f} s", "try again on a less busy machine"
                )
            )
        await _pause(stop)
    return False


async def _pause(stop: asyncio.Event) -> None:
    try:
        async with asyncio.timeout(LOOK_SECONDS):
            await stop.wait()
    except TimeoutError:
        return


def _still_runs(door: Door) -> None:
    if words := door.ended():
        raise UnreadableError(error("the door", f"{words}; the local fleet goes with it", "start the fleet again"))


def _announce(door: Door, pools: Pools) -> None:
    """What a shell can read goes to standard output, the rest beside it."""
    for line in pools.said:
        _say(line)
    if pools.simulated:
        _say(f'switches of a simulated server: curl ADDRESS{CONTROL}, and with -d \'{{"failure": "busy"}}\'')
    _say(f"map: {door.map}")
    _say(f"metrics: {door.metrics_url}")
    _say(f"status page: {door.url}{page.PATH}")
    _say("Ctrl-C stops all")
    sys.stdout.write(f"FLEET_URL={door.url}\n")
    for name, key in list(door.keys.items())[len(door.keys) == 1 :]:
        _say(f"key {name}: {key}")
    for key in list(door.keys.values())[:1]:
        sys.stdout.write(f"FLEET_API_KEY={key}\n")
    sys.stdout.flush()


def _say(words: str) -> None:
    sys.stderr.write(f"{words}\n")
    sys.stderr.flush()


def _free(port: int) -> None:
    """Envoy would share a port with another Envoy and say nothing."""
    try:
        with socket.socket() as one:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            one.bind((ADDRESS, port))
            one.listen(1)
    except PermissionError:
        raise UnreadableError(
            error("--port", f"port {port} needs rights that you do not have", "choose one from 1024 on")
        ) from None
    except OSError:
        raise UnreadableError(
            error("--port", f"port {port} of {ADDRESS} is taken", f"--port {_another()} is free (make: PORT=...)")
        ) from None


def _another() -> int:
    with socket.socket() as one:
        one.bind((ADDRESS, 0))
        return int(one.getsockname()[1])
