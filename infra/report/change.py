"""A change in words, for terminal, Markdown and JSON alike, and its form in a terminal.

Every function returns plain text; text that came from the file is passed on as it stands, and escaped by its format.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import StringIO
from typing import Any

from rich.console import Console
from rich.text import Text

from infra.change.model import Action, FleetChange, KeyChange, Missing, ModelChange, PoolChange, ResourceChange
from infra.plan.capacity import GIB
from infra.plan.memory import MIB
from infra.plan.model import Money
from infra.problem import Problem
from infra.report import by_hand, figures, hardware
from infra.report.table import GAP, Column, Table, hang, laid_out
from infra.visible import visible

ABSENT = "-"
LONGEST = 120
"""Characters of a value; a longer one is cut, and says so."""
BYTES = {"disk", "vram", "memory", "maxBody", "volumeSize"}
SECONDS = {"pullDeadline", "drainLimit", "holdFor", "upAfter", "downAfter"}
DOES = {Action.CREATE: "new", Action.UPDATE: "in place", Action.REPLACE: "replaced", Action.DELETE: "removed"}
NOT_CHECKED = (
    "what stands in the cloud (`fleet preview` compares with the state)",
    "hand edits",
    "values of secrets",
)
LAST_INDEX = re.compile(r"(?P<list>.*)\[(?P<number>\d+)\][^\[]*")
SHIFTED = 3
NO_CREDENTIALS = "no credentials used"
WIDTH = 120


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of the table: a key of the file, and what its change does."""

    key: str
    before: str
    after: str
    effect: str = ""


def verdict(change: FleetChange) -> tuple[str, ...]:
    """What counts, the weightiest first: `1 pool replaced`, `+$149 at minimum`, `1 risk`."""
    parts = [counted(len(change.errors), "error")] if change.errors else []
    pools = change.pools
    for word, found in (
        ("replaced", [one for one in pools if one.nodes is Action.REPLACE]),
        ("removed", [one for one in pools if one.removed]),
        ("added", [one for one in pools if one.added]),
        ("moved", [one for one in pools if one.moved]),
    ):
        parts += [f"{counted(len(found), 'pool')} {word}"] if found else []
    for word, models in (
        ("removed", [one for one in change.models if one.after is None]),
        ("added", [one for one in change.models if one.before is None]),
        ("moved", [one for one in change.models if one.moved]),
        ("of another digest", [one for one in change.models if one.digest]),
    ):
        parts += [f"{counted(len(models), 'model')} {word}"] if models else []
    if not parts and change.resources:
        parts.append(f"{counted(len([one for one in change.resources if not one.component]), 'resource')} changed")
    elif not parts and change.keys:
        parts.append(f"{counted(len(change.keys), 'key')} changed, no resource")
    parts += money_verdict(change)
    if change.risks:
        parts.append(counted(len(change.risks), "risk"))
    return tuple(parts) or ("nothing changes",)


def money_verdict(change: FleetChange) -> list[str]:
    """The difference in USD a month at both ends, where there is one: `+$149 at minimum`."""
    before, after = change.monthly(change.before), change.monthly(change.after)
    ends = (("minimum", after.minimum - before.minimum), ("maximum", after.maximum - before.maximum))
    return [f"{signed(value)} at {end}" for end, value in ends if abs(value) >= 0.5]


def signed(value: float) -> str:
    """`+$149` or `-$20`, a month."""
    return f"{'-' if value < 0 else '+'}${abs(value):,.0f}"


def money(change: FleetChange) -> tuple[tuple[str, str, str], ...]:
    """Before, after and their difference a month, at the minimum and the maximum of replicas."""
    sides = (change.monthly(change.before), change.monthly(change.after))

    def line(title: str, of: Money, to: Money) -> Iterator[tuple[str, str, str]]:
        yield f"{title} before", f"${of.minimum:,.0f}", f"${of.maximum:,.0f}"
        yield f"{title} after", f"${to.minimum:,.0f}", f"${to.maximum:,.0f}"
        yield "difference", signed(to.minimum - of.minimum), signed(to.maximum - of.maximum)

    return tuple(line("USD a month", *sides))


