"""`fleet resources`: every resource that the program registers, as JSON. No account."""

import argparse

from infra.commands import common

HELP = "JSON: every resource that the program registers, with parent, provider, options and inputs"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `fleet resources`."""
    common.add_stack_option(parser)


def run(arguments: argparse.Namespace) -> int:
    """0, or 1 for a plan with errors. The output is the same to the byte for the same file."""
    from infra.commands import recorded

    try:
        common.write(recorded.recording(arguments).to_json())
    except recorded.RefusedError as refused:
        return common.say_errors(refused.problems)
    return common.OK
