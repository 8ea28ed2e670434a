"""The `fleet` tool: `fleet COMMAND`, also `python -m infra COMMAND`."""

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path

COMMANDS = (
    "plan",
    "diff",
    "add",
    "pin",
    "schema",
    "resources",
    "manifests",
    "compose",
    "discover",
    "local",
    "status",
    "preflight",
    "preview",
    "up",
    "pause",
    "resume",
    "destroy",
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status.

    0 is fine, 1 is a plan with errors, 2 a file or command line that cannot be read, or a machine that lacks something.
    """
    _open_streams()
    try:
        return _run(argv)
    except ModuleNotFoundError as missing:
        package = (missing.name or "").partition(".")[0]
        if package in ("infra", "components", "prepare", "router", "tools"):
            raise
        # said without a module of ours, since each of them may be what needs the package
        sys.stderr.write(
            f"error  python: the package {package} is not installed in {sys.executable}\n"
            "       `make plan` sets up .venv; then .venv/bin/python -m infra\n"
        )
        return 2
    except KeyboardInterrupt:
        return 130


def _run(argv: Sequence[str] | None) -> int:
    from infra.commands.common import UNREADABLE, say
    from infra.problem import error
    from infra.stack import UnreadableError

    arguments = parser().parse_args(argv)
    try:
        status: int = importlib.import_module(f"infra.commands.{arguments.command}").run(arguments)
        sys.stdout.flush()
    except UnreadableError as unreadable:
        say(unreadable.problem)
        return UNREADABLE
    except BrokenPipeError:
        # the reader (`head`) has what it wanted
        _discard_output()
        return 0
    except OSError as failure:
        _discard_output()
        what = str(failure.filename or "standard output")
        say(error(what, f"it cannot be used: {failure.strerror or 'no reason given'}", "mend that and run this again"))
        return UNREADABLE
    return status


def parser() -> argparse.ArgumentParser:
    """The command line: every command with its options."""
    whole = argparse.ArgumentParser(prog="fleet", description="One typed file, a fleet of Ollama servers.")
    whole.add_argument("--version", action="version", version=_version())
    subparsers = whole.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name in COMMANDS:
        # a command is imported when its turn comes: `fleet plan` must not wait for Pulumi
        module = importlib.import_module(f"infra.commands.{name}")
        module.add_arguments(subparsers.add_parser(name, help=module.HELP, description=module.HELP))
    return whole


def _open_streams() -> None:
    """A stream that the caller closed (`>&-`) takes what is written to it, and loses it."""
    if sys.stdout is None:
        sys.stdout = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - as long as the process
    if sys.stderr is None:
        sys.stderr = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - as long as the process


def _discard_output() -> None:
    """What is still in the buffer goes nowhere; Python would complain again when it flushes at exit."""
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError:
        return  # not a real file: a test's, which cannot complain


def _version() -> str:
    from infra import __version__

    return f"fleet {__version__}"


if __name__ == "__main__":
    sys.exit(main())
