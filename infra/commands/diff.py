"""`fleet diff`: what a change does to models, machines, money and every resource. No account."""

import argparse
import json
import os
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infra import lockfile
from infra import stack as stacks
from infra.change.build import Side, build
from infra.change.model import FleetChange, Level
from infra.change.resources import Program, program
from infra.commands import common, revisions
from infra.config import FleetConfig, parse
from infra.plan.build import build as plan
from infra.plan.lock import Lock
from infra.problem import error, has_errors

REFUSED = "the plan has errors: resources are not compared, and an entry that is refused is shown as taken out"
HELP = "what a change does: models, pools, replacements with their reason, money, risks (no account)"
FORMATS = ("text", "markdown", "json")
FAIL_ON = (Level.IN_PLACE, Level.REPLACE, Level.RISK)
ABOVE = 3
PATIENCE_SECONDS = 300
WORKING_TREE = "working tree"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `fleet diff`."""
    common.add_stack_option(parser)
    parser.add_argument(
        "--base", metavar="REF", required=True, help="the revision to compare with: branch, tag, commit"
    )
    parser.add_argument("--head", metavar="REF", help="the changed revision; default: the working tree")
    parser.add_argument("--code", action="store_true", help="let each revision's own code say its resources")
    parser.add_argument("--fail-on", choices=[str(level) for level in FAIL_ON], help=f"exit {ABOVE} at this or above")
    parser.add_argument("--format", choices=FORMATS, default="text", help="text for a terminal; json for programs")


def run(arguments: argparse.Namespace) -> int:
    """0; 1 with errors in the head's plan; 2 for what cannot be read; 3 at or above `--fail-on`."""
    change = compare(arguments)
    match arguments.format:
        case "json":
            from infra.report import change_json

            sys.stdout.write(change_json.render(change))
        case "markdown":
            from infra.report import comment

            sys.stdout.write(comment.render(change))
        case _:
            from infra.report import change as words

            sys.stdout.write(words.render(change))
    if change.errors:
        return common.ERRORS
    limit = Level(arguments.fail_on) if arguments.fail_on else None
    return ABOVE if limit is not None and change.level.rank >= limit.rank else common.OK


def compare(arguments: argparse.Namespace) -> FleetChange:
    """The change that the command line means. Raises UnreadableError for a head that cannot be read."""
    folder = arguments.cwd.resolve()
    checkout = revisions.root(folder)
    inside = folder.relative_to(checkout)
    with ExitStack() as stack:
        commits = [
            revisions.commit(checkout, name, option)
            for name, option in ((arguments.base, "--base"), (arguments.head, "--head"))
            if name is not None
        ]
        trees = [stack.enter_context(revisions.work_tree(checkout, commit)) for commit in commits]
        base = _Revision(trees[0], inside, arguments.base)
        head = (
            _Revision(trees[1], inside, arguments.head) if arguments.head else _Revision(checkout, inside, WORKING_TREE)
        )
        notes = _behind(checkout, *commits, base=base.title, head=head.title)
        return _compare(_name(arguments, base, head), base, head, notes, code=arguments.code)


@dataclass(frozen=True)
class _Revision:
    """The files of one side."""

    tree: Path
    inside: Path
    title: str

    @property
    def folder(self) -> Path:
        return self.tree / self.inside

    @property
    def code(self) -> Path:
        """Where its own program is: the nearest folder upwards that has one."""
        upwards = [self.folder, *self.folder.parents]
        inside = upwards[: upwards.index(self.tree) + 1]
        return next((folder for folder in inside if (folder / "infra" / "__main__.py").is_file()), self.tree)

    def has(self, name: str) -> bool:
        # whatever it is: a link that leads nowhere is no file that is gone
        return os.path.lexists(self.folder / f"Pulumi.{name}.yaml")


def _behind(checkout: Path, old: str, new: str = "HEAD", *, base: str, head: str) -> list[str]:
    """What a reader would take for the change's own doing, where the base has moved on meanwhile."""
    missing = revisions.missing(checkout, old, new)
    if not missing:
        return []
    which = f"{missing} commit{'s' * (missing != 1)}"
    since = f"git merge-base {base} {'HEAD' if head == WORKING_TREE else head}"
    return [f"{base} has {which} that {head} lacks: what they did is shown as undone (--base $({since}) leaves it out)"]


