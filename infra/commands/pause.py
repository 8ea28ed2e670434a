"""`fleet pause`: take all GPU pools on GKE to no pod."""

import argparse

from infra.commands import scaling

HELP = "all GPU pools on GKE to no pod, until fleet resume (by kubectl)"
add_arguments = scaling.add_arguments


def run(arguments: argparse.Namespace) -> int:
    """As `scaling.run`."""
    return scaling.run("pause", arguments)
