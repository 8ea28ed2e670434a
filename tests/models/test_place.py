"""What changes or goes in a running server costs no request: neither for it nor for the models beside it."""

import threading
import urllib.error
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from infra.plan.model import Prepared
from tests.models.pod import Pod, Server, wait_until
from tests.models.registry import Registry

TINY = "library/tiny:latest"
ALIASES = 60


def pulled(registry: Registry, weights: bytes, note: str = "") -> Prepared:
    return Prepared(
        name="tiny", action="pull", source=registry.source(TINY), digest=registry.publish(TINY, weights, note=note)
    )


def aliases(count: int) -> list[Prepared]:
    return [Prepared(name=f"alias-{number}", action="copy", source="tiny") for number in range(count)]


@contextmanager
def asked(server: Server, *names: str) -> Iterator[list[str]]:
    """Four clients ask for each of these models all the time; what they lost."""
    lost: list[str] = []
    answered = 0
    end = threading.Event()

    def ask() -> None:
        nonlocal answered
        while not end.is_set():
            for name in names:
                try:
                    server.parameters(name)
                    answered += 1
                except OSError as failure:
                    lost.append(f"{name}: {failure}")

    clients = [threading.Thread(target=ask) for _ in range(4)]
    for client in clients:
        client.start()
    try:
        yield lost
    finally:
        end.set()
        for client in clients:
            client.join()
    assert answered > 0


def has(server: Server, parameter: str) -> bool:
    return parameter in server.parameters("gpt-4")


def test_no_request_is_lost_while_what_it_asks_for_changes(pod: Pod, registry: Registry, weights: bytes) -> None:
    tiny = pulled(registry, weights)
    digest = registry.publish("library/other:latest", weights[:-4] + b"abcd")
    other = Prepared(name="other", action="pull", source=registry.source("library/other:latest"), digest=digest)

    def made(number: int) -> list[Prepared]:
        base = ("tiny", "other")[number % 2]
        bot = Prepared(name="bot", action="create", source=f"FROM {base}\nPARAMETER temperature 0.{number}\n")
        return [tiny, other, bot, Prepared(name="gpt-4", action="copy", source="bot")]

    pod.mount(*made(1))
    pod.hold(registry)
    assert pod.init().code == 0
    with pod.serving() as server, pod.running("watch") as watch, asked(server, "tiny", "bot", "gpt-4") as lost:
        for number in range(2, 8):
            pod.mount(*made(number))
            arrived = partial(has, server, f"0.{number}")
            wait_until(arrived, 30, watch)
    assert lost == []


def test_no_request_is_lost_while_other_models_are_removed(pod: Pod, registry: Registry, weights: bytes) -> None:
    """Ollama looks at each model that there is, for each request: many make the moment long."""
    tiny = pulled(registry, weights)
    pod.mount(tiny, *aliases(ALIASES))
    pod.hold(registry)
    assert pod.init().code == 0
    with (
        pod.serving() as server,
        pod.running("watch", REMOVE_SECONDS="0") as watch,
        asked(server, "tiny") as lost,
    ):
        pod.mount(tiny, *aliases(1))
        wait_until(lambda: named(server) == {"tiny:latest", "alias-0:latest"}, 30, watch)
    assert lost == []


def named(server: Server) -> set[str]:
    """The models of the list; the registry's own name of one is kept beside it."""
    return {name for name in server.models() if "/" not in name}


def blobs(pod: Pod) -> set[Path]:
    return set((pod.store / "blobs").iterdir())


def test_what_a_changed_model_was_is_there_for_requests_under_way_and_goes_after_them(
    pod: Pod, registry: Registry, weights: bytes
) -> None:
    pod.mount(pulled(registry, weights))
    assert pod.init().code == 0
    before = blobs(pod)
    with pod.serving() as server:
        with pod.running("watch") as watch:
            pod.mount(pulled(registry, weights[:-4] + b"abcd", note="changed"))
            wait_until(lambda: watch.output.count("the list is in place") == 1, 30, watch)
            assert "tiny: in place" in watch.output
            assert before < blobs(pod)
            assert server.chat("tiny")["done"]
        with pod.running("watch", REMOVE_SECONDS="0") as watch:
            wait_until(lambda: not before & blobs(pod), 30, watch)
            assert server.chat("tiny")["done"]
            assert named(server) == {"tiny:latest"}


def test_a_removed_model_is_not_found_and_the_router_tries_another_replica(
    pod: Pod, registry: Registry, weights: bytes
) -> None:
    tiny = pulled(registry, weights)
    bot = Prepared(name="bot", action="create", source="FROM tiny\nPARAMETER num_ctx 128\n")
    pod.mount(tiny, bot)
    assert pod.init().code == 0
    with pod.serving() as server, pod.running("watch", REMOVE_SECONDS="0") as watch:
        pod.mount(tiny)
        wait_until(lambda: named(server) == {"tiny:latest"}, 30, watch)
        with pytest.raises(urllib.error.HTTPError, match="404"):
            server.chat("bot")


