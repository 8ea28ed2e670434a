"""Posts the text of a stranger to the pull request that it belongs to, in one comment that is edited in place.

Usage: comment.py FOLDER, with `number` and `comment.md` in it. Both come from the pull request's own run: the number
counts only if that pull request's head is HEAD_SHA, and the text is made harmless. Standard library only.
"""

import json
import os
import re
import sys
import unicodedata
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

MARK = "<!-- ollama-fleet: plan -->"
MOST_BYTES = 60_000
"""GitHub refuses a comment above 65,536 characters."""
PAGES = 20
PATIENCE_SECONDS = 30
APART = "\u200b"
TAGS = ("code", "details", "summary")
TOKEN = re.compile(r"</?(?:code|details|summary)>|<br>|&#\d{1,3};|&rarr;|[\s\S]")
INERT = frozenset("&<>|`*_[]\\~#@$!")
"""What the plan's own Markdown writes as an entity."""
ACTIVE = frozenset("&<`[]!@#$~\\")
"""What begins markup, a mention, a reference or a formula wherever it stands."""
LINKING = re.compile(r"(?i)(?<=:)(?=//)|(?<=www)(?=\.)|(?<=gh)(?=-\d)")
"""Where GitHub would see an address or a reference in bare text."""


def harmless(text: str) -> str:
    """The plan's headings, tables, lists and folded parts; nothing else in it is markup, link, image or mention."""
    lines = [_line(line) for line in text.splitlines()]
    return _balanced("\n".join(lines))


def _line(line: str) -> str:
    line = "".join(
        letter for letter in line if unicodedata.category(letter) not in ("Cc", "Cf", "Cs", "Co", "Zl", "Zp")
    )
    heading = "### " if line.startswith("### ") else ""
    return heading + "".join(_token(found[0]) for found in TOKEN.finditer(LINKING.sub(APART, line[len(heading) :])))


def _token(token: str) -> str:
    if len(token) == 1:
        return _entity(token) if token in ACTIVE else token
    if token.startswith("&#"):
        letter = chr(int(token[2:-1]))
        return _entity(letter) if letter in INERT else f"&#38;{token[1:]}"
    return token


def _entity(letter: str) -> str:
    return f"&#{ord(letter)};{APART if letter in '@#' else ''}"


def _balanced(text: str) -> str:
    """Every tag closed in its turn, so that the text ends where it ends."""
    open_tags: list[str] = []
    parts = []
    for part in re.split(r"(</?(?:code|details|summary)>)", text):
        name = part.strip("</>")
        if name in TAGS and part == f"<{name}>":
            open_tags.append(name)
        elif name in TAGS and part == f"</{name}>":
            if not open_tags or open_tags[-1] != name:
                continue
            open_tags.pop()
        parts.append(part)
    return "".join([*parts, *(f"</{name}>" for name in reversed(open_tags))])


def body(text: str, head: str) -> str:
    """The whole comment, of at most MOST_BYTES."""
    note = "Written by the pull request's own code: `fleet diff` on your machine says it again."
    top, end = f"{MARK}\n", f"\n\n<sub>{head[:12]}. {note}</sub>\n"
    lines = text.splitlines()
    while True:
        whole = top + harmless("\n".join(lines)) + end
        if len(whole.encode()) <= MOST_BYTES:
            return whole
        # a character may become several; what is too long loses its end, by whole lines where there are some
        lines = lines[: len(lines) * 9 // 10] if len(lines) > 1 else [lines[0][: len(lines[0]) * 9 // 10]]
        end = f"\n\nCut: the job's summary has the rest.\n\n<sub>{head[:12]}. {note}</sub>\n"


def read(path: Path, most: int) -> str:
    """The first bytes of a regular file, which a link is not."""
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
        return file.read(most).decode("utf-8", "replace")


class GitHub:
    """The few calls that a comment takes."""

    def __init__(self, api: str, repository: str, token: str) -> None:
        self._base = f"{api}/repos/{repository}"
        self._token = token

    def call(self, method: str, path: str, content: Any = None) -> Any:
        """The answer's JSON. Raises urllib.error.HTTPError."""
        request = urllib.request.Request(
            f"{self._base}{path}",
            method=method,
            data=None if content is None else json.dumps(content).encode(),
            headers={
                "Authorization": f"Bearer {self._token}",
                "Accept": "application/vnd.github+json",
                "X-GitHub-Api-Version": "2022-11-28",
            },
        )
        with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS) as answer:
            return json.load(answer)

    def ours(self, number: int) -> int | None:
        """The id of our comment on a pull request, if there is one."""
        for page in range(1, PAGES + 1):
            found = self.call("GET", f"/issues/{number}/comments?per_page=100&page={page}")
            for one in found:
                # anybody may write the mark; only an app's comment can be edited by us
                if one["user"]["type"] == "Bot" and (one["body"] or "").startswith(MARK):
                    return int(one["id"])
            if len(found) < 100:
                break
        return None


def main(arguments: list[str], environment: "os._Environ[str]" = os.environ) -> int:
    """0 when the comment stands, or there is none to write; 1 for a number that is none."""
    folder = Path(arguments[0])
    if not (folder / "number").exists():
        print("the run left no plan")
        return 0
    number_text = read(folder / "number", 20).strip()
    if not re.fullmatch(r"[1-9]\d{0,9}", number_text, re.ASCII):
        print("this is no number of a pull request", file=sys.stderr)
        return 1
    number, head = int(number_text), environment["HEAD_SHA"]
    api = environment.get("GITHUB_API_URL", "https://api.github.com")
    github = GitHub(api, environment["GITHUB_REPOSITORY"], environment["GITHUB_TOKEN"])
    try:
        pull = github.call("GET", f"/pulls/{number}")
    except urllib.error.HTTPError as problem:
        print(f"pull request {number}: HTTP {problem.code}", file=sys.stderr)
        return 1
    if pull["head"]["sha"] != head:
        print(f"pull request {number} does not stand at {head}, or does no more: nothing to say")
        return 0
    content = {"body": body(read(folder / "comment.md", MOST_BYTES), head)}
    known = github.ours(number)
    if known is None:
        github.call("POST", f"/issues/{number}/comments", content)
    else:
        github.call("PATCH", f"/issues/comments/{known}", content)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
