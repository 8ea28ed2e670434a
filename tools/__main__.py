"""`python -m tools [NAME ...]` brings programs; `python -m tools --find NAME` prints a path."""

import argparse
import sys

from tools.files import NotFetchedError, bring, files, find_file
from tools.find import find
from tools.install import NotInstalledError, ensure
from tools.pins import UnknownToolError, pin, pins


def main(arguments: list[str] | None = None) -> int:
    """Exit 0 when every named program is there, 1 when one is missing, 2 for a wrong name."""
    parser = argparse.ArgumentParser(prog="python -m tools", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="default: every pinned program that is not too large")
    parser.add_argument("--find", action="store_true", help="only print where it is; exit 1 if nowhere")
    options = parser.parse_args(arguments)
    failed = False
    try:
        everything = [*(name for name, tool in pins().items() if not tool.only_named), *files()]
        for name in options.names or everything:
            if name in files():
                failed |= not _file(name, only_find=options.find)
                continue
            tool = pin(name)
            if options.find:
                found = find(name)
                failed |= found is None
                if found:
                    print(found)
                continue
            try:
                print(ensure(tool), flush=True)
            except NotInstalledError as problem:
                failed = True
                print(problem, file=sys.stderr)
    except UnknownToolError as problem:
        print(problem, file=sys.stderr)
        return 2
    return int(failed)


def _file(name: str, *, only_find: bool) -> bool:
    """Whether a pinned file is there, brought if need be."""
    try:
        print(find_file(name) or "" if only_find else bring(name), flush=True)
    except NotFetchedError as problem:
        print(problem, file=sys.stderr)
        return False
    return find_file(name) is not None


if __name__ == "__main__":
    sys.exit(main())