def _name(arguments: argparse.Namespace, base: _Revision, head: _Revision) -> str:
    wish = arguments.stack or os.environ.get("STACK") or None
    if wish is not None and Path(f"Pulumi.{wish}.yaml").name == f"Pulumi.{wish}.yaml" and base.has(wish):
        return str(wish)
    return stacks.choose(head.folder, wish)


def _compare(name: str, base: _Revision, head: _Revision, notes: list[str], *, code: bool) -> FleetChange:
    after = _side(name, head, code=code, notes=None) if head.has(name) else None
    before = None
    unreadable = False
    if not base.has(name):
        notes.append(f"{base.title} has no Pulumi.{name}.yaml: everything here is new")
    else:
        try:
            before = _side(name, base, code=code, notes=notes)
        except stacks.UnreadableError as failure:
            unreadable = True
            notes.append(
                f"the file of {base.title} cannot be read ({failure.problem.place}: {failure.problem.message}): "
                "what stands is not known, and everything is shown as new"
            )
    if after is None:
        notes.append(f"{head.title} has no Pulumi.{name}.yaml any more: nothing destroys what stands")
    if after is not None and has_errors(after.plan.problems):
        notes.append(REFUSED)
    if unreadable and after is not None:
        after = Side(config=after.config, plan=after.plan, program=None)
    return build(
        stack=name, base=base.title, head=head.title, before=before, after=after, notes=tuple(notes), code_compared=code
    )


def _side(name: str, revision: _Revision, *, code: bool, notes: list[str] | None) -> Side:
    """One side under the current code. Where its resources cannot be told, `notes` says why; without them it raises."""
    stack = stacks.read(revision.folder, name)
    parsed = parse(stack.fleet)
    config = parsed.config or FleetConfig()
    lock = _lock(revision, notes)
    planned = plan(config, stack=stack.name, project=stack.project, problems=parsed.problems, lock=lock)
    registered: Program | None = None
    if has_errors(planned.problems):
        if notes is not None:
            notes.append(f"resources are not compared: the plan of {revision.title} has errors under the current code")
    elif code:
        try:
            registered = program(_by_own_code(name, revision))
        except stacks.UnreadableError as failure:
            if notes is None:
                raise
            notes.append(f"resources are not compared: {failure.problem.message}")
    else:
        from infra.commands import recorded

        registered = program(json.loads(recorded.of(stack, lock).to_json()))
    return Side(config=config, plan=planned, program=registered)


def _lock(revision: _Revision, notes: list[str] | None) -> Lock:
    """The lock of one side. Where it cannot be read, `notes` says so and nothing is pinned; without them it raises."""
    try:
        return lockfile.read(revision.folder)
    except stacks.UnreadableError as failure:
        if notes is None:
            raise
        problem = failure.problem
        notes.append(
            f"{problem.place} of {revision.title} cannot be read ({problem.message}): what it pinned is not known, "
            "and a digest of the change is shown as a new one"
        )
        return Lock()


def _by_own_code(name: str, revision: _Revision) -> Any:
    """What the revision's own `fleet resources` prints. Raises UnreadableError."""
    environment = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "STACK")}
    command = [sys.executable, "-m", "infra", "resources", "--stack", name, "--cwd", str(revision.folder)]
    try:
        done = subprocess.run(
            command,
            cwd=revision.code,
            env=environment,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=PATIENCE_SECONDS,
        )
        if done.returncode == 0:
            return json.loads(done.stdout)
        why = next(iter(done.stderr.strip().splitlines()), f"exit status {done.returncode}")
    except subprocess.TimeoutExpired:
        why = f"it took longer than {PATIENCE_SECONDS} s"
    except json.JSONDecodeError:
        why = "it printed no JSON"
    raise stacks.UnreadableError(
        error("--code", f"`fleet resources` of {revision.title} failed: {why}", "leave --code out, or mend that code")
    )
