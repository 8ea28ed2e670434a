"""`fleet destroy`: take the fleet down, and say what still costs."""

import argparse

from infra.commands import deploy

HELP = "take the fleet down, and say what still costs (the real Pulumi)"
add_arguments = deploy.add_arguments


def run(arguments: argparse.Namespace) -> int:
    """Pulumi's exit status; 2 where something is missing on this machine. A plan with errors keeps nobody from it."""
    return deploy.run("destroy", arguments)
