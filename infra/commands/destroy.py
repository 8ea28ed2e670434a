"""`fleet destroy`: take the fleet down, and say what still costs."""

import argparse

from infra.commands import deploy

HELP = "take the fleet down, and say what still costs (the real Pulumi)"
add_arguments = deploy.add_arguments


def run(arguments: argparse.Namespace) -> int:
    """Pulumi's exit status; 1 for a plan with errors, 2 where something is missing on this machine."""
    return deploy.run("destroy", arguments)
