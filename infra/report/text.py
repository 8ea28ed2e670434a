"""The plan in a terminal, a pipe or a log.

Nothing is ever cut: cells and paragraphs wrap, and a word that is longer than the line stays whole. Errors stand at the
end, above the verdict, where a terminal leaves the eye. Colour marks verdicts only.
"""

import os
import sys
from collections.abc import Callable, Iterator
from io import StringIO

from rich.console import Console
from rich.text import Text

from infra.plan.model import FleetPlan, PoolPlan, Verdict
from infra.problem import Problem, Severity
from infra.report import figures, hardware, remarks
from infra.report.table import GAP, Column, Table, hang, laid_out
from infra.visible import visible

WIDTH_OF_A_PIPE = 120
COLOURS = {Severity.ERROR: "bold red", Severity.WARNING: "yellow"}
STRAINS = {Verdict.TIGHT: "yellow", Verdict.TOO_LARGE: "red"}
ASCII = str.maketrans({"·": "-"})


def show(plan: FleetPlan) -> None:
    """Prints the plan to stdout."""
    sys.stdout.write(page(lambda width, color: render(plan, width=width, color=color)))


def page(rendered: Callable[[int, bool], str]) -> str:
    """What fits stdout: as wide as the terminal, COLUMNS or 120; coloured on a terminal without NO_COLOR."""
    terminal = Console(file=sys.stdout)
    colour = terminal.is_terminal and not terminal.no_color and terminal.color_system is not None
    columns = os.environ.get("COLUMNS", "")
    if columns.isdecimal() and int(columns):
        width = int(columns)
    else:
        width = terminal.width if sys.stdout.isatty() else WIDTH_OF_A_PIPE
    text, encoding = rendered(width, colour), sys.stdout.encoding or "utf-8"
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        text = text.translate(ASCII).encode(encoding, "replace").decode(encoding)
    return text


def render(plan: FleetPlan, *, width: int = WIDTH_OF_A_PIPE, color: bool = False) -> str:
    """The plan as text of `width` columns. Without `color` it holds no escape sequence, whatever the file says."""
    out = StringIO()
    console = Console(
        file=out,
        width=width,
        force_terminal=color,
        color_system="standard" if color else None,
        legacy_windows=False,
        _environ={},
    )
    for line in _lines(plan, width):
        line.rstrip()
        console.print(line, soft_wrap=True, highlight=False)
    return out.getvalue()


def _lines(plan: FleetPlan, width: int) -> Iterator[Text]:
    pools = list(laid_out(_pools(plan), width))
    models = list(laid_out(_models(plan), width))
    title, prices = Text(f"plan · {visible(plan.stack)}", style="bold"), Text(visible(figures.prices(plan)))
    wide = max((line.cell_len for line in [*pools, *models]), default=width)
    room = min(width, wide) - title.cell_len - prices.cell_len
    if prices and room >= len(GAP):
        yield title + Text(" " * room) + prices
    else:
        yield from (title, prices) if prices else (title,)
    for block in (pools, models, laid_out(_software(plan), width), _facts(plan, width)):
        lines = list(block)
        if lines:
            yield Text()
            yield from lines
    for severity in (Severity.WARNING, Severity.ERROR):
        found = figures.of(plan, severity)
        if found:
            yield Text()
        for problem in found:
            yield from _problem(problem, width)
    yield Text()
    yield _verdict(plan)


# what stands in the tables


def _cells(*cells: str) -> tuple[Text, ...]:
    return tuple(Text(visible(cell)) for cell in cells)


def _pools(plan: FleetPlan) -> Table:
    columns = (
        Column(title="POOL", flexible=True),
        Column(title="HARDWARE", flexible=True),
        Column(title="REPLICAS"),
        Column(title="GPU MEMORY PER REPLICA"),
        Column(title="$/MONTH", right=True),
    )
    usage = [hardware.memory(pool) for pool in plan.pools]
    widest = max((len(figure) for figure, _ in usage), default=0)
    rows = [
        (
            *_cells(pool.name, hardware.hardware(plan, pool), hardware.replicas(pool)),
            _memory(pool, f"{figure:<{widest}}  {percent:>5}"),
            *_cells(hardware.price(plan, pool)),
        )
        for pool, (figure, percent) in zip(plan.pools, usage, strict=True)
    ]
    if plan.cost is not None:
        base, total = plan.cost.base, plan.cost.total
        if items := figures.base(plan):
            rows.append(_cells("base", items, "", "", figures.monthly(plan, base)))
        hourly, sums = f"${figures.per_hour(total)} an hour", figures.monthly(plan, total)
        rows.append(tuple(Text(cell, style="bold") for cell in ("total", hourly, "", "", sums)))
    return Table(columns=columns, rows=rows)


def _memory(pool: PoolPlan, figure: str) -> Text:
    strain = hardware.strain(pool)
    return Text(f"{figure}  {strain}" if strain else figure, style=STRAINS.get(pool.memory.verdict, ""))


def _models(plan: FleetPlan) -> Table:
    columns = (
        Column(title="MODEL", flexible=True),
        Column(title="ROUTE", flexible=True),
        Column(title="CONTEXT", right=True),
        Column(title="NEEDS", right=True),
        Column(title="SIZE", right=True),
        Column(title="REMARK", flexible=True),
    )
    rows = [
        _cells(
            model.name,
            " > ".join(model.route),
            str(model.context),
            remarks.needs(model),
            remarks.size(plan, model),
            "; ".join(remarks.remarks(plan, model)),
        )
        for model in plan.models
    ]
    rows += [_cells(alias.name, "", "", "", "", remarks.alias(alias.targets)) for alias in plan.aliases]
    return Table(columns=columns, rows=rows)


def _software(plan: FleetPlan) -> Table:
    columns = tuple(Column(title=title, flexible=True) for title in ("RUNTIME", "IMAGE", "DRIVER", "NODE DISK"))
    rows = [
        (
            *_cells(" ".join(group.pools)),
            Text(visible(group.image), style="" if group.works else "red"),
            *_cells(group.driver, group.disk),
        )
        for group in hardware.software(plan)
    ]
    return Table(columns=columns, rows=rows)


def _facts(plan: FleetPlan, width: int) -> Iterator[Text]:
    facts = [
        ("storage", figures.storage(plan)),
        ("scaling", figures.scaling(plan)),
        ("schedule", figures.scheduled(plan)),
        ("asleep", figures.sleeping(plan)),
        ("cluster", figures.cluster(plan)),
        ("door", figures.door(plan)),
        ("GPU figures", figures.gpus(plan)),
        *figures.scope(plan),
    ]
    if plan.models:
        facts.insert(0, ("memory", "NEEDS is what the device will show, SIZE what `ollama ps` will print"))
    indent = max(len(title) for title, _ in facts) + len(GAP)
    for title, text in facts:
        if text:
            yield from hang(Text(f"{title:<{indent}}"), Text(visible(text)), width)


def _problem(problem: Problem, width: int) -> Iterator[Text]:
    head = Text(f"{problem.severity:<7}{GAP}", style=COLOURS[problem.severity])
    message = Text.assemble((visible(problem.place), "bold"), GAP, visible(problem.message))
    yield from hang(head, message, width)
    if problem.remedy:
        yield from hang(Text(" " * head.cell_len + "-> "), Text(visible(problem.remedy)), width)


def _verdict(plan: FleetPlan) -> Text:
    worst = next((severity for severity in Severity if figures.of(plan, severity)), None)
    return Text(figures.verdict(plan), style=COLOURS[worst] if worst else "green")