def test_names_that_differ_in_the_case_of_a_part_are_all_found(pod: Pod, registry: Registry, weights: bytes) -> None:
    """Ollama takes the spelling of each part, a tag's too, from any model that there is."""
    source = "library/tiny-GGUF:Q4_K_M"
    digest = registry.publish(source, weights)
    tiny = Prepared(name="tiny:q4_k_m", action="pull", source=registry.source(source), digest=digest)
    bot = Prepared(name="Bot", action="create", source="FROM tiny:q4_k_m\nPARAMETER num_ctx 128\n")
    pod.mount(tiny, bot, Prepared(name="TINY:latest", action="copy", source="bot"))
    assert pod.init().code == 0
    with pod.serving() as server:
        for name in ("tiny:q4_k_m", "bot", "tiny") * 20:
            assert server.ask("/api/show", {"model": name})["details"]


def test_what_was_served_serves_on_while_the_registry_has_another_than_the_new_pin(
    pod: Pod, registry: Registry, weights: bytes
) -> None:
    digest = registry.publish(TINY, weights)
    name = f"127.0.0.1:{registry.port}/library/tiny:latest"
    first, wrong = (
        Prepared(name=name, action="pull", source=registry.source(TINY), digest=pin) for pin in (digest, "0" * 64)
    )
    pod.mount(first)
    assert pod.init().code == 0
    registry.publish(TINY, weights[:-4] + b"abcd", note="moved on")
    with pod.serving() as server, pod.running("watch", REMOVE_SECONDS="0") as watch:
        wait_until(lambda: "the list is in place" in watch.output, 30, watch)
        pod.mount(wrong)
        wait_until(lambda: "digest differs for" in watch.output, 30, watch)
        assert server.chat(name)["done"]
        pod.mount(first)
        wait_until(lambda: watch.output.count("the list is in place, 0 new") == 2, 30, watch)
        assert server.chat(name)["done"]


def test_a_removal_that_was_cut_short_is_finished_by_the_next_start(
    pod: Pod, registry: Registry, weights: bytes
) -> None:
    pod.mount(pulled(registry, weights))
    assert pod.init().code == 0
    needed = blobs(pod)
    orphan = pod.store / "blobs" / f"sha256-{'a' * 64}"
    orphan.write_text("weights of a model that is gone")
    digests = [path.name.removeprefix("sha256-") for path in (*needed, orphan)]
    (pod.store / "ollama-fleet" / "removing").write_text("".join(f"{digest} 31\n" for digest in digests))
    assert pod.init().code == 0
    assert blobs(pod) == needed


def test_a_removed_model_may_come_again_into_the_same_server(pod: Pod, registry: Registry, weights: bytes) -> None:
    tiny = pulled(registry, weights)
    bot = Prepared(name="bot", action="create", source="FROM tiny\nPARAMETER num_ctx 128\n")
    every = [tiny, bot, *aliases(1)]
    pod.mount(*every)
    assert pod.init().code == 0
    with pod.serving() as server, pod.running("watch", REMOVE_SECONDS="0") as watch:
        pod.mount()
        wait_until(lambda: server.models() == set(), 30, watch)
        assert blobs(pod) == set()
        pod.mount(*every)
        wait_until(lambda: {"tiny:latest", "bot:latest", "alias-0:latest"} == named(server), 30, watch)
        assert server.chat("bot")["done"]
    links = [path for path in (pod.store / "manifests").rglob("*") if path.is_symlink()]
    assert links  # of what the second making of bot took the place of
    assert pod.init().code == 0
    assert not [path for path in links if path.is_symlink()]


def test_a_pod_that_starts_beside_another_on_its_store_takes_nothing_from_its_server(
    pod: Pod, registry: Registry, weights: bytes
) -> None:
    """What has gone is hidden from a running server, since a file that goes is a 404 for who asks for any model."""
    tiny = pulled(registry, weights)
    pod.mount(tiny, *aliases(2))
    assert pod.init().code == 0
    second = Pod(pod.root.parent / "second", pod.ollama)
    second.store = pod.store
    second.mount(pulled(registry, weights[:-4] + b"abcd", note="changed"))
    gone = pod.store / "manifests" / "registry.ollama.ai" / "library" / "alias-1" / "latest"
    before = blobs(pod)
    with pod.serving() as server:
        with pod.running("watch", REMOVE_SECONDS="0") as watch:
            pod.mount(tiny, *aliases(1))
            wait_until(lambda: named(server) == {"tiny:latest", "alias-0:latest"}, 30, watch)
        assert second.init().code == 0
        assert gone.exists()
        assert before < blobs(pod)
    assert second.init().code == 0
    assert not gone.exists()
    assert not before & blobs(pod)
