"""A change as Markdown, for a pull request or a job summary: the verdict, the keys, the money; the rest is folded.

Text of the file can neither leave its cell nor become markup, an image, a mention or a reference; the whole keeps
within what GitHub takes for one comment, and says what was left out.
"""

from collections.abc import Iterator, Sequence

from infra.change.model import FleetChange
from infra.problem import Problem
from infra.report import change as words
from infra.report.markdown import code, escape

MOST_BYTES = 60_000
"""GitHub refuses a comment above 65,536 characters."""
ROWS = (1000, 200, 60, 20, 6, 0)
"""How many rows of each table are tried, until the whole is small enough."""


def render(change: FleetChange) -> str:
    """GitHub-flavoured Markdown of at most MOST_BYTES; ends with what was not checked and `no credentials used`."""
    for most in ROWS:
        text = _render(change, most)
        if len(text.encode()) <= MOST_BYTES:
            return text
    raise AssertionError("a comment without rows is small")


def _render(change: FleetChange, most: int) -> str:
    sides = f"{code(_short(change.base))} to {code(_short(change.head))}"
    blocks = [
        f"### {' · '.join(map(escape, words.verdict(change)))}",
        f"Stack {code(_short(change.stack))}, {sides}",
        _problems("Errors", change.errors, most),
        _keys(change, most),
        _problems("Risks", change.risks, most),
        _money(change),
        *(f"> {escape(_short(note))}" for note in change.notes),
        _folded(words.counted(len(words.resources(change)), "resource"), _resources(change, most)),
        _folded(words.counted(len(change.new_warnings), "new warning"), _problems("", change.new_warnings, most)),
        f"Not checked: {escape(words.not_checked(change))}\n\n{words.NO_CREDENTIALS}",
    ]
    return "\n\n".join(block for block in blocks if block) + "\n"


def _keys(change: FleetChange, most: int) -> str:
    changed = words.rows(change)
    rows = [
        (code(_short(row.key)), escape(row.before), escape(row.after), escape(_short(row.effect, 600)))
        for row in changed[:most]
    ]
    return _table(("Key", "Before", "After", "Effect"), rows, len(changed))


def _money(change: FleetChange) -> str:
    if all(plan is None or plan.cost is None for plan in (change.before, change.after)):
        return ""
    return _table(("", "Minimum", "Maximum"), [tuple(map(escape, line)) for line in words.money(change)])


def _resources(change: FleetChange, most: int) -> str:
    changed = words.resources(change)
    rows = [
        (escape(kind), code(_short(name)), does, escape(_short(detail, 300)))
        for kind, name, does, detail in map(words.resource_line, changed[:most])
    ]
    return _table(("Resource", "Name", "", "Why or what"), rows, len(changed))


def _problems(title: str, problems: Sequence[Problem], most: int) -> str:
    if not problems:
        return ""
    lines = [f"**{title}**", ""] if title else []
    for problem in problems[: max(most, 3)]:
        lines.append(f"* {code(_short(problem.place))}: {escape(_short(problem.message, 400))}")
        if problem.remedy:
            lines[-1] += f"<br>&rarr; {escape(_short(problem.remedy, 400))}"
    lines += _left_out(len(problems) - max(most, 3))
    return "\n".join(lines)


def _table(titles: Sequence[str], rows: Sequence[Sequence[str]], total: int | None = None) -> str:
    """The first `rows` of `total`; all of them without it."""
    lines = [f"| {' | '.join(cells)} |" for cells in (titles, ["---"] * len(titles), *rows)] if rows else []
    more = list(_left_out((len(rows) if total is None else total) - len(rows)))
    return "\n".join([*lines, *([""] if lines and more else []), *more])


def _left_out(count: int) -> Iterator[str]:
    if count > 0:
        yield f"{count} more left out here: run `fleet diff` for all of it."


def _folded(title: str, content: str) -> str:
    return f"<details><summary>{title}</summary>\n\n{content}\n\n</details>" if content else ""


def _short(text: str, most: int = 200) -> str:
    return text if len(text) <= most else f"{text[: most - 4]} ..."