def rows(change: FleetChange) -> tuple[Row, ...]:
    """The keys that differ, each with its effect; what one entry's change does is said at its first key."""
    found: list[Row] = []
    said: set[tuple[str, ...]] = set()
    for key in change.keys:
        owner = key.path[:2]
        effect = "" if owner in said else "; ".join(_effects(change, owner))
        said.add(owner)
        found.append(Row(key=dotted(key.path), before=_before(key), after=_after(key), effect=effect))
    for model in () if change.errors else change.models:
        # the lock, or a pool that it shares, changes a model of which the file says what it said
        if ("models", model.name) not in said and (changes := model_effects(change, model)):
            before, after = (_short_digest(one) for one in model.digest or ("", ""))
            found.append(Row(key=dotted(("models", model.name)), before=before, after=after, effect="; ".join(changes)))
    for pool in change.pools:
        effects = pool_effects(change, pool)
        if ("pools", pool.name) not in said and effects and not _only_fetches(pool):
            found.append(Row(key=dotted(("pools", pool.name)), before="", after="", effect="; ".join(effects)))
    return tuple(found)


def dotted(path: Sequence[str]) -> str:
    """A path as the file's keys: `pools.t4.spot`."""
    return ".".join(path)


def _effects(change: FleetChange, owner: tuple[str, ...]) -> Iterator[str]:
    match owner:
        case ("pools", name):
            for pool in change.pools:
                if pool.name == name:
                    yield from pool_effects(change, pool)
        case ("models", name):
            for model in change.models:
                if model.name == name:
                    yield from model_effects(change, model)
        case ("gke", *_):
            yield from _of_cluster(change)
        case ("router" | "aliases" | "sites", *_):
            yield from _of_router(change)


def pool_effects(change: FleetChange, pool: PoolChange) -> list[str]:
    """What happens to a pool, in sentences."""
    found = list(_of_nodes(pool))
    if pool.driver_changes:
        was, now = (hardware.driver(one) for one in _both(change, pool.name))
        found.append(f"driver {was} becomes {now}")
    if pool.restarts and pool.nodes is not Action.REPLACE:
        found.append("its one pod restarts" if pool.down else "pods restart one after the other")
    found += _fallbacks(change, pool)
    if pool.fetches and not pool.removed:
        found.append(f"brings {_listed(pool.fetches)} into place")
    if pool.removed:
        found += by_hand.of_removed(change, pool.name)
    elif pool.added:
        found += by_hand.of_pools(change, [pool.name])
    return [*(found or ["no pod restarts"]), *_schedule(change, pool)]


def _of_nodes(pool: PoolChange) -> Iterator[str]:
    if pool.added:
        yield "new pool" + (": nodes, driver and server are made" if pool.nodes is Action.CREATE else "")
    elif pool.removed:
        yield "removed with its " + ("nodes, driver and server" if pool.nodes else "routes")
    elif pool.nodes is Action.REPLACE:
        yield f"replaced ({', '.join(pool.reasons)}): {pool.name} has no nodes meanwhile"
    elif pool.moved and pool.nodes is Action.DELETE:
        yield "moves to another site: its nodes are removed"
    elif pool.moved:
        yield "moves to GKE: nodes, driver and server are made"
    elif pool.recreated:
        yield "GKE makes its nodes anew, one after the other"
    elif pool.nodes is Action.UPDATE:
        yield "node pool in place"


def _schedule(change: FleetChange, pool: PoolChange) -> Iterator[str]:
    was, now = (
        next((one for one in plan.pools if one.name == pool.name), None) if plan else None
        for plan in (change.before, change.after)
    )
    before = was.scaling.kept if was else ()
    if now is not None and now.scaling.kept != before:
        yield f"its schedule keeps {figures.kept(now)}" + (f" (before: {figures.kept(was)})" if was and before else "")


def _only_fetches(pool: PoolChange) -> bool:
    return not (pool.added or pool.removed or pool.nodes or pool.restarts or pool.driver_changes or pool.down)


def _both(change: FleetChange, name: str) -> Iterator[Any]:
    for plan in (change.before, change.after):
        if plan is not None:
            yield plan.pool(name)


