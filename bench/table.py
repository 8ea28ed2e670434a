"""The tables and the picture of bench/door.py: `.venv/bin/python -m bench.table` writes them from docs/bench.json.

A run with --write leaves its figures there; README and docs/router.md show them between markers.
"""

import json
import re
import sys
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
FIGURES, PICTURE = ROOT / "docs" / "bench.json", ROOT / "docs" / "bench.svg"
MARKED = re.compile(r"(<!-- bench -->\n).*?(<!-- /bench -->)", re.DOTALL)

ROWS = (
    ("rate", "requests per second", "{:,.0f}"),
    ("addedP50", "added p50, ms", "{:.2f}"),
    ("addedP99", "added p99, ms", "{:.2f}"),
    ("first", "first chunk, ms", "{:.2f}"),
    ("cpu", "CPU per request, us", "{:.0f}"),
    ("memory", "memory, MiB", "{:.0f}"),
    ("lost", "lost on a kill, of {requests:,}", "{:,.0f}"),
)
"""Key, title, form."""
MORE_ROWS = (
    ("p50", "p50, ms", "{:.2f}"),
    ("p99", "p99, ms", "{:.2f}"),
    ("addedFirst", "added to the first chunk, ms", "{:.2f}"),
    ("whole", "stream of 200 chunks, ms", "{:.2f}"),
    ("memoryBusy", "memory after 200 open streams, MiB", "{:.0f}"),
)
FONT = 'font-family="system-ui, sans-serif" font-size="12"'
COLOURS = ("#9aa0a6", "#4c8dd6", "#2a9d6f", "#1b6b4c")
WIDTH, LEFT, BAR, GAP, ACROSS = 860, 130, 14, 5, 2


def comparison(found: Mapping[str, Any]) -> str:
    """The table of README: a row a figure, a column a way."""
    return _rows(found, ROWS)


def details(found: Mapping[str, Any]) -> str:
    """What more docs/router.md has: the other figures, how long an edit takes, the bounds."""
    edits = [f"| {one['models']:,} models | {one['moved']:.2f} | {one['newPool']:.2f} |" for one in found["edits"]]
    bounds = [f"| {one['what']} | {one['value']:.2f} | {one['most']:g} | {_judged(one)} |" for one in found["bounds"]]
    parts = (
        _rows(found, MORE_ROWS),
        "\n".join(["| edit to effect, median s | moved model | model on a new pool |", "|---|---|---|", *edits]),
        "\n".join(["| bound | measured | at most | |", "|---|---|---|---|", *bounds]),
    )
    return "\n\n".join(parts)


def _judged(bound: Mapping[str, Any]) -> str:
    return "kept" if bound["value"] <= bound["most"] else "**over**"


def _rows(found: Mapping[str, Any], rows: Sequence[tuple[str, str, str]]) -> str:
    ways = found["ways"]
    lines = ["| | " + " | ".join(way["name"] for way in ways) + " |", "|---" * (len(ways) + 1) + "|"]
    for key, title, form in rows:
        cells = [form.format(way[key]) if key in way else "" for way in ways]
        lines.append(f"| {title.format(requests=found['killRequests'])} | {' | '.join(cells)} |")
    return "\n".join(lines)


def origin(found: Mapping[str, Any]) -> str:
    """Machine, date and command in a line."""
    machine = found["machine"]
    return (
        f"{found['date']}, `{found['command']}` ({found['rounds']} rounds of {found['seconds']} s): "
        f"{machine['cores']} cores of {machine['processor']}, {machine['memoryGib']} GiB, "
        f"load {machine['load']:g} before it began"
    )


def picture(found: Mapping[str, Any]) -> str:
    """Bars for each row of the table, in an SVG that stands by itself."""
    ways = found["ways"]
    height = 34 + len(ways) * (BAR + GAP)
    lines = -(-len(ROWS) // ACROSS)
    whole = 20 + lines * (height + 10) + 24
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {whole}" {FONT} role="img">',
        f"<title>{escape('What the door costs: ' + origin(found).replace('`', ''))}</title>",
        f'<rect width="{WIDTH}" height="{whole}" rx="8" fill="#ffffff"/>',
    ]
    for number, (key, title, form) in enumerate(ROWS):
        x, y = number % ACROSS * (WIDTH // ACROSS) + 16, 20 + number // ACROSS * (height + 10)
        parts.append(_text(x, y + 12, title.format(requests=found["killRequests"]), 'font-weight="600"'))
        parts += _bars(ways, key, form, x, y + 22)
    parts.append(_text(16, whole - 12, origin(found).replace("`", ""), 'font-size="11" fill="#5f6368"'))
    return "\n".join([*parts, "</svg>", ""])


def _bars(ways: Sequence[Mapping[str, Any]], key: str, form: str, x: int, y: int) -> list[str]:
    most = max((way[key] for way in ways if key in way), default=0) or 1
    room = WIDTH // ACROSS - LEFT - 90
    parts = []
    for number, (way, colour) in enumerate(zip(ways, COLOURS, strict=True)):
        top = y + number * (BAR + GAP)
        parts.append(_text(x, top + 11, way["name"]))
        if key in way:
            long = max(1, round(room * max(way[key], 0) / most))
            parts.append(f'<rect x="{x + LEFT}" y="{top}" width="{long}" height="{BAR}" rx="2" fill="{colour}"/>')
            parts.append(_text(x + LEFT + long + 6, top + 11, form.format(way[key])))
        else:
            parts.append(_text(x + LEFT, top + 11, "-"))
    return parts


def _text(x: int, y: int, text: str, more: str = "") -> str:
    looks = " ".join(part for part in ("" if "fill" in more else 'fill="#202124"', more) if part)
    return f'<text x="{x}" y="{y}" {looks}>{escape(text)}</text>'


def pages(found: Mapping[str, Any]) -> Mapping[Path, str]:
    """Every file that shows the figures, as it should be."""
    said = origin(found)
    inner = {
        ROOT / "README.md": f"{comparison(found)}\n\n![The same as bars](docs/bench.svg)\n\n{said}.\n",
        ROOT / "docs" / "router.md": f"{comparison(found)}\n\n{details(found)}\n\n{said}.\n",
    }
    return {**{page: _renewed(page, text) for page, text in inner.items()}, PICTURE: picture(found)}


def _renewed(page: Path, text: str) -> str:
    """The page with this text between its markers."""
    return MARKED.sub(lambda mark: mark[1] + text + mark[2], page.read_text())


def write(found: Mapping[str, Any]) -> None:
    """Keeps the figures, and renews what shows them."""
    FIGURES.write_text(json.dumps(found, indent=1) + "\n")
    for page, text in pages(found).items():
        page.write_text(text)


if __name__ == "__main__":
    if sys.argv[1:]:
        sys.exit(f"{__doc__}")
    write(json.loads(FIGURES.read_text()))
