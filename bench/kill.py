"""What is lost when one of three servers is killed under load and started again: for bench/door.py."""

import http.client
import itertools
import json
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from bench import doors, envoys
from infra.local.ports import free_ports
from tests.router.door import wait_until

REQUESTS = 6000
CLIENTS = 8
SERVERS = 3
POOL = "t4"
ANSWER_SECONDS = 15.0
SETTLE_SECONDS = 3.0
LONGEST = 120.0


def lost(envoy: Path, folder: Path, sizes: Sequence[int]) -> Mapping[str, int]:
    """Of REQUESTS by each way: to the servers in turns, through a plain Envoy, through the door with so many models."""
    names = doors.models(max(sizes))
    with ExitStack() as stack:
        ports = free_ports(SERVERS)

        def serve(number: int, name: str) -> envoys.Running:
            return stack.enter_context(envoys.backend(envoy, folder, names, name=name, port=ports[number]))

        dying, *_ = [serve(number, f"server-{number}") for number in range(SERVERS)]
        plain = stack.enter_context(envoys.plain(envoy, folder, ports, ports[0], name="plain-kill"))
        ways = {"direct": (ports, sizes[0]), "plain": ([plain.port], sizes[0])}
        for size in sizes:
            text = doors.routes({name: [POOL] for name in names[:size]}, {POOL: ports})
            door = doors.door(envoy, folder / f"kill-{size}", names[:size], text)
            stack.callback(door.close)
            ways[f"door{size}"] = ([door.port], size)
        found = {}
        for way, (doorsteps, size) in ways.items():
            time.sleep(SETTLE_SECONDS)
            load = _Load(doorsteps, names[:size])
            load.reach(REQUESTS // 3)
            dying.kill()
            load.reach(2 * REQUESTS // 3)
            dying = serve(0, f"server-0-after-{way}")
            found[way] = load.lost()
    return found


class _Load:
    """Chats without a pause by CLIENTS clients, REQUESTS in all."""

    def __init__(self, ports: Sequence[int], names: Sequence[str]) -> None:
        self._left = iter(range(REQUESTS))
        self._turns = itertools.cycle(ports)
        self._names = itertools.cycle(names)
        self._lock = threading.Lock()
        self._outcomes: Counter[bool] = Counter()
        self._clients = [threading.Thread(target=self._ask, daemon=True) for _ in range(CLIENTS)]
        for client in self._clients:
            client.start()

    def reach(self, answered: int) -> None:
        """Returns once so many are over."""
        wait_until(lambda: self._outcomes.total() >= answered, LONGEST, f"{answered} are over")

    def lost(self) -> int:
        """Those without an answer, once all are over."""
        self.reach(REQUESTS)
        for client in self._clients:
            client.join(LONGEST)
        return self._outcomes[False]

    def _ask(self) -> None:
        connections: dict[int, http.client.HTTPConnection] = {}
        headers = {"x-api-key": doors.KEYS["everyone"], "content-type": "application/json"}
        while True:
            with self._lock:
                if next(self._left, None) is None:
                    return
                port, name = next(self._turns), next(self._names)
            connection = connections.setdefault(port, _connection(port))
            body = json.dumps({"model": name, "stream": False, "messages": [{"role": "user", "content": "hello"}]})
            answered = _answered(connection, body, headers)
            if not answered:
                connection.close()
            with self._lock:
                self._outcomes[answered] += 1


def _connection(port: int) -> http.client.HTTPConnection:
    return http.client.HTTPConnection("127.0.0.1", port, timeout=ANSWER_SECONDS)


def _answered(connection: http.client.HTTPConnection, body: str, headers: Mapping[str, str]) -> bool:
    try:
        connection.request("POST", "/api/chat", body, dict(headers))
        answer = connection.getresponse()
        answer.read()
    except (OSError, http.client.HTTPException):
        return False
    return answer.status == 200
