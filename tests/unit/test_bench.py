"""What bench/door.py measured is what README and docs show, in the table and in the picture."""

import json
import xml.etree.ElementTree as ET
from typing import Any

import pytest

from bench import door, table

FOUND: dict[str, Any] = json.loads(table.FIGURES.read_text())


def test_readme_docs_and_picture_show_the_figures_of_the_last_run() -> None:
    """`make bench-door` renews them all, `.venv/bin/python -m bench.table` from the figures that are there."""
    for page, text in table.pages(FOUND).items():
        assert page.read_text() == text, page.name
    assert table.origin(FOUND) in (table.ROOT / "README.md").read_text()


def test_the_table_has_each_figure_of_each_way() -> None:
    assert [way["name"] for way in FOUND["ways"]] == ["direct", "plain Envoy", "door, 10 models", "door, 1,000 models"]
    lines = table.comparison(FOUND).splitlines()
    for (key, _, form), line in zip(table.ROWS, lines[2:], strict=True):
        shown = [cell.strip() for cell in line.split("|")[2:-1]]
        assert shown == [form.format(way[key]) if key in way else "" for way in FOUND["ways"]]
    titles = "\n".join(lines)
    for what in (
        "requests per second",
        "added p50",
        "added p99",
        "first chunk",
        "CPU per request",
        "memory",
        "lost on a",
    ):
        assert what in titles


def test_the_picture_is_well_formed_and_has_every_figure_machine_date_and_command() -> None:
    root = ET.fromstring(table.picture(FOUND))  # noqa: S314 - our own
    texts = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    for key, _, form in table.ROWS:
        for way in FOUND["ways"]:
            assert (form.format(way[key]) if key in way else "-") in texts
    for said in (FOUND["date"], FOUND["command"], FOUND["machine"]["processor"]):
        assert said in str(texts[-1])


def test_a_name_in_the_figures_cannot_break_the_picture() -> None:
    hostile = {**FOUND, "command": "<script>&\"'"}
    assert "<script>" in ET.fromstring(table.picture(hostile))[0].text  # type: ignore[operator] # noqa: S314


@pytest.mark.parametrize(("value", "said"), [(0.59, "kept"), (0.61, "**over**")])
def test_a_figure_over_its_bound_is_marked(value: float, said: str) -> None:
    bounds = [{"what": "added p50", "value": value, "most": 0.6}]
    assert f"| added p50 | {value} | 0.6 | {said} |" in table.details({**FOUND, "bounds": bounds})


def test_the_bounds_are_those_of_the_page() -> None:
    """CPU at most twice plain Envoy's, 0.6 ms at the median, nothing lost."""
    most = {bound["what"]: bound["most"] for bound in FOUND["bounds"]}
    for size in door.SIZES:
        assert most[f"CPU per request over plain Envoy, {size:,} models"] == 2
        assert most[f"added p50 over direct, {size:,} models, ms"] == 0.6
        assert most[f"lost on a kill, {size:,} models"] == 0
