"""The status page: one file without any data. What it shows it asks for with the key of whoever looks at it."""

import base64
import hashlib
import re
from functools import cache
from pathlib import Path

from router.web import Reply

PATH = "/fleet"
FILE = "page.html"

UNSEEN = {"cache-control": "no-store", "x-content-type-options": "nosniff"}
"""Headers of what no cache keeps and no browser guesses about."""


@cache
def reply() -> Reply:
    """The page. Its own script and its own style run, and nothing else; it talks to its own door alone."""
    text = Path(__file__).with_name(FILE).read_text(encoding="utf-8")
    policy = {
        "default-src": "'none'",
        "script-src": _only(text, "script"),
        "style-src": _only(text, "style"),
        "connect-src": "'self'",
        "img-src": "data:",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
        "require-trusted-types-for": "'script'",
    }
    return Reply(
        kind="text/html; charset=utf-8",
        text=text,
        headers={
            **UNSEEN,
            "content-security-policy": "; ".join(f"{name} {value}" for name, value in policy.items()),
            "referrer-policy": "no-referrer",
            "cross-origin-opener-policy": "same-origin",
        },
    )


def _only(text: str, tag: str) -> str:
    """Of all scripts (or styles), the page's own by its digest."""
    found = re.findall(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
    return " ".join(f"'sha256-{base64.b64encode(hashlib.sha256(one.encode()).digest()).decode()}'" for one in found)
