"""The plan as Markdown, for a pull request or a job summary: verdict and money first, then what to mend, then tables.

Text of the file can neither leave its cell nor become markup, an image, a mention or a reference to an issue.
"""

import re
from collections.abc import Iterator, Sequence

from infra.plan.model import FleetPlan
from infra.problem import Severity
from infra.report import figures, hardware, remarks
from infra.visible import visible

SPECIAL = re.compile(r"[&<>|`*_\[\]\\~#@$!]")
NOTIFYING = re.compile(r"(?<![A-Za-z0-9_])(@)(?=[A-Za-z0-9])|(#)(?=\d)")
"""What GitHub turns into a mention or a reference, also where it was written as an entity."""
NOTHING = "\u200b"
TO = " to "


def render(plan: FleetPlan) -> str:
    """The plan as GitHub-flavoured Markdown; ends with a newline."""
    blocks = [
        f"## Plan of {code(plan.stack)}",
        _verdict(plan),
        _problems(plan, Severity.ERROR),
        _table(("Pool", "Hardware", "Replicas", "GPU memory per replica", "USD a month"), list(_pools(plan)), "---:"),
        _table(("Model", "Route", "Context", "On the device", "`ollama ps` SIZE", "Remark"), list(_models(plan))),
        _table(("Runtime", "Image", "Driver", "Node disk"), list(_software(plan))),
        _problems(plan, Severity.WARNING),
        _scope(plan),
    ]
    return "\n\n".join(block for block in blocks if block) + "\n"


def escape(text: str) -> str:
    """`text` as plain text of a paragraph or a table cell. Entities, since no syntax of Markdown begins with one."""
    apart = NOTIFYING.sub(lambda found: found[0] + NOTHING, visible(text))
    return SPECIAL.sub(lambda found: f"&#{ord(found[0])};", apart)


def code(text: str) -> str:
    """`text` as code, where GitHub looks for no mention; as HTML, since a backtick or pipe would end a code span."""
    return f"<code>{SPECIAL.sub(lambda found: f'&#{ord(found[0])};', visible(text))}</code>"


def _verdict(plan: FleetPlan) -> str:
    parts = [f"**{figures.verdict(plan)}**"]
    if plan.cost is not None:
        parts.append(f"**USD {figures.monthly(plan, plan.cost.total, TO)} a month**")
        parts.append(f"USD {figures.per_hour(plan.cost.total, TO)} an hour")
        parts.append(escape(figures.prices(plan)))
    return " · ".join(parts)


def _table(titles: Sequence[str], rows: Sequence[Sequence[str]], last: str = "---") -> str:
    if not rows:
        return ""
    rule = ["---"] * (len(titles) - 1) + [last]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (titles, rule, *rows))


def _pools(plan: FleetPlan) -> Iterator[Sequence[str]]:
    for pool in plan.pools:
        figure, percent = hardware.memory(pool)
        memory = ", ".join(part for part in (" ".join(figure.split()), percent, hardware.strain(pool)) if part)
        words = (hardware.hardware(plan, pool), hardware.replicas(pool), memory, hardware.price(plan, pool, TO))
        yield code(pool.name), *map(escape, words)
    if plan.cost is None:
        return
    if items := figures.base(plan, TO):
        yield "base", escape(items), "", "", figures.monthly(plan, plan.cost.base, TO)
    yield "**total**", "", "", "", f"**{figures.monthly(plan, plan.cost.total, TO)}**"


def _models(plan: FleetPlan) -> Iterator[Sequence[str]]:
    for model in plan.models:
        route = ", then ".join(map(code, model.route))
        words = (remarks.needs(model), remarks.size(plan, model), "; ".join(remarks.remarks(plan, model)))
        yield code(model.name), route, str(model.context), *map(escape, words)
    for alias in plan.aliases:
        yield code(alias.name), "", "", "", "", escape(remarks.alias(alias.targets))


def _software(plan: FleetPlan) -> Iterator[Sequence[str]]:
    for group in hardware.software(plan):
        yield " ".join(map(code, group.pools)), escape(group.image), escape(group.driver), escape(group.disk)


def _problems(plan: FleetPlan, severity: Severity) -> str:
    found = figures.of(plan, severity)
    if not found:
        return ""
    lines = [f"### {severity.capitalize()}s", ""]
    for problem in found:
        lines.append(f"* {code(problem.place)}: {escape(problem.message)}")
        if problem.remedy:
            lines[-1] += f"<br>&rarr; {escape(problem.remedy)}"
    return "\n".join(lines)


def _scope(plan: FleetPlan) -> str:
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
    lines = [f"**{title}**: {escape(text)}" for title, text in facts if text]
    return "<br>\n".join(lines)
