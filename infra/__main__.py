"""The `fleet` tool: `fleet COMMAND`, also `python -m infra COMMAND`."""

import argparse
import importlib
import os
import sys
from collections.abc import Sequence

from infra.commands.common import UNREADABLE, say
from infra.stack import UnreadableError

COMMANDS = ("plan", "schema", "resources", "manifests", "preview", "up", "destroy")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status.

    0 is fine, 1 is a plan with errors, 2 a file or command line that cannot be read.
    """
    parser = argparse.ArgumentParser(prog="fleet", description="One typed file, a fleet of Ollama servers.")
    parser.add_argument("--version", action="version", version=_version())
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name in COMMANDS:
        # a command is imported when its turn comes: `fleet plan` must not wait for Pulumi
        module = importlib.import_module(f"infra.commands.{name}")
        module.add_arguments(subparsers.add_parser(name, help=module.HELP, description=module.HELP))
    arguments = parser.parse_args(argv)
    try:
        status: int = importlib.import_module(f"infra.commands.{arguments.command}").run(arguments)
        sys.stdout.flush()
    except UnreadableError as unreadable:
        say(unreadable.problem)
        return UNREADABLE
    except BrokenPipeError:
        # the reader (`head`) has what it wanted; Python would complain again when it flushes at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return 130
    return status


def _version() -> str:
    from infra import __version__

    return f"fleet {__version__}"


if __name__ == "__main__":
    sys.exit(main())
