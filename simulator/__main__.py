"""`python -m simulator`: one simulated server. Prints its port, serves until it is stopped."""

import argparse
import asyncio
import contextlib
import json
import sys

from simulator.behaviour import Behaviour, BehaviourError
from simulator.library import Model
from simulator.server import VERSION, Server
from simulator.serving import listen, serving


def main() -> int:
    """0 when stopped, 2 for a command line that means nothing."""
    parser = argparse.ArgumentParser(prog="python -m simulator", description=__doc__)
    parser.add_argument("name")
    parser.add_argument("--port", type=int, default=0, help="default: any free one")
    parser.add_argument("--model", action="append", default=[], metavar="NAME")
    parser.add_argument("--version", default=VERSION, help="which Ollama it speaks as")
    parser.add_argument("--behaviour", default="{}", metavar="JSON", help='such as {"load_seconds": 3}')
    options = parser.parse_args()
    try:
        behaviour = Behaviour().changed(json.loads(options.behaviour))
        socket = listen(options.port)
    except (BehaviourError, ValueError, OSError) as wrong:
        parser.error(str(wrong))
    server = Server(options.name, [Model(name=name) for name in options.model], behaviour, version=options.version)

    async def serve() -> None:
        async with serving(server, socket):
            sys.stdout.write(f"{socket.getsockname()[1]}\n")
            sys.stdout.flush()
            await asyncio.Event().wait()

    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve())
    return 0


if __name__ == "__main__":
    sys.exit(main())
