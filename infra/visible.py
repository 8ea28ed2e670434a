"""Text that somebody else wrote, made harmless to a terminal."""

import unicodedata

INVISIBLE = ("Cc", "Cf", "Cs", "Zl", "Zp")
"""Control, format (text direction among them), surrogate and line separator characters."""


def visible(text: str) -> str:
    """`text` on one line, harmless to a terminal: every character that shows nothing is written as its escape."""
    if text.isprintable():
        return text
    text = " ".join(text.splitlines())
    return "".join(
        letter.encode("unicode_escape").decode() if unicodedata.category(letter) in INVISIBLE else letter
        for letter in text
    )
