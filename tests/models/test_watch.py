"""The script beside a running server: what the list gains or changes arrives there without a restart."""

import hashlib

import pytest

from infra.plan.model import Prepared
from tests.models.pod import Pod, wait_until
from tests.models.registry import Registry

TINY, OTHER = "library/tiny:latest", "library/other:latest"


def pulled(name: str, source: str, digest: str | None = None) -> Prepared:
    return Prepared(name=name, action="pull", source=source, digest=digest)


@pytest.fixture
def tiny(registry: Registry, weights: bytes) -> Prepared:
    return pulled("tiny", registry.source(TINY), registry.publish(TINY, weights))


def test_a_model_added_or_changed_arrives_in_the_running_server(
    pod: Pod, registry: Registry, weights: bytes, tiny: Prepared
) -> None:
    pod.hold(registry)
    digest = registry.publish(OTHER, weights, note="other")
    pod.mount(tiny)
    with pod.running("watch") as watch:
        # it starts together with the server, and before it here
        wait_until(lambda: "waiting for the server at" in watch.output, 10, watch)
        with pod.serving() as server:
            wait_until(lambda: "the list is in place" in watch.output, 20, watch)
            assert server.chat("tiny")["done"]
            registry.forget_requests()

            bot = Prepared(name="bot", action="create", source="FROM other\nPARAMETER num_ctx 128\n")
            pod.mount(tiny, pulled("other", registry.source(OTHER), digest), bot)
            wait_until(lambda: {"other:latest", "bot:latest"} <= server.models(), 20, watch)
            assert server.chat("other")["done"]
            assert server.parameters("bot") == "num_ctx 128"
            # nothing but the new model came: the weights were there, the first model was not asked for
            assert registry.bytes_sent < 2000
            assert not any("tiny" in request for request in registry.requests)

            pod.mount(tiny, Prepared(name="bot", action="create", source="FROM tiny\nPARAMETER num_ctx 384\n"))
            wait_until(lambda: server.parameters("bot") == "num_ctx 384", 10, watch)
            assert server.run.process.poll() is None
            assert watch.process.poll() is None
        watch.process.terminate()
        assert watch.process.wait(3) == 0


def test_a_failure_is_reported_and_tried_again_while_the_others_arrive(
    pod: Pod, registry: Registry, weights: bytes, tiny: Prepared
) -> None:
    registry.publish(OTHER, weights)
    registry.refused[OTHER] = (503, "busy")
    pod.hold(registry)
    pod.mount(pulled("other", registry.source(OTHER)), tiny)
    with pod.serving() as server, pod.running("watch") as watch:
        wait_until(lambda: "tiny:latest" in server.models(), 15, watch)
        assert f"registry not reachable for {registry.source(OTHER)}: pull model manifest: 503: busy" in watch.output
        registry.refused.clear()
        wait_until(lambda: "other:latest" in server.models(), 15, watch)


def test_a_stalled_pull_delays_neither_a_new_list_nor_the_end(
    pod: Pod, registry: Registry, weights: bytes, tiny: Prepared
) -> None:
    pod.hold(registry)
    large = weights + bytes(100_000)
    registry.publish(OTHER, large)
    registry.stalled.add(f"sha256:{hashlib.sha256(large).hexdigest()}")
    pod.mount(pulled("other", registry.source(OTHER)))
    with pod.serving() as server, pod.running("watch") as watch:
        wait_until(lambda: registry.bytes_sent > 0, 15, watch)
        pod.mount(tiny, pulled("other", registry.source(OTHER)))
        wait_until(lambda: "tiny:latest" in server.models(), 20, watch)
        wait_until(lambda: watch.output.count("other:latest: pulling\n") == 2, 5, watch)
        watch.process.terminate()
        # a pull may take twice as long
        assert watch.process.wait(15) == 0
