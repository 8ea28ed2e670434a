"""The companion follows the map: what is routed here arrives, what nothing uses goes, and only then."""

import threading
import time

import pytest

from infra.plan.model import Prepared
from tests.models.pod import Pod, Server, wait_until
from tests.models.registry import Registry

TINY, OTHER = "library/tiny:latest", "library/other:latest"
POOLS = '\n[pools]\nt4 = "ollama-t4:11434"\na100 = "ollama-a100:11434"\n'


@pytest.fixture
def tiny(registry: Registry, weights: bytes) -> Prepared:
    return Prepared(name="tiny", action="pull", source=registry.source(TINY), digest=registry.publish(TINY, weights))


@pytest.fixture
def other(registry: Registry, weights: bytes) -> Prepared:
    digest = registry.publish(OTHER, weights[:-4] + b"abcd", note="other")
    return Prepared(name="other", action="pull", source=registry.source(OTHER), digest=digest)


def routes(text: str) -> str:
    return f"# Written by `pulumi up`\n[routes]\n{text}{POOLS}"


def test_a_declared_model_that_an_override_routes_here_arrives_with_its_aliases(
    pod: Pod, registry: Registry, tiny: Prepared, other: Prepared
) -> None:
    bot = Prepared(name="bot", action="create", source="FROM other\nPARAMETER num_ctx 128\n")
    pod.mount(tiny, elsewhere={"bot": [other, bot], "other": [other]})
    programs = routes(
        '"tiny" = ["t4"]\nbot = ["a100"]\nother = ["a100"]\nhelper = "other"\nassistant = {"bot" = 90, "tiny" = 10}\n'
    )
    pod.route(programs)
    pod.hold(registry)
    with pod.serving() as server, pod.running("watch") as watch:
        wait_until(lambda: {"tiny:latest", "assistant:latest"} <= server.models(), 20, watch)
        assert not {"bot:latest", "other:latest"} & server.models()
        registry.forget_requests()
        pod.route(programs, override='[routes]\nBot = ["a100", "t4"]\nhelper = "bot"\n')
        wait_until(lambda: {"bot:latest", "helper:latest"} <= server.models(), 20, watch)
        assert server.parameters("helper") == "num_ctx 128"
        assert not any("tiny" in request for request in registry.requests)
        assert server.run.process.poll() is None


def test_a_model_that_the_program_does_not_declare_is_refused(pod: Pod, registry: Registry, tiny: Prepared) -> None:
    pod.mount(tiny)
    pod.route(routes('tiny = ["t4"]\n'), override='[routes]\n"me/stranger:q4" = ["t4"]\n')
    pod.hold(registry)
    with pod.serving() as server, pod.running("watch") as watch:
        wait_until(lambda: "the list is in place" in watch.output, 20, watch)
        assert "override.toml line 2: the program does not declare me/stranger:q4" in watch.output
        assert not any("stranger" in name for name in server.models())


@pytest.mark.parametrize("name", ["stranger", "a/../../../../tmp/x"])
def test_hand_edits_bring_no_alias_and_no_path(pod: Pod, registry: Registry, tiny: Prepared, name: str) -> None:
    pod.mount(tiny)
    pod.route(routes('tiny = ["t4"]\n'), override=f'[routes]\n"{name}" = "tiny"\n')
    pod.hold(registry)
    with pod.serving() as server, pod.running("watch") as watch:
        wait_until(lambda: "the list is in place" in watch.output, 20, watch)
        assert "the map is refused, the last one stays in force: override.toml line 2: " in watch.output
        assert not [model for model in server.models() if not model.endswith("tiny:latest")]


BROKEN = (
    'tiny = [\n  "t4",\n]\n',
    "tiny = t4\n",
    "tiny: [t4]\n",
    'tiny = {pools = ["t4"]}\n',
    'tiny = ["t4"] nonsense\n',
    'tiny = {"other" = "90"}\n',
)


def test_a_broken_override_is_named_and_the_map_stays_in_force(
    pod: Pod, registry: Registry, tiny: Prepared, other: Prepared
) -> None:
    pod.mount(tiny, elsewhere={"other": [other]})
    with pod.serving() as server:
        for broken in BROKEN:
            pod.hold(registry)
            pod.route(routes('tiny = ["t4"]\nother = ["t4"]\n'), override=f"[routes]\n{broken}")
            with pod.running("watch") as watch:
                wait_until(lambda: {"tiny:latest", "other:latest"} <= server.models(), 20, watch)
                assert "the map is refused, the last one stays in force: override.toml line 2: " in watch.output
            for name in server.models():
                server.remove(name)


