"""`fleet local`: the fleet on this machine, from the same plan and the same renderer."""

import argparse
import importlib.util
import os

from infra.commands import common
from infra.config import place
from infra.problem import error, has_errors
from infra.stack import UnreadableError

HELP = "the fleet on this machine: Envoy, and a simulated Ollama per pool or the one at $OLLAMA_URL"
PORT = 8080
TOKENS_PER_SECOND = 20.0
LOAD_SECONDS = 1.0
HIGHEST_PORT = 2**16 - 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `fleet local`."""
    common.add_stack_option(parser)
    parser.add_argument("--port", type=_port, default=PORT, metavar="P", help=f"of the door; default: {PORT}")
    parser.add_argument(
        "--tokens-per-second", type=_amount, default=TOKENS_PER_SECOND, metavar="N", help="of a simulated server"
    )
    parser.add_argument(
        "--load-seconds", type=_amount, default=LOAD_SECONDS, metavar="N", help="until a simulated model is loaded"
    )


def run(arguments: argparse.Namespace) -> int:
    """0 when stopped, 1 for a plan with errors."""
    plan = common.plan_of(common.read_stack(arguments))
    if has_errors(hindrances := common.but_for_money(plan)):
        return common.say_errors(hindrances)
    if not plan.models:
        raise UnreadableError(error(place("models"), "there is none, so there is nothing to serve", "add NAME: [POOL]"))
    if importlib.util.find_spec("aiohttp") is None:
        remedy = "make local, which installs it (requirements-local.txt)"
        raise UnreadableError(error("aiohttp", "what `fleet local` needs is not installed", remedy))

    from infra.local import door, pools
    from infra.local.run import run as serve
    from simulator import Behaviour

    envoy = door.find_envoy()
    if url := os.environ.get("OLLAMA_URL"):
        found = pools.running(plan, url)
    else:
        behaviour = Behaviour(tokens_per_second=arguments.tokens_per_second, load_seconds=arguments.load_seconds)
        found = pools.simulated(plan, behaviour)
    serve(envoy, arguments.port, found, plan.router)
    return common.OK


def _port(text: str) -> int:
    port = int(text) if text.isascii() and text.isdecimal() else 0
    if not 0 < port <= HIGHEST_PORT:
        raise argparse.ArgumentTypeError(f"a port is a number from 1 to {HIGHEST_PORT}")
    return port


def _amount(text: str) -> float:
    try:
        amount = float(text)
    except ValueError:
        amount = -1.0
    if not 0 <= amount < float("inf"):
        raise argparse.ArgumentTypeError("it is a number, 0 or more")
    return amount
