"""What operators and the autoscaler see of the requests."""

import http.client
import json
import re
import threading
from collections.abc import Callable
from typing import Any

from infra.local.ports import free_ports
from simulator import Behaviour, Model, Server
from tests.router.conftest import OpenDoor
from tests.router.door import ANSWER_SECONDS, Door, ask, stop, wait_until
from tests.router.fake_ollama import FakeOllama
from tests.simulated import running

StartOllama = Callable[..., FakeOllama]


def lines(door: Door) -> list[dict[str, Any]]:
    """The access log."""
    read = [json.loads(line) for line in door.log().splitlines() if line.startswith("{")]
    return [line for line in read if "path" in line]


def figures(door: Door, path: str = "/metrics") -> dict[str, float]:
    text = ask(door.metrics_port, "GET", path).body.decode()
    found = (line.rpartition(" ") for line in text.splitlines() if line and not line.startswith("#"))
    return {name: float(value) for name, _, value in found}


def test_each_request_is_one_line_without_its_prompt_and_its_key(open_door: OpenDoor, ollama: StartOllama) -> None:
    first, second = ollama("t4"), ollama("a100")
    first.status = 503
    door = open_door(f'[routes]\nm = ["t4", "a100"]\n[pools]\nt4 = "{first.address}"\na100 = "{second.address}"\n')
    key = {"authorization": "Bearer s3cret-key", "x-api-key": "s3cret-key"}
    body = {"model": "library/M", "messages": [{"role": "user", "content": "s3cret-prompt"}]}
    assert door.ask("POST", "/api/chat?key=s3cret-key", body, key).pool == "a100"
    assert door.ask("POST", "/api/chat", {"model": "none"}).status == 404
    wait_until(lambda: len(lines(door)) == 2)
    served, unknown = lines(door)
    assert {name: served[name] for name in ("method", "path", "status", "model", "pool", "attempts", "replica")} == {
        "method": "POST",
        "path": "/api/chat",
        "status": 200,
        "model": "m:latest",
        "pool": "a100",
        "attempts": 2,
        "replica": second.address,
    }
    assert served["bytes_in"] == len(json.dumps(body))
    assert served["bytes_out"] == len(json.dumps({"from": "a100"}))
    assert 0 <= served["first_byte_ms"] <= served["duration_ms"] < ANSWER_SECONDS * 1000
    assert (unknown["status"], unknown["pool"]) == (404, None)
    assert "s3cret" not in door.log()


def test_figures_are_told_by_model_and_pool_and_a_made_up_name_is_none(
    open_door: OpenDoor, ollama: StartOllama
) -> None:
    pool = ollama("t4")
    door = open_door(f'[routes]\nm = ["t4"]\n[pools]\nt4 = "{pool.address}"\n')
    for name in ("m", "M:latest", "library/m"):
        assert door.chat(name).status == 200
    assert door.chat("made-up-by-a-client").status == 404
    labels = 'model="m:latest",pool="t4",key=""'
    for histogram in ("duration_ms", "first_byte_ms"):  # which Envoy adds up every five seconds
        wait_until(lambda name=histogram: figures(door).get(f"envoy_fleet_{name}_count{{{labels}}}") == 3)  # type: ignore[misc]
    found = figures(door)
    assert found[f'envoy_fleet_requests{{{labels},status="200"}}'] == 3
    assert found[f"envoy_fleet_attempts{{{labels}}}"] == 3
    assert found[f"envoy_fleet_bytes_out{{{labels}}}"] == 3 * len(json.dumps({"from": "t4"}))
    assert found['envoy_cluster_membership_healthy{envoy_cluster_name="t4"}'] == 1
    assert not [name for name in found if "made-up" in name]


def test_what_is_under_way_is_told_by_pool_while_the_router_leaves_too(
    open_door: OpenDoor, ollama: StartOllama
) -> None:
    busy, idle = ollama("t4"), ollama("a100")
    busy.gate, busy.free = threading.Semaphore(0), 1
    door = open_door(f'[routes]\nm = ["t4", "a100"]\n[pools]\nt4 = "{busy.address}"\na100 = "{idle.address}"\n')
    streams = [http.client.HTTPConnection("127.0.0.1", door.port, timeout=ANSWER_SECONDS) for _ in range(3)]
    name = "ollama_fleet_pool_requests_in_flight"
    stopping = threading.Thread(target=door.stop_as_the_kubelet_does)
    try:
        for stream in streams:
            stream.request("POST", "/api/chat", json.dumps({"model": "m", "stream": True, "chunks": 2}))
            stream.getresponse().readline()
        expected = {f'{name}{{pool="t4"}}': 3.0, f'{name}{{pool="a100"}}': 0.0}
        assert figures(door, "/metrics/pools") == expected
        stopping.start()
        wait_until(lambda: ask(door.metrics_port, "GET", "/readyz").status == 503)
        assert figures(door, "/metrics/pools") == expected
    finally:
        busy.gate.release(100)
        for stream in streams:
            stream.close()
        stopping.join(ANSWER_SECONDS)


def test_replicas_and_what_they_have_loaded_are_told_by_pool(open_door: OpenDoor) -> None:
    whole = Model(name="m", memory=10, gpu_memory=10)
    split = Model(name="n", memory=10, gpu_memory=4)
    with running(Server("t4", [whole, split], Behaviour())) as port:
        door = open_door(
            f'[routes]\nm = ["t4", "a100"]\nn = ["t4"]\n[pools]\nt4 = "127.0.0.1:{port}"\n'
            f'a100 = "127.0.0.1:{free_ports(1)[0]}"\n'
        )
        for name in ("m", "n"):
            assert door.chat(name).status == 200

        def found(name: str) -> tuple[float | None, ...]:
            all_of_them = figures(door)
            return tuple(all_of_them.get(f'ollama_fleet_pool_{name}{{pool="{pool}"}}') for pool in ("t4", "a100"))

        wait_until(lambda: found("models_loaded") == (2, 0))
        assert found("models_off_gpu") == (1, 0)
        assert found("replicas") == (1, 0)
        assert found("requests_in_flight") == (0, 0)


def test_without_envoy_nothing_is_said_to_be_under_way(open_door: OpenDoor) -> None:
    door = open_door(f'[routes]\nm = ["t4"]\n[pools]\nt4 = "127.0.0.1:{free_ports(1)[0]}"\n')
    stop(door.envoy)
    answer = ask(door.metrics_port, "GET", "/metrics/pools")
    assert answer.status == 503
    assert not re.search(rb"^[^#]", answer.body, re.MULTILINE)
    assert door.metric("ollama_fleet_map_in_force") == 1


def test_nobody_outside_the_pod_reaches_administration_or_the_drain(open_door: OpenDoor) -> None:
    door = open_door(f'[routes]\nm = ["t4"]\n[pools]\nt4 = "127.0.0.1:{free_ports(1)[0]}"\n')
    for port in (door.port, door.metrics_port):
        for path in ("/drain", "/config_dump", "/stats", "/quitquitquit"):
            assert {ask(port, method, path).status for method in ("GET", "POST")} == {404}
