"""Tables and paragraphs for infra.report.text: aligned, wrapped, never cut.

rich's own table cuts what a narrow screen has no room for; this one narrows its wordy columns and lets figures stand.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.text import Text

from infra.visible import visible

GAP = "  "
NARROWEST = 12
"""Columns below which no wordy column is narrowed: the row overflows instead."""
MOST_PROSE = 120
"""Longer lines are hard to read, however wide the terminal."""


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column's title and manner."""

    title: str
    right: bool = False
    flexible: bool = False
    """Whether it gives way on a narrow screen; figures never do."""


@dataclass(frozen=True, kw_only=True)
class Table:
    """Rows of cells, as many as there are columns."""

    columns: tuple[Column, ...]
    rows: Sequence[tuple[Text, ...]]


def cells(*values: object) -> tuple[Text, ...]:
    """A row of plain cells, without what a terminal would obey."""
    return tuple(Text(visible(str(value))) for value in values)


def hang(head: Text, body: Text, width: int) -> Iterator[Text]:
    """`body` behind `head`, its further lines indented; a word longer than the line stays whole."""
    room = max(NARROWEST, min(width, MOST_PROSE) - head.cell_len)
    for number, line in enumerate(_wrapped(body, room)):
        yield (head if number == 0 else Text(" " * head.cell_len)) + line


def laid_out(table: Table, width: int) -> Iterator[Text]:
    """Head and rows, aligned; cells that do not fit go on in further lines."""
    if not table.rows:
        return
    head = tuple(Text(column.title, style="bold") for column in table.columns)
    widths = _widths(table, width)
    for row in (head, *table.rows):
        cells = [_wrapped(cell, size, fold=True) for cell, size in zip(row, widths, strict=True)]
        for line in range(max(map(len, cells))):
            parts = [cell[line] if line < len(cell) else Text() for cell in cells]
            yield Text(GAP).join(_aligned(parts, widths, table.columns))


def _wrapped(text: Text, room: int, *, fold: bool = False) -> list[Text]:
    """`text` in lines of at most `room` columns, broken at spaces; longer words stay whole, or go on with `fold`."""
    if text.cell_len <= room:
        return [text]
    breaks, column = [], 0
    for word in re.finditer(r"\S+\s*", text.plain):
        long = cell_len(word[0].rstrip())
        if column and column + long > room:
            breaks.append(word.start())
            column = 0
        if fold and long > room:
            for position, letter in enumerate(word[0].rstrip(), start=word.start()):
                if column + cell_len(letter) > room:
                    breaks.append(position)
                    column = 0
                column += cell_len(letter)
            continue
        column += cell_len(word[0])
    lines = list(text.divide(breaks))
    for line in lines:
        line.rstrip()
    return lines


def _aligned(parts: Iterable[Text], widths: Iterable[int], columns: Iterable[Column]) -> Iterator[Text]:
    for part, size, column in zip(parts, widths, columns, strict=True):
        padding = Text(" " * (size - part.cell_len))
        yield padding + part if column.right else part + padding


def _widths(table: Table, width: int) -> list[int]:
    """Every column as wide as its widest cell, the widest flexible ones narrowed until the row fits."""
    natural = [
        max(cell_len(column.title), *(row[index].cell_len for row in table.rows))
        for index, column in enumerate(table.columns)
    ]
    room = width - len(GAP) * (len(natural) - 1)
    widths = [min(size, room) if column.flexible else size for size, column in zip(natural, table.columns, strict=True)]
    while sum(widths) > room:
        flexible = [
            index for index, column in enumerate(table.columns) if column.flexible and widths[index] > NARROWEST
        ]
        if not flexible:
            break
        widths[max(flexible, key=lambda index: widths[index])] -= 1
    return widths
