"""What every command does first: choose the stack, read it, decide."""

import argparse
import io
import os
import sys
from pathlib import Path

from infra import lockfile
from infra import stack as stacks
from infra.config import place
from infra.plan.build import decide
from infra.plan.model import FleetPlan
from infra.problem import Problem, Severity

OK, ERRORS, UNREADABLE = 0, 1, 2


def say(problem: Problem) -> None:
    """One problem on standard error."""
    sys.stderr.write(f"{problem.severity}  {problem.place}: {problem.message}\n       {problem.remedy}\n")


def say_errors(problems: tuple[Problem, ...]) -> int:
    """All errors on standard error; returns the exit status for them."""
    for problem in problems:
        if problem.severity is Severity.ERROR:
            say(problem)
    return ERRORS


def but_for_money(plan: FleetPlan) -> tuple[Problem, ...]:
    """The problems of a plan for a command that spends nothing: its budget is none."""
    return tuple(one for one in plan.problems if one.place != place("budget", "monthlyUsd"))


def write(document: str) -> None:
    """A document on standard output, in UTF-8 whatever the locale says: Markdown and YAML are read so."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8")
    sys.stdout.write(document)


def add_stack_option(parser: argparse.ArgumentParser) -> None:
    """`--stack NAME` and the folder to look in."""
    parser.add_argument("--stack", metavar="NAME", help="the stack; default $STACK, else the only one in the folder")
    parser.add_argument(
        "--cwd", metavar="DIR", type=Path, default=Path(), help="the folder of Pulumi.<stack>.yaml; default: this one"
    )


def read_stack(arguments: argparse.Namespace) -> stacks.Stack:
    """The stack that the command line means. Raises UnreadableError."""
    name = stacks.choose(arguments.cwd, arguments.stack or os.environ.get("STACK") or None)
    return stacks.read(arguments.cwd, name)


def plan_of(stack: stacks.Stack) -> FleetPlan:
    """The plan of a stack, with the problems of reading it."""
    return decide(stack.fleet, stack=stack.name, project=stack.project, lock=lockfile.read(stack.path.parent))