def _fallbacks(change: FleetChange, pool: PoolChange) -> Iterator[str]:
    to: dict[str | None, list[str]] = {}
    for model, other in pool.fallbacks.items():
        to.setdefault(other, []).append(model)
    for other, models in to.items():
        if other is None:
            yield f"{_listed(models)} {'has' if len(models) == 1 else 'have'} no pool meanwhile"
        else:
            asleep = change.after is not None and change.after.pool(other).sleeps
            fall = "falls" if len(models) == 1 else "fall"
            yield f"{_listed(models)} {fall} back to {other}{' (asleep until asked)' * asleep}"


def model_effects(change: FleetChange, model: ModelChange) -> list[str]:
    """What happens to a model, in sentences."""
    if model.after is None:
        return ["clients that ask for it get 404"]
    if model.before is None:
        return ["served once it is in place, no pod restarts", *by_hand.of_pools(change, model.after)]
    found = []
    if model.moved:
        found.append(f"route {' > '.join(model.before)} becomes {' > '.join(model.after)}")
    if model.digest:
        was, now = map(_short_digest, model.digest)
        found.append(f"digest {was} becomes {now}: fetched anew where it differs")
    if model.context:
        found.append(f"context {model.context[0]} becomes {model.context[1]}")
    if model.defined_anew and not model.digest:
        found.append("created anew from its definition")
    return found


def _short_digest(digest: str | None) -> str:
    return "unpinned" if digest is None else digest[:12]


def _of_cluster(change: FleetChange) -> Iterator[str]:
    for one in change.resources or ():
        if one.type == "gcp:container/cluster:Cluster":
            yield f"cluster {DOES[one.action]}{_because(one)}"


def _of_router(change: FleetChange) -> Iterator[str]:
    of = [one for one in change.resources or () if one.name.startswith("fleet-router-") and not one.component]
    if any(one.type.endswith(":Deployment") for one in of):
        yield "the router's pods restart, none is missing meanwhile"
    elif of:
        yield "the router follows without a restart"


def _because(one: ResourceChange) -> str:
    return f" ({', '.join(one.reasons)})" if one.reasons else ""


def resource_line(one: ResourceChange) -> tuple[str, str, str, str]:
    """Kind, name, what happens, and why or what differs."""
    kind = one.type.rpartition(":")[2]
    detail = ", ".join(one.reasons) if one.reasons else ", ".join(paths([item.path for item in one.properties]))
    note = "; its nodes are made anew" if one.recreates_nodes else "; deleted before it is made" * one.deletes_first
    return kind, one.name, DOES[one.action], f"{detail}{note}"


def paths(differing: Sequence[str]) -> tuple[str, ...]:
    """The paths, those of one list as its range where several of its entries differ: one that comes shifts the rest."""
    entries = [(path, LAST_INDEX.fullmatch(path)) for path in differing]
    numbers: dict[str, set[int]] = {}
    for _, found in entries:
        if found:
            numbers.setdefault(found["list"], set()).add(int(found["number"]))
    said = []
    for path, found in entries:
        shifted = numbers[found["list"]] if found else set()
        ends = f"{min(shifted)}..{max(shifted)}" if len(shifted) >= SHIFTED else ""
        said.append(f"{found['list']}[{ends}]" if found and ends else path)
    return tuple(dict.fromkeys(said))


def resources(change: FleetChange) -> tuple[ResourceChange, ...]:
    """The changed resources, what is taken away first; components left out."""
    rank = list(DOES)
    order = sorted(change.resources or (), key=lambda one: -rank.index(one.action))
    return tuple(one for one in order if not one.component)


def not_checked(change: FleetChange) -> str:
    """What nobody looked at."""
    of_plan = change.after.not_checked if change.after else ()
    code = () if change.code_compared else ("changes of the program's own code (`--code` compares them)",)
    return ", ".join((*of_plan, *NOT_CHECKED, *code))


