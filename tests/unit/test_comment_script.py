"""`.github/scripts/comment.py`: the text of a stranger, a GitHub on loopback, and what it is asked for."""

import importlib.util
import json
import re
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

ROOT = Path(__file__).parents[2]
GOLDEN = sorted((ROOT / "tests" / "program" / "golden" / "changes").glob("*.md"))
HEAD = "a" * 40


def _script() -> Any:
    spec = importlib.util.spec_from_file_location("comment_script", ROOT / ".github" / "scripts" / "comment.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["comment_script"] = module
    spec.loader.exec_module(module)
    return module


script = _script()
HOSTILE = {
    "a mention": "cc @octocat @org/team and (@user)",
    "a mention as an entity": "&#64;octocat &#x40;octocat &commat;octocat",
    "a reference": "fixes #12, closes owner/repo#7 and GH-3",
    "an image": "![x](https://evil.example/pixel.png)",
    "a link": "[click](https://evil.example) <https://evil.example> https://evil.example www.evil.example",
    "a footnote and a definition": "[^1] and [a]: https://evil.example",
    "a script": "<script>alert(1)</script><img src=x onerror=alert(1)><a href='//evil'>x</a>",
    "a comment that hides the rest": "<!-- hidden",
    "a code fence": "```\nnever closed",
    "a folded part that is never closed": "<details><summary>x",
    "closing tags of others": "</details></td></table></div>",
    "a formula": "$$\\href{https://evil.example}{x}$$ `$x$`",
    "text that turns round": "abc\u202edef\u2066\u200b",
    "our own mark": script.MARK,
    "a heading and a list": "safe\n# heading\n## other",
    "control characters": "\x1b[31m\x00\x07\r",
}


def assert_harmless(text: str) -> None:
    """Nothing in it that GitHub turns into anything but text, the plan's own tags aside."""
    bare = re.sub(r"</?(?:code|details|summary)>|<br>", "", text)
    assert "<" not in bare
    for letter in "`[]!~\\$":
        assert letter not in bare
    assert not re.search(r"[@#]", re.sub(r"&#\d+;|^### ", "", bare, flags=re.MULTILINE))
    assert not re.search(r"&#(64|35);(?!\u200b)", bare)
    assert not re.search(r"&(?!#\d{1,3};|rarr;)", bare)
    assert "://" not in bare
    assert not re.search(r"(?i)www\.|gh-\d", bare)
    for tag in ("code", "details", "summary"):
        assert text.count(f"<{tag}>") == text.count(f"</{tag}>")


@pytest.mark.parametrize("title", HOSTILE)
def test_it_makes_harmless(title: str) -> None:
    assert_harmless(script.harmless(HOSTILE[title]))


@given(st.text(alphabet=st.sampled_from("<>/@#[]()!`$\\&;:wcodetailsummarybr640x\n |*_~-. 3gh"), max_size=200))
def test_no_text_at_all_comes_through_as_markup(text: str) -> None:
    assert_harmless(script.harmless(text))


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem[:40])
def test_what_the_plan_writes_itself_comes_through_as_it_is(path: Path) -> None:
    def seen(text: str) -> str:
        return text.replace(script.APART, "").strip()

    assert seen(script.harmless(path.read_text())) == seen(path.read_text())


@pytest.mark.parametrize(
    "text",
    ["x" * 10_000_000, "@" * 10_000_000, "<details>" * 1_000_000, "a | b\n" * 2_000_000, "&#64;" * 2_000_000, ""],
)
def test_ten_megabytes_become_a_comment_that_github_takes(tmp_path: Path, text: str) -> None:
    (tmp_path / "comment.md").write_text(text)
    body = script.body(script.read(tmp_path / "comment.md", script.MOST_BYTES), HEAD)
    assert len(body.encode()) <= script.MOST_BYTES < 65_536
    assert body.startswith(script.MARK)
    assert body.endswith("</sub>\n")
    assert_harmless(script.harmless(body))


# with a GitHub


