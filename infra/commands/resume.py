"""`fleet resume`: undo `fleet pause`."""

import argparse

from infra.commands import scaling

HELP = "undo fleet pause: every GPU pool to its minimum, then as many as its requests need (by kubectl)"
add_arguments = scaling.add_arguments


def run(arguments: argparse.Namespace) -> int:
    """As `scaling.run`."""
    return scaling.run("resume", arguments)