def value(item: Any, key: str = "") -> str:
    """A value of the file as its reader writes it, on one line and of bounded length."""
    if item is Missing.MISSING or item is None or item == []:
        return ABSENT
    if isinstance(item, dict):
        if set(item) == {"min", "max"}:
            return figures.span(str(item["min"]), str(item["max"]))
        if set(item) == {"targets"}:
            return value(item["targets"])
        parts = [f"{name}: {value(inner, name)}" for name, inner in item.items() if value(inner, name) != ABSENT]
        return _cut(", ".join(parts)) or "{}"
    if isinstance(item, list):
        return _cut((" > " if key == "pools" else ", ").join(value(inner) for inner in item))
    if isinstance(item, bool):
        return str(item).lower()
    if isinstance(item, float):
        return f"{item:g}"
    if isinstance(item, int) and key in BYTES:
        return f"{figures.gib(item)} GiB" if item >= GIB else f"{item / MIB:,.4g} MiB"
    if isinstance(item, int) and key in SECONDS:
        return f"{item} s"
    return _cut(" ".join(str(item).split()))


def _before(key: KeyChange) -> str:
    return value(_brief(key.path, key.before), key.path[-1] if key.path else "")


def _after(key: KeyChange) -> str:
    return value(_brief(key.path, key.after), key.path[-1] if key.path else "")


def _brief(path: tuple[str, ...], item: Any) -> Any:
    """Of an entry that came or went, what tells it apart: the rest is its defaults."""
    if len(path) == 2 and isinstance(item, dict):
        if path[0] == "models":
            return item.get("pools") or item
        if path[0] == "pools":
            return {name: item[name] for name in ("gpu", "replicas", "spot", "site") if item.get(name)}
        if path[0] == "sites":
            return {name: inner for name, inner in item.items() if name in ("url", "endpoints")}
    return item


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 4]} ..."


def _listed(names: Sequence[str]) -> str:
    shown = [*names[:6], f"{len(names) - 6} more"] if len(names) > 7 else list(names)
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"


def counted(number: int, noun: str) -> str:
    """`1 pool`, `2 pools`."""
    return f"{number} {noun}{'s' * (number != 1)}"


# in a terminal


def render(change: FleetChange, *, width: int = WIDTH) -> str:
    """The change as text of `width` columns, without any escape sequence, whatever the file says."""
    out = StringIO()
    console = Console(file=out, width=width, color_system=None, legacy_windows=False, _environ={})
    for line in _lines(change, width):
        line.rstrip()
        console.print(line, soft_wrap=True, highlight=False)
    return out.getvalue()


def _lines(change: FleetChange, width: int) -> Iterator[Text]:
    yield Text(visible(f"diff · {change.stack}   {change.base} -> {change.head}"))
    yield Text(visible(" · ".join(verdict(change))))
    titles = ("KEY", "BEFORE", "AFTER", "EFFECT")
    blocks = [
        _table(titles, [(row.key, row.before, row.after, row.effect) for row in rows(change)], width),
        _table(("MONEY", "MINIMUM", "MAXIMUM"), money(change) if _has_money(change) else [], width),
        _table(("RESOURCE", "NAME", "", "WHY OR WHAT"), [resource_line(one) for one in resources(change)], width),
    ]
    for block in blocks:
        lines = list(block)
        if lines:
            yield Text()
            yield from lines
    for word, problems in (("risk", change.risks), ("warning", change.new_warnings), ("error", change.errors)):
        if problems:
            yield Text()
        for problem in problems:
            yield from _problem(word, problem, width)
    yield Text()
    for note in change.notes:
        yield from hang(Text("note         "), Text(visible(note)), width)
    yield from hang(Text("not checked  "), Text(visible(not_checked(change))), width)
    yield Text(NO_CREDENTIALS)


def _has_money(change: FleetChange) -> bool:
    return any(plan is not None and plan.cost is not None for plan in (change.before, change.after))


def _table(titles: Sequence[str], cells: Sequence[Sequence[str]], width: int) -> Iterator[Text]:
    columns = tuple(Column(title=title, flexible=True) for title in titles)
    return laid_out(Table(columns=columns, rows=[tuple(Text(visible(cell)) for cell in row) for row in cells]), width)


def _problem(word: str, problem: Problem, width: int) -> Iterator[Text]:
    head = Text(f"{word:<7}{GAP}")
    yield from hang(head, Text(f"{visible(problem.place)}{GAP}{visible(problem.message)}"), width)
    if problem.remedy:
        yield from hang(Text(" " * head.cell_len + "-> "), Text(visible(problem.remedy)), width)