class FakeGitHub:
    """One repository with one pull request and its comments."""

    def __init__(self) -> None:
        self.comments: list[dict[str, Any]] = []
        self.head = HEAD
        self.asked: list[tuple[str, str]] = []
        self.tokens: set[str | None] = set()

    def answer(self, method: str, path: str, content: Any) -> tuple[int, Any]:
        self.asked.append((method, path))
        if path == "/repos/o/r/pulls/7":
            return 200, {"head": {"sha": self.head}, "state": "open"}
        if path.startswith("/repos/o/r/issues/7/comments?"):
            page = int(path.rpartition("page=")[2])
            return 200, self.comments[(page - 1) * 100 : page * 100]
        if (method, path) == ("POST", "/repos/o/r/issues/7/comments"):
            self.add(content["body"], "Bot")
            return 201, {}
        if method == "PATCH":
            (one,) = (one for one in self.comments if path == f"/repos/o/r/issues/comments/{one['id']}")
            one["body"] = content["body"]
            return 200, {}
        return 404, {}

    def add(self, body: str | None, type_: str) -> None:
        self.comments.append({"id": len(self.comments) + 1, "body": body, "user": {"type": type_}})


@pytest.fixture
def github(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeGitHub]:
    fake = FakeGitHub()

    class Handler(BaseHTTPRequestHandler):
        def _any(self) -> None:
            fake.tokens.add(self.headers["Authorization"])
            length = int(self.headers.get("Content-Length") or 0)
            content = json.loads(self.rfile.read(length)) if length else None
            status, answer = fake.answer(self.command, self.path, content)
            data = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_PATCH = _any  # noqa: N815 http.server's names

        def log_message(self, *_: Any) -> None:
            """Silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    monkeypatch.setenv("GITHUB_API_URL", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("GITHUB_REPOSITORY", "o/r")
    monkeypatch.setenv("GITHUB_TOKEN", "token")
    monkeypatch.setenv("HEAD_SHA", HEAD)
    yield fake
    server.shutdown()
    server.server_close()
    thread.join()


def post(folder: Path, text: str = "### 1 pool replaced", number: str = "7") -> int:
    (folder / "number").write_text(number)
    (folder / "comment.md").write_text(text)
    status: int = script.main([str(folder)])
    return status


def test_the_comment_is_posted_once_and_then_edited_in_place(github: FakeGitHub, tmp_path: Path) -> None:
    for number in range(150):
        github.add(f"{script.MARK} copied by a person" if number == 3 else None, "User")
    assert post(tmp_path, "### first") == 0
    assert post(tmp_path, "### second") == 0
    assert len(github.comments) == 151
    assert "### second" in github.comments[-1]["body"]
    assert "copied by a person" in github.comments[3]["body"]
    assert github.tokens == {"Bearer token"}


@pytest.mark.parametrize("number", ["", "0", "-1", "7/../../x", "7\n8", "\u0667", "7" * 30, "main"])
def test_a_number_that_is_none_asks_github_nothing(github: FakeGitHub, tmp_path: Path, number: str) -> None:
    assert post(tmp_path, number=number) == 1
    assert github.asked == []


def test_another_pull_request_is_left_alone(github: FakeGitHub, tmp_path: Path) -> None:
    github.head = "b" * 40
    assert post(tmp_path) == 0
    assert github.comments == []
    assert post(tmp_path, number="8") == 1


def test_a_link_in_the_artifact_is_not_followed(github: FakeGitHub, tmp_path: Path) -> None:
    (tmp_path / "number").write_text("7")
    secret = tmp_path / "secret"
    secret.write_text("s3cret")
    (tmp_path / "comment.md").symlink_to(secret)
    with pytest.raises(OSError, match="symbolic links"):
        script.main([str(tmp_path)])
    assert github.comments == []


def test_a_run_that_left_nothing_says_nothing(github: FakeGitHub, tmp_path: Path) -> None:
    assert script.main([str(tmp_path)]) == 0
    assert github.asked == []
