"""The figure that pools are scaled by: it is the truth, and KEDA finds it where the program says."""

import http.client
import json
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest

from infra.commands import common, manifests, recorded
from infra.stack import read
from router.admin import Admin
from router.metrics import in_flight
from tests.program.programs import ROOT
from tests.router.conftest import OpenDoor
from tests.router.door import ANSWER_SECONDS, Door, ask, wait_until
from tests.router.fake_ollama import FakeOllama

StartOllama = Callable[..., FakeOllama]


@pytest.fixture(scope="module")
def trigger() -> dict[str, str]:
    """What KEDA is told about the pool t4 of the dev stack."""
    stack = read(ROOT, "dev")
    objects = manifests.objects(recorded.of_stack(stack))
    (scaled,) = (one for one in objects if one["kind"] == "ScaledObject" and one["metadata"]["name"] == "ollama-t4")
    (metrics,) = scaled["spec"]["triggers"]
    assert (metrics["type"], common.plan_of(stack).router.metrics_port) == ("metrics-api", 9902)
    found: dict[str, str] = metrics["metadata"]
    return found


def as_keda_does(trigger: dict[str, str], routers: Sequence[Door]) -> float:
    """The figure of `metrics_api_scaler.go` (KEDA 2.20.2, read 2026-11-21): the Service's name and namespace from the
    host, each of its addresses asked at the URL's path alone, failing ones left out, the first series of these labels.
    """
    url = urlsplit(trigger["url"])
    assert url.hostname
    assert url.hostname.split(".")[:2] == ["ollama-router-metrics", "ollama"]
    assert (url.scheme, url.port, trigger["format"]) == ("http", 9902, "prometheus")
    assert (trigger["aggregateFromKubeServiceEndpoints"], trigger["aggregationType"]) == ("true", "sum")
    selector = re.fullmatch(r'(\w+)\{(\w+)="([^"]*)"\}', trigger["valueLocation"])
    assert selector
    name, label, value = selector.groups()
    total = 0.0
    for router in routers:
        try:
            answer = ask(router.metrics_port, "GET", url.path)
        except OSError:
            continue
        if answer.status == http.client.OK:
            total += series(answer.body.decode(), name, {label: value})
    return total


def series(text: str, name: str, labels: dict[str, str]) -> float:
    for line in text.splitlines():
        found = re.fullmatch(r"(\w+)\{([^}]*)\} (\S+)", line)
        if found and found[1] == name and labels.items() <= dict(re.findall(r'(\w+)="([^"]*)"', found[2])).items():
            return float(found[3])
    raise AssertionError(f"{name}{labels} is not in\n{text}")


@contextmanager
def streams(door: Door, count: int, **more: Any) -> Iterator[list[http.client.HTTPConnection]]:
    """Requests whose answers are held back by the pool's gate; all are closed at the end."""
    connections = [http.client.HTTPConnection("127.0.0.1", door.port, timeout=ANSWER_SECONDS) for _ in range(count)]
    try:
        for one in connections:
            one.request("POST", "/api/chat", json.dumps({"model": "m", "stream": True, "chunks": 2, **more}))
        yield connections
    finally:
        for one in connections:
            one.close()


def gated(fake: FakeOllama, free: int = 0) -> FakeOllama:
    fake.gate, fake.free = threading.Semaphore(0), free
    return fake


def one_pool(fake: FakeOllama) -> str:
    return f'[routes]\nm = ["t4"]\n[pools]\nt4 = "{fake.address}"\n'


def test_keda_reads_the_sum_of_all_routers_one_that_leaves_included(
    open_door: OpenDoor, ollama: StartOllama, trigger: dict[str, str]
) -> None:
    pool = gated(ollama("t4"), free=1)
    first, second = (open_door(one_pool(pool), drain_limit=60) for _ in range(2))
    assert as_keda_does(trigger, [first, second]) == 0
    with streams(first, 5), streams(second, 1) as (open_one,):
        wait_until(lambda: as_keda_does(trigger, [first, second]) == 6)
        open_one.getresponse().readline()
        stopping = threading.Thread(target=second.stop_as_the_kubelet_does)
        stopping.start()
        wait_until(lambda: ask(second.metrics_port, "GET", "/readyz").status == 503)
        assert as_keda_does(trigger, [first, second]) == 6
        assert pool.gate
        pool.gate.release(100)
        stopping.join(ANSWER_SECONDS)
        assert not stopping.is_alive()
    wait_until(lambda: as_keda_does(trigger, [first, second]) == 0)


def test_the_figure_is_the_truth_with_aborts_retries_and_fallbacks(open_door: OpenDoor, ollama: StartOllama) -> None:
    refusing, taking = ollama("t4"), gated(ollama("a100"))
    door = open_door(
        f'[routes]\nm = ["t4", "a100"]\nn = ["t4"]\n[pools]\nt4 = "{refusing.address}"\na100 = "{taking.address}"\n'
    )

    def figures() -> tuple[float, float]:
        text = ask(door.metrics_port, "GET", "/metrics/pools").body.decode()
        name = "ollama_fleet_pool_requests_in_flight"
        return series(text, name, {"pool": "t4"}), series(text, name, {"pool": "a100"})

    refusing.status = 503
    with streams(door, 30) as open_ones:
        # each was refused by the first pool and is under way at the second
        wait_until(lambda: figures() == (0, 30) and len(taking.asked) == 30)
        for one in open_ones[:10]:
            one.close()
        wait_until(lambda: figures() == (0, 20))
        gated(refusing)
        refusing.status = 200
        with streams(door, 7, model="n"):
            wait_until(lambda: figures() == (7, 20))
        wait_until(lambda: figures() == (0, 20))
        assert taking.gate
        taking.gate.release(100)
        for one in open_ones[10:]:
            assert one.getresponse().read().count(b"\n") == 2
    wait_until(lambda: figures() == (0, 0))


def test_the_probe_of_a_pool_that_spills_is_no_request_under_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """It goes the way of the pool's requests, through Envoy's own listener, and a look at the figures may meet it."""

    def looked(*looks: tuple[int, int]) -> float:
        found = [
            {"cluster.t4.upstream_rq_active": probed, "cluster.t4~room.upstream_rq_active": served}
            for probed, served in looks
        ]
        monkeypatch.setattr(Admin, "numbers", lambda *_: found.pop(0))
        text = in_flight(["t4"], set(), Admin(port=1)).text
        return series(text, "ollama_fleet_pool_requests_in_flight", {"pool": "t4"})

    assert looked((0, 0)) == 0
    assert looked((1, 0), (0, 0)) == 0
    assert looked((0, 2), (1, 2)) == 2
    assert looked((1, 2), (1, 2)) == 3
