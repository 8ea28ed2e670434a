"""`fleet plan`: the plan and its problems. No account, no network, no Pulumi."""

import argparse

from infra.commands import common
from infra.problem import has_errors

HELP = "what the file becomes: memory, drivers, machines, money, and what is wrong with it"
FORMATS = ("text", "markdown", "json")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `fleet plan`."""
    common.add_stack_option(parser)
    parser.add_argument("--format", choices=FORMATS, default="text", help="text for a terminal; json for programs")


def run(arguments: argparse.Namespace) -> int:
    """0 without errors, 1 with errors."""
    plan = common.plan_of(common.read_stack(arguments))
    match arguments.format:
        case "json":
            from infra.report import json

            common.write(json.render(plan))
        case "markdown":
            from infra.report import markdown

            common.write(markdown.render(plan))
        case _:
            from infra.report import text

            text.show(plan)
    return common.ERRORS if has_errors(plan.problems) else common.OK
