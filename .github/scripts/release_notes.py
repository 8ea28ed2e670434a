"""`release_notes.py vX.Y.Z`: that version's part of the changelog.

Fails for a tag that is not the project's version, and for a changelog without it or without its date.
"""

import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
PART = re.compile(r"^## (?P<version>\d+\.\d+\.\d+)(?P<more>[^\n]*)\n(?P<text>.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL)
DATED = re.compile(r" \(\d{4}-\d\d-\d\d\)")


def notes(tag: str, version: str, changelog: str) -> str:
    """The notes of a tag. Raises ValueError with the remedy."""
    if tag != f"v{version}":
        raise ValueError(
            f"the tag {tag} is not v{version}, which pyproject.toml and infra/__init__.py say: change both"
        )
    part = next((one for one in PART.finditer(changelog) if one["version"] == version), None)
    if part is None or not part["text"].strip():
        raise ValueError(f"CHANGELOG.md says nothing of {version}: add '## {version} (DATE)' and what changed")
    if not DATED.fullmatch(part["more"]):
        raise ValueError(f"CHANGELOG.md has no date for {version}: write '## {version} (YYYY-MM-DD)'")
    return part["text"].strip() + "\n"


def main(arguments: list[str]) -> int:
    """0 with the notes on standard output, 1 where there are none, 2 for a wrong command line."""
    if len(arguments) != 1:
        print(__doc__, file=sys.stderr)
        return 2
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    try:
        print(notes(arguments[0], version, (ROOT / "CHANGELOG.md").read_text()), end="")
    except ValueError as problem:
        print(f"error  {problem}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
