"""A router that is stopped answers whom it has begun to answer, and loses nobody who comes meanwhile."""

import http.client
import json
import socket
import threading
from collections.abc import Callable

from router.poll import DONE_WITHIN
from tests.router.conftest import OpenDoor
from tests.router.door import ANSWER_SECONDS, ask, wait_until
from tests.router.fake_ollama import FakeOllama
from tests.router.test_poll import talking

StartOllama = Callable[..., FakeOllama]


def test_streams_that_are_open_when_the_kubelet_stops_a_router_all_finish(
    open_door: OpenDoor, ollama: StartOllama
) -> None:
    pool = ollama("t4")
    pool.gate, pool.free = threading.Semaphore(0), 1
    door = open_door(f'[routes]\nm = ["t4"]\n[pools]\nt4 = "{pool.address}"\n')
    streams = [http.client.HTTPConnection("127.0.0.1", door.port, timeout=ANSWER_SECONDS) for _ in range(10)]
    try:
        answers = []
        for stream in streams:
            stream.request("POST", "/api/chat", json.dumps({"model": "m", "stream": True, "chunks": 5}))
            answers.append(stream.getresponse())
        assert {json.loads(answer.readline())["number"] for answer in answers} == {0}
        stopping = threading.Thread(target=door.stop_as_the_kubelet_does)
        stopping.start()
        wait_until(lambda: door.metric("ollama_fleet_draining") == 1)
        # the balancer hears that it leaves, while whoever still comes is answered
        wait_until(lambda: ask(door.metrics_port, "GET", "/readyz").status == 503)
        wait_until(lambda: door.ask("GET", "/healthz").status == 503)
        late = door.ask("GET", "/api/tags")
        assert (late.status, late.headers["connection"]) == (200, "close")
        wait_until(lambda: not listens(door.port), what="it takes no connection any more")
        assert stopping.is_alive()
        assert door.envoy.poll() is None
        pool.gate.release(100)
        rest = [[json.loads(line)["number"] for line in answer.read().splitlines()] for answer in answers]
        assert rest == [[1, 2, 3, 4]] * 10
        stopping.join(ANSWER_SECONDS)
        assert door.envoy.poll() is not None
        assert '"cut_off": 0' in door.log()
    finally:
        for stream in streams:
            stream.close()


def test_a_stream_that_does_not_end_is_waited_for_no_longer_than_the_limit(
    open_door: OpenDoor, ollama: StartOllama
) -> None:
    pool = ollama("t4")
    pool.gate = threading.Semaphore(1)
    door = open_door(f'[routes]\nm = ["t4"]\n[pools]\nt4 = "{pool.address}"\n', drain_limit=0)
    connection = http.client.HTTPConnection("127.0.0.1", door.port, timeout=ANSWER_SECONDS)
    try:
        connection.request("POST", "/api/chat", json.dumps({"model": "m", "stream": True, "chunks": 5}))
        connection.getresponse().readline()
        door.stop_as_the_kubelet_does()
        assert '"cut_off": 1' in door.log()
    finally:
        connection.close()


def test_no_client_can_stop_a_router_with_a_request_inside_the_body_of_another(
    open_door: OpenDoor, ollama: StartOllama
) -> None:
    pool = ollama("t4")
    door = open_door(f'[routes]\nm = ["t4"]\n[pools]\nt4 = "{pool.address}"\n')
    inner = b"POST /drain HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n"
    for body in (inner, inner + b"x" * 200_000):
        for headers in ({}, {"transfer-encoding": "chunked"}):
            sent = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body) if headers else body
            door.ask("GET", "/api/tags", sent, headers)
    assert door.ask("GET", "/api/tags", b"{}").status == 200
    assert ask(door.metrics_port, "GET", "/readyz").status == 200
    assert "draining" not in door.log()


def test_a_router_ends_though_a_replica_has_not_ended_its_answer(open_door: OpenDoor) -> None:
    over = threading.Event()

    def talk(connection: socket.socket) -> None:
        connection.recv(65536)
        while not over.wait(0.05):
            connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")

    with talking(talk) as port:
        door = open_door(f'[routes]\nm = ["t4"]\n[pools]\nt4 = "127.0.0.1:{port}"\n')
        try:
            door.control.terminate()
            assert door.control.wait(DONE_WITHIN / 2) == 0
        finally:
            over.set()


def listens(port: int) -> bool:
    try:
        ask(port, "GET", "/")
    except OSError:
        return False
    return True