def test_a_removed_model_goes_when_the_map_has_let_go_of_it_and_a_foreign_one_stays(
    pod: Pod, registry: Registry, tiny: Prepared, other: Prepared
) -> None:
    registry.publish("library/theirs:latest", b"GGUF of somebody else")
    pod.mount(tiny, other)
    pod.route(routes('tiny = ["t4"]\nother = ["t4"]\n'))
    pod.hold(registry)
    assert pod.init().code == 0
    with pod.serving() as server:
        server.ask("/api/copy", {"source": "tiny", "destination": "theirs"}, empty=True)
        with pod.running("watch", REMOVE_SECONDS="1") as watch:
            pod.mount(tiny)
            wait_until(lambda: watch.output.count("the list is in place") >= 1, 20, watch)
            # longer than it waits to remove what nothing uses
            time.sleep(2)
            assert "other:latest" in server.models()
            pod.route(routes('tiny = ["t4"]\n'))
            wait_until(lambda: "other:latest" not in server.models(), 20, watch)
            assert {"tiny:latest", "theirs:latest"} <= server.models()
            # readiness no longer asks for it
            assert pod.probe("ready").code == 0


def test_what_is_no_longer_declared_is_gone_after_a_restart(
    pod: Pod, registry: Registry, tiny: Prepared, other: Prepared
) -> None:
    pod.mount(tiny, other, Prepared(name="gpt-4", action="copy", source="other"))
    pod.hold(registry)
    assert pod.init().code == 0
    pod.mount(tiny)
    again = pod.init()
    assert again.code == 0, again.output
    with pod.serving() as server:
        assert server.models() >= {"tiny:latest"}
        assert not {"other:latest", "gpt-4:latest"} & server.models()


def loaded(server: Server) -> set[str]:
    return {one["name"] for one in server.ask("/api/ps")["models"]}


def test_models_that_stay_together_are_loaded_and_loaded_again_when_a_client_unloads_one(
    pod: Pod, registry: Registry, tiny: Prepared, other: Prepared
) -> None:
    pod.mount(tiny, other, Prepared(name="gpt-4", action="copy", source="other"))
    pod.hold(registry)
    assert pod.init().code == 0
    with pod.serving() as server, pod.running("watch", FLEET_LOADING="together") as watch:
        wait_until(lambda: {"tiny:latest", "other:latest"} == loaded(server), 30, watch)
        server.ask("/api/generate", {"model": "other", "keep_alive": 0})
        wait_until(lambda: "other:latest" not in loaded(server), 10, watch)
        wait_until(lambda: {"tiny:latest", "other:latest"} == loaded(server), 20, watch)
        assert pod.probe("ready").code == 0


def test_requests_under_way_are_not_disturbed_while_models_come_change_and_go(
    pod: Pod, registry: Registry, tiny: Prepared, other: Prepared, weights: bytes
) -> None:
    pod.mount(tiny)
    pod.route(routes('tiny = ["t4"]\n'))
    assert pod.init().code == 0
    lost: list[str] = []
    answered = 0
    with pod.serving() as server, pod.running("watch", REMOVE_SECONDS="1") as watch:
        wait_until(lambda: "the list is in place" in watch.output, 20, watch)
        end = threading.Event()

        def load() -> None:
            nonlocal answered
            while not end.is_set():
                try:
                    assert server.chat("tiny")["done"]
                    answered += 1
                except (OSError, AssertionError) as failure:
                    lost.append(str(failure))

        client = threading.Thread(target=load)
        client.start()
        try:
            registry.forget_requests()
            bot = Prepared(name="bot", action="create", source="FROM other\nPARAMETER temperature 0.1\n")
            pod.mount(tiny, other, bot)
            wait_until(lambda: "bot:latest" in server.models(), 30, watch)
            sent = registry.bytes_sent
            changed = Prepared(name="bot", action="create", source="FROM other\nPARAMETER temperature 0.9\n")
            pod.mount(tiny, other, changed)
            wait_until(lambda: "0.9" in server.parameters("bot"), 30, watch)
            pod.mount(tiny)
            wait_until(lambda: not {"bot:latest", "other:latest"} & server.models(), 30, watch)
        finally:
            end.set()
            client.join()
        assert (lost, server.run.process.poll()) == ([], None)
        assert answered > 0
        # the new model and its configuration, once, and nothing for a changed Modelfile
        assert len(weights) <= sent < len(weights) + 2000
        assert registry.bytes_sent == sent
