"""What a door says of its fleet, in a terminal: the answer of /fleet/status.json as tables, and what is wrong below."""

from collections.abc import Iterator, Mapping
from io import StringIO
from typing import Any

from rich.console import Console
from rich.text import Text

from infra.report.table import GAP, Column, Table, cells, hang, laid_out
from infra.visible import visible

COLOURS = {"ready": "green", "partial": "yellow", "waking": "yellow", "empty": "", "down": "bold red"}
BAD, WARN = "bold red", "yellow"
SECONDS_TOLD = 90
"""Up to here a time is told in seconds."""

Entry = Mapping[str, Any]


def render(status: Entry, *, url: str, width: int, color: bool = False) -> str:
    """The text, of `width` columns. Raises KeyError, TypeError or ValueError for what is no such answer."""
    out = StringIO()
    console = Console(
        file=out,
        width=width,
        force_terminal=color,
        color_system="standard" if color else None,
        legacy_windows=False,
        _environ={},
    )
    for line in _lines(status, url, width):
        line.rstrip()
        console.print(line, soft_wrap=True, highlight=False)
    return out.getvalue()


def unready(status: Entry) -> bool:
    """Whether anything stands that an owner has to look at: a pool that is down, or a map that is refused."""
    told = status["map"]
    return bool(told["faults"] or told["door_faults"] or told["trouble"]) or any(
        pool["state"] == "down" for pool in status["pools"]
    )


def _lines(status: Entry, url: str, width: int) -> Iterator[Text]:
    yield Text(f"fleet · {visible(url)}", style="bold")
    for table in (_pools(status), _models(status)):
        lines = list(laid_out(table, width))
        if lines:
            yield Text()
            yield from lines
    notes = [line for kind, place, message in _notes(status) for line in _note(kind, place, message, width)]
    if notes:
        yield Text()
        yield from notes
    ready = sum(pool["state"] == "ready" for pool in status["pools"])
    yield Text()
    yield Text(
        f"{ready} of {len(status['pools'])} pools ready, figures of one router since its Envoy started",
        style=BAD if unready(status) else "green",
    )


def _pools(status: Entry) -> Table:
    columns = (
        Column(title="POOL", flexible=True),
        Column(title="STATE"),
        Column(title="IN FLIGHT", right=True),
        Column(title="REQUESTS", right=True),
        Column(title="ERRORS", right=True),
        Column(title="REPLICAS AND WHAT IS LOADED", flexible=True),
    )
    rows = []
    for pool in status["pools"]:
        state = "waking" if pool.get("waking") else str(pool["state"])
        flight = "?" if pool["in_flight"] is None else str(pool["in_flight"])
        rows.append(
            (
                *cells(pool["name"]),
                Text(visible(state), style=COLOURS.get(state, "")),
                *cells(flight, pool["requests"], pool["errors"]),
                *cells("; ".join(_replica(one) for one in pool["replicas"])),
            )
        )
    return Table(columns=columns, rows=rows)


def _replica(replica: Entry) -> str:
    loaded = ", ".join(str(entry["name"]) for entry in replica["loaded"])
    return f"{replica['address']} {replica['version']}: {loaded or 'nothing'}"


def _models(status: Entry) -> Table:
    columns = (
        Column(title="MODEL", flexible=True),
        Column(title="ROUTE", flexible=True),
        Column(title="REQUESTS", right=True),
        Column(title="ERRORS", right=True),
        Column(title="REMARK", flexible=True),
    )
    rows = [
        cells(
            model["name"],
            (", " if model["split"] else " > ").join(model["route"]),
            model["requests"],
            model["errors"],
            "; ".join(_remarks(model)),
        )
        for model in status["models"]
    ]
    return Table(columns=columns, rows=rows)


def _remarks(model: Entry) -> Iterator[str]:
    if model["alias_of"]:
        yield f"stands for {model['alias_of']}"
    if model["split"]:
        whole = sum(model["split"].values())
        yield "splits " + ", ".join(f"{100 * part / whole:.0f} % {name}" for name, part in model["split"].items())
    if model["overridden"]:
        yield "edited by hand"
    if model["now"] != model["route"]:
        yield f"served now by {', '.join(model['now'])}"


def _notes(status: Entry) -> Iterator[tuple[str, str, str]]:
    """Kind, place and what is said, the worst last."""
    for model in status["models"]:
        for digest, replicas in model["digests"].items():
            yield WARN, str(model["name"]), f"{digest[:12]} on {', '.join(replicas)}: replicas differ"
    if status["map"]["overridden"]:
        names = ", ".join(status["map"]["overridden"])
        yield WARN, "ollama-routes-override", f"hand edits decide {names}; the plan did not check their memory"
    if status["draining"]:
        yield WARN, "router", "this one is leaving"
    for pool in status["pools"]:
        if cause := _cause(pool):
            yield BAD if pool["state"] == "down" and not pool.get("waking") else WARN, str(pool["name"]), cause
    if status["map"]["trouble"]:
        yield BAD, "envoy", str(status["map"]["trouble"])
    for fault in status["map"]["faults"]:
        yield BAD, "map", f"{fault} (refused; the last good one serves on)"
    for fault in status["map"]["door_faults"]:
        yield BAD, "door", f"{fault} (refused; the last good ones serve on)"


def _cause(pool: Entry) -> str:
    """Why a pool is not ready, in a line."""
    waking = pool.get("waking")
    if not waking:
        return str(pool["cause"])
    left = waking["seconds_left"]
    about = "" if left is None else f", about {left:.0f} s" if left < SECONDS_TOLD else f", about {left / 60:.0f} min"
    return f"waking{about}, {waking['waiting']} waiting"


def _note(style: str, place: str, message: str, width: int) -> Iterator[Text]:
    head = Text.assemble((visible(place), style), GAP)
    yield from hang(head, Text(visible(message)), width)
