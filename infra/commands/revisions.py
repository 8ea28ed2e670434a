"""Two revisions of a checkout, each in a git work tree of its own that is gone when the work is done."""

import os
import re
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from infra.config.types import shown
from infra.problem import error
from infra.stack import UnreadableError

PATIENCE_SECONDS = 120


def root(folder: Path) -> Path:
    """The checkout that `folder` is in. Raises UnreadableError."""
    return Path(_git(folder, "rev-parse", "--show-toplevel")).resolve()


def commit(folder: Path, revision: str, option: str = "--base") -> str:
    """The commit that a revision names, which came by this option. Raises UnreadableError."""
    try:
        return _git(folder, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
    except UnreadableError:
        named = f"{revision[:12]}..." if re.fullmatch("[0-9a-f]{40}", revision) else shown(revision)
        remedy = (
            "this clone is shallow: git fetch --depth=1 origin COMMIT; with actions/checkout, fetch-depth: 0"
            if _git(folder, "rev-parse", "--is-shallow-repository", check=False) == "true"
            else "name a branch, tag or commit, and git fetch what is not here"
        )
        raise UnreadableError(error(option, f"git knows no commit {named} here", remedy)) from None


def missing(folder: Path, base: str, head: str) -> int:
    """How many commits of `base` are not in `head`; 0 where the history here does not tell."""
    if _git(folder, "rev-parse", "--is-shallow-repository", check=False) == "true":
        return 0
    count = _git(folder, "rev-list", "--count", "--end-of-options", base, f"^{head}", check=False)
    return int(count) if count.isdecimal() else 0


@contextmanager
def work_tree(checkout: Path, revision: str) -> Iterator[Path]:
    """A folder with the files of that commit. Nothing is left of it, also after SIGTERM and SIGHUP."""
    with _ends_in_order(), tempfile.TemporaryDirectory(prefix="fleet-diff-") as parent:
        folder = Path(parent).resolve() / "tree"
        try:
            _git(checkout, "worktree", "add", "--quiet", "--detach", "--force", str(folder), revision)
            yield folder
        finally:
            _git(checkout, "worktree", "remove", "--force", "--force", str(folder), check=False)
            _git(checkout, "worktree", "prune", check=False)


@contextmanager
def _ends_in_order() -> Iterator[None]:
    """A request to end becomes an exception, so that what was begun is taken back."""

    def leave(number: int, _frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    before = {}
    for number in (signal.SIGTERM, signal.SIGHUP):
        try:
            before[number] = signal.signal(number, leave)
        except ValueError:
            # not in the main thread, where signals do not arrive
            break
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _git(folder: Path, *arguments: str, check: bool = True) -> str:
    # a hook, or a variable of a git that called us, has no say here
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    try:
        done = subprocess.run(
            ["git", "-c", f"core.hooksPath={os.devnull}", "-C", str(folder), *arguments],
            env=environment,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=PATIENCE_SECONDS,
        )
    except FileNotFoundError:
        raise UnreadableError(error("git", "it is not on PATH", "install git")) from None
    except subprocess.TimeoutExpired:
        raise UnreadableError(error("git", f"git {arguments[0]} takes too long", "run it by hand")) from None
    if check and done.returncode != 0:
        why = next(iter(done.stderr.strip().splitlines()), "it failed")
        raise UnreadableError(
            error("git", f"git {arguments[0]}: {why}", "run this in a git checkout of the project that git may read")
        )
    return done.stdout.strip()
