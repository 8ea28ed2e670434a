"""`fleet local`: what it serves, what it says, and that it leaves nothing behind."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from infra.__main__ import main
from infra.commands.common import plan_of
from infra.local import door, pools
from infra.local.ports import free_ports
from infra.problem import has_errors
from infra.stack import UnreadableError, read
from router import parse
from simulator import Asked, Behaviour, Model, Server
from tests.router.door import Answer, ask, wait_until
from tests.simulated import running

ROOT = Path(__file__).parents[2]
STACKS = [ROOT / "Pulumi.dev.yaml", *sorted((ROOT / "examples").glob("Pulumi.*.yaml"))]
QUICK = ("--load-seconds", "0", "--tokens-per-second", "0")
"""Simulated servers answer at once."""
START_SECONDS = 60.0
END_SECONDS = 20.0


class Local:
    """A running `fleet local` of the dev stack, and what it has said."""

    def __init__(self, folder: Path, port: int, **environment: str) -> None:
        self.port = port
        self._words = folder / f"local-{port}.txt"
        self._lines = folder / f"local-{port}.out"
        with self._words.open("wb") as words, self._lines.open("wb") as lines:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "infra", "local", "--stack", "dev", "--port", str(port), *QUICK],
                cwd=ROOT,
                env={**os.environ, "TMPDIR": str(folder), **environment},
                stdin=subprocess.DEVNULL,
                stdout=lines,
                stderr=words,
                start_new_session=True,
            )

    def serves(self) -> "Local":
        wait_until(lambda: "FLEET_API_KEY" in self.lines or self.process.poll() is not None, START_SECONDS, "it serves")
        assert self.process.poll() is None, self.words
        return self

    @property
    def words(self) -> str:
        return self._words.read_text()

    @property
    def lines(self) -> str:
        return self._lines.read_text()

    @property
    def map(self) -> Path:
        found = re.search(r"^map: (.+)$", self.words, re.MULTILINE)
        assert found
        return Path(found[1])

    def family(self) -> set[int]:
        """The numbers of its child processes and theirs."""
        listed = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
        parents = {int(pid): int(parent) for pid, parent in (line.split() for line in listed.splitlines())}
        found = {self.process.pid}
        while more := {pid for pid, parent in parents.items() if parent in found} - found:
            found |= more
        return found - {self.process.pid}

    def chat(self, model: str) -> Answer:
        body = {"model": model, "messages": [{"role": "user", "content": "hi"}]}
        return ask(self.port, "POST", "/api/chat", body, {"x-api-key": self.key})

    @property
    def key(self) -> str:
        """The key that it printed."""
        return next(
            (line.partition("=")[2] for line in self.lines.splitlines() if line.startswith("FLEET_API_KEY=")), ""
        )


StartLocal = Callable[..., Local]


@pytest.fixture
def start(envoy: Path, tmp_path: Path) -> Iterator[StartLocal]:
    """Starts local fleets; none is left at the end of the test."""
    del envoy
    with ExitStack() as stack:

        def begin(port: int | None = None, **environment: str) -> Local:
            local = Local(tmp_path, port or free_ports(1)[0], **environment)
            stack.callback(local.process.wait, END_SECONDS)
            stack.callback(local.process.terminate)
            return local

        yield begin


def alive(pid: int) -> bool:
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout
    return bool(state.strip()) and not state.startswith("Z")


def test_each_model_of_the_plan_is_answered_by_its_pool_and_an_edited_map_takes_effect(start: StartLocal) -> None:
    local = start().serves()
    assert local.lines == f"FLEET_URL=http://127.0.0.1:{local.port}\nFLEET_API_KEY={local.key}\n"
    assert len(local.key) > 40
    assert ask(local.port, "GET", "/api/tags").status == 401
    for model in plan_of(read(ROOT, "dev")).models:
        if not model.embedding:
            answer = local.chat(model.name)
            assert (answer.status, answer.pool) == (200, model.route[0])
            assert answer.headers["x-simulated-by"].endswith(model.route[0])
    assert local.chat("assistant").pool in {"m60", "k80"}
    assert local.chat("none").status == 404
    lacking = ask(local.port, "POST", "/v1/responses", {"model": "llama3.2:3b"}, {"x-api-key": local.key})
    assert (lacking.status, b"the image of its pools lacks it" in lacking.body) == (501, True)
    assert ask(local.port, "GET", "/simulator", None, {"x-api-key": local.key}).status == 404

    text = local.map.read_text()
    local.map.write_text(text.replace('"llama3.1:8b" = ["t4", "a100"]', '"llama3.1:8b" = ["a100"]'))
    wait_until(lambda: local.chat("llama3.1:8b").pool == "a100")
    local.map.write_text("[routes]\n")
    wait_until(lambda: "refused" in local.words)
    assert local.chat("llama3.1:8b").pool == "a100"
    local.map.unlink()
    local.map.write_text(text)
    wait_until(lambda: local.chat("llama3.1:8b").pool == "t4")


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
@pytest.mark.parametrize("to", [os.kill, os.killpg], ids=["itself", "its group"])
def test_nothing_is_left_however_it_ends(
    start: StartLocal, how: signal.Signals, to: Callable[[int, int], None]
) -> None:
    local = start().serves()
    family = local.family()
    assert family
    to(local.process.pid, how)
    status = local.process.wait(END_SECONDS)
    assert status == (-how if how is signal.SIGKILL else 0), local.words
    wait_until(lambda: not any(map(alive, family)), END_SECONDS, "nothing is left")
    if how is not signal.SIGKILL:
        assert not local.map.parent.exists()


def test_it_ends_with_one_line_when_envoy_does(start: StartLocal) -> None:
    local = start().serves()
    family = local.family()
    for pid in family:
        os.kill(pid, signal.SIGKILL)
    assert local.process.wait(END_SECONDS) == 2
    assert local.words.splitlines()[-2].startswith("error  the door: ")
    assert not any(map(alive, family))


def test_envoy_goes_with_its_parent_even_if_it_will_not(tmp_path: Path) -> None:
    stubborn = tmp_path / "envoy"
    stubborn.write_text("#!/bin/sh\ntrap '' TERM\necho $$\nwhile :; do sleep 0.1; done\n")
    stubborn.chmod(0o755)
    leash = subprocess.Popen(
        [sys.executable, "-m", "infra.local.leash", stubborn], cwd=ROOT, stdin=-1, stdout=-1, text=True
    )
    assert leash.stdout and leash.stdin
    assert int(leash.stdout.readline()) == leash.pid
    leash.stdin.close()
    assert leash.wait(END_SECONDS) == -signal.SIGKILL
    leash.stdout.close()


def test_a_taken_port_is_one_line_with_a_free_one(start: StartLocal) -> None:
    with running(Server("other")) as port:
        local = start(port)
        assert local.process.wait(START_SECONDS) == 2
    assert local.words.startswith(f"error  --port: port {port} of 127.0.0.1 is taken\n       --port ")
    assert local.words.count("\n") == 2


def test_a_platform_without_envoy_is_one_line_with_the_remedy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    with pytest.raises(UnreadableError, match="no Envoy on PATH") as missing:
        door.find_envoy()
    assert missing.value.problem.remedy.startswith("make local")


def test_a_server_that_runs_serves_what_it_has_and_is_never_asked_to_pull(start: StartLocal) -> None:
    heard: list[Asked] = []
    models = [Model(name="llama3.1:8b"), Model(name="gpt-3.5-turbo"), Model(name="another")]
    with running(Server("mine", models, heard=heard.append)) as port:
        local = start(OLLAMA_URL=f"127.0.0.1:{port}").serves()
        assert "not there, so not served: assistant, gemma3:4b" in local.words
        assert "nothing is pulled for you" in local.words
        answers = {model: local.chat(model).status for model in ("llama3.1:8b", "gpt-3.5-turbo", "qwen3:32b")}
        assert answers == {"llama3.1:8b": 200, "gpt-3.5-turbo": 200, "qwen3:32b": 404}
    assert {asked.path for asked in heard} <= {"/api/tags", "/api/ps", "/api/version", "/api/chat"}


@pytest.mark.parametrize(
    ("url", "cause"),
    [
        ("ftp://127.0.0.1", "not the address of a server"),
        ("http://127.0.0.1:99999", "not the address of a server"),
        ("http://user:secret@127.0.0.1", "not the address of a server"),
        ("http://127.0.0.1:11434/v1", "not the address of a server"),
        ("http://[::1]:11434", "not the address of a server"),
        ("http://my_rig:11434", "an address is a host name or IPv4 address"),
        ("http://127.0.0.1:1", "no Ollama answers"),
    ],
)
def test_an_address_that_leads_to_no_server_is_one_line_with_the_remedy(url: str, cause: str) -> None:
    with pytest.raises(UnreadableError) as refused:
        pools.running(plan_of(read(ROOT, "dev")), url)
    assert cause in refused.value.problem.message
    assert "secret" not in f"{refused.value.problem}"
    assert refused.value.problem.remedy


def test_a_server_that_has_nothing_of_the_plan_is_an_error() -> None:
    with (
        running(Server("mine", [Model(name="another")])) as port,
        pytest.raises(UnreadableError, match="none of the plan's models") as refused,
    ):
        pools.running(plan_of(read(ROOT, "dev")), f"http://127.0.0.1:{port}")
    assert refused.value.problem.remedy.startswith("ollama pull ")


def test_a_plan_without_a_model_is_one_line_with_the_remedy(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lab = "pools: {a: {gpu: none, site: lab}}, sites: {lab: {docker: {}}}, router: {site: lab}"
    (tmp_path / "Pulumi.bare.yaml").write_text(f"config: {{ollama-fleet:fleet: {{{lab}}}}}\n")
    assert main(["local", "--stack", "bare", "--cwd", str(tmp_path)]) == 2
    assert capsys.readouterr().err.startswith("error  fleet.models: there is none")


@pytest.mark.parametrize("file", STACKS, ids=lambda file: file.stem)
def test_every_example_has_a_server_for_each_pool_with_all_that_is_routed_there(file: Path) -> None:
    plan = plan_of(read(file.parent, file.stem.removeprefix("Pulumi.")))
    assert not has_errors(plan.problems)
    made = pools.simulated(plan, Behaviour())
    try:
        fleet = parse(made.routes)
        servers = {server.name: server for server, _ in made.simulated}
        assert sorted(servers) == sorted(fleet.pools) == sorted(pool.name for pool in plan.pools)
        for name, order in [*fleet.models.items(), *((alias, fleet.models[of]) for alias, of in fleet.aliases.items())]:
            assert all(servers[pool].library.find(name) for pool in order), name
        for name, weights in fleet.splits.items():
            assert all(servers[pool].library.find(name) for model in weights for pool in fleet.models[model]), name
    finally:
        for _, socket in made.simulated:
            socket.close()
