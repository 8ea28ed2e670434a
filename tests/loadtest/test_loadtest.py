"""The load test: what it asks, what it makes of each answer, and a real run against the real local fleet."""

import csv
import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as some

from loadtest.asking import EMBEDDING, Outcome, ask
from loadtest.local import LocalFleet, Target
from loadtest.mix import DEFAULT, PATHS, Limits, MixError, Prompt, Stage, read
from loadtest.replicas import parse
from loadtest.report import Reading, Run, broken, figures, markdown, percentile
from loadtest.shape import users_at
from simulator import Behaviour, Model, Server
from tests.router.conftest import certificate, envoy, self_signed  # noqa: F401 - fixtures
from tests.simulated import running

ROOT = Path(__file__).parents[2]
LEFT_OUT = "runs of the load test left out: no Locust; requirements-test.txt brings it"
MIX = read()
PROMPT = Prompt(weight=1, tokens=5, text="hello")
LIMITS = Limits(p95=10.0, first_token_p95=5.0, error_rate=0.01)


def outcome(**said: object) -> Outcome:
    return Outcome(**{"at": 0.0, "model": "m", "path": "/api/chat", "pool": "t4", "status": 200, "total": 1.0, **said})  # type: ignore[arg-type]


def test_the_stages_are_ten_users_then_fifty_then_twenty_with_nobody_between() -> None:
    marks = {0: 0, 30: 5, 60: 10, 179: 10, 192: 0, 210: 25, 225: 50, 284: 50, 297: 0, 310: 20, 609: 20}
    assert {second: users_at(MIX.stages, second) for second in marks} == marks
    assert users_at(MIX.stages, 610) is None


@given(users=some.integers(1, 500), seconds=some.integers(1, 10_000))
def test_a_scaled_run_has_that_length_and_that_many_users_at_most(users: int, seconds: int) -> None:
    stages = MIX.scaled(users, seconds)
    assert sum(stage.ramp + stage.hold for stage in stages) == pytest.approx(seconds)
    assert max(stage.users for stage in stages) == users
    assert [stage.users > 0 for stage in stages] == [stage.users > 0 for stage in MIX.stages]


@given(
    stages=some.lists(
        some.builds(
            Stage, users=some.integers(0, 50), ramp=some.floats(0, 9), hold=some.floats(0, 9)
        ), min_size=1, max_size=4,
    ),
    at=some.floats(0, 1),
)  # fmt: skip
def test_users_never_leave_the_bounds_of_their_stages(stages: list[Stage], at: float) -> None:
    length = sum(stage.ramp + stage.hold for stage in stages)
    users = users_at(stages, at * length)
    assert users is None or 0 <= users <= max(stage.users for stage in stages)


def test_every_mistake_of_a_mix_is_told_at_its_place(tmp_path: Path) -> None:
    text = DEFAULT.read_text().replace("users = 50", "users = -1").replace("error_rate = 0.01", "error_rat = 1")
    text = text.replace('"/api/chat" = 2', '"/api/generate" = 0').replace("pause = [1.0, 3.0]", "pause = [3.0, 1.0]")
    (tmp_path / "mix.toml").write_text(text + "\n[model]\n")
    with pytest.raises(MixError) as refused:
        read(tmp_path / "mix.toml")
    said = [line.removeprefix(f"{tmp_path}/mix.toml: ") for line in str(refused.value).splitlines()]
    assert said == [
        "model: there is no such part; the parts are models, paths, limits, client, stages, prompts",
        "paths: /api/generate is none of /api/chat, /v1/chat/completions",
        "paths: the weight of /api/generate is a whole number from 1 on",
        "limits: error_rat is none of p95, first_token_p95, error_rate",
        "limits: error_rate is missing",
        "client: pause is two numbers of seconds, the lower one first",
        "stages 3: users is a whole number, 0 or more",
    ]


@pytest.mark.parametrize(
    "text", ["[[stages]]\nusers=0\nramp=0\nhold=0", "", "models = 1\nstages = 3\nprompts = [1]", "="]
)
def test_a_mix_that_asks_for_nothing_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "mix.toml").write_text(text)
    with pytest.raises(MixError):
        read(tmp_path / "mix.toml")


@pytest.fixture
def server() -> Iterator[tuple[Server, str]]:
    chat = Model(name="chat:latest", weights="chat", capabilities=("completion",))
    embed = Model(name="embed:latest", weights="embed", capabilities=("embedding",))
    server = Server("t4", [chat, embed], Behaviour(tokens_per_second=100))
    with running(server) as port:
        yield server, f"http://127.0.0.1:{port}"


def asked(url: str, path: str, model: str = "chat", patience: float = 10.0) -> Outcome:
    with requests.Session() as session:
        session.trust_env = False
        return ask(session, url, path, model, PROMPT, patience=patience, began=time.monotonic())


@pytest.mark.parametrize("path", PATHS)
def test_a_stream_is_read_to_its_end_with_its_first_token_and_its_tokens(server: tuple[Server, str], path: str) -> None:
    found = asked(server[1], path)
    assert (found.status, found.cause, found.tokens) == (200, "", 5)
    assert found.first_token is not None
    assert 0 < found.first_token < found.total
    assert found.tokens_per_second is not None


def test_an_embedding_has_no_first_token(server: tuple[Server, str]) -> None:
    found = asked(server[1], EMBEDDING, "embed")
    assert (found.status, found.cause, found.first_token, found.tokens) == (200, "", None, 0)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    ("switches", "cause"),
    [
        ({"failure": "busy"}, "HTTP 503: "),
        ({"failure": "missing"}, "HTTP 404: "),
        ({"failure": "error"}, "HTTP 500: "),
        # Ollama's own API says it in the stream, that of OpenAI only stops
        ({"failure": "error", "after": 2}, ("in the stream: ", "the stream ended before its last message")),
        ({"failure": "cut", "after": 2}, "the stream was cut"),
        ({"failure": "silent"}, "no byte for 1 s"),
    ],
)
def test_a_failure_is_told_by_its_cause(
    server: tuple[Server, str], path: str, switches: dict[str, object], cause: str | tuple[str, ...]
) -> None:
    requests.post(f"{server[1]}/simulator", json=switches, timeout=5).raise_for_status()
    assert asked(server[1], path, patience=1.0).cause.startswith(cause)


def test_nobody_there_is_a_cause_too() -> None:
    found = asked("http://127.0.0.1:9", "/api/chat")
    assert (found.status, found.cause) == (0, "no connection, or it was closed before an answer")


@contextmanager
def saying(body: bytes, status: int = 200, **headers: str) -> Iterator[str]:
    """The address of a server that answers everything so."""

    class Says(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"] or 0))
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name.replace("_", "-"), value)
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST  # noqa: N815

        def log_message(self, *_: object) -> None:
            """Nothing."""

    with HTTPServer(("127.0.0.1", 0), Says) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()


@pytest.mark.parametrize("body", [b"[]", b"3", b'{"message": 1}', b'{"choices": 3}', b"[" * 100_000, b'{"embeddings"'])
@pytest.mark.parametrize("path", [*PATHS, EMBEDDING])
def test_an_answer_of_any_shape_is_counted(path: str, body: bytes) -> None:
    with saying((b"data: " if path.startswith("/v1") else b"") + body + b"\n") as url:
        assert asked(url, path).cause


def test_what_a_server_says_plays_with_no_terminal_table_or_page() -> None:
    said = json.dumps({"error": "\x1b[2J|\n<script>x</script>[y](http://z) \u202e"}).encode()
    with saying(said, 500, x_fleet_pool="=1+1|<b>") as url:
        found = asked(url, "/api/chat")
    assert (found.pool, found.status) == ("(none)", 500)
    assert found.cause.isprintable()
    summary = markdown(Run(url=url, seconds=1, most_users=1, outcomes=[found]), LIMITS)
    assert r"\|" in summary
    assert not re.search(r"(?<!\\)[<\[]", summary)


@pytest.mark.skipif(importlib.util.find_spec("locust") is None, reason=LEFT_OUT)
def test_without_locust_it_says_what_installs_it() -> None:
    without = "import runpy, sys; sys.modules['locust'] = None; runpy.run_module('loadtest', run_name='__main__')"
    done = subprocess.run([sys.executable, "-c", without], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error  locust is not installed, by which it asks\n`make loadtest` installs it\n"


def test_a_name_that_is_none_becomes_no_formula_of_a_spreadsheet(tmp_path: Path) -> None:
    with saying(json.dumps({"data": [{"id": "=HYPERLINK(1)"}]}).encode()) as url:
        done = subprocess.run(
            [sys.executable, "-m", "loadtest", "--url", url, "--out", str(tmp_path)],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert (done.returncode, done.stdout) == (2, "")
    assert "it lists a model by a name that is none" in done.stderr
    assert not list(tmp_path.iterdir())


@given(some.lists(some.floats(0, 1e6), min_size=1), some.floats(0.01, 1.0))
def test_a_percentile_is_the_least_value_that_the_share_does_not_exceed(values: list[float], share: float) -> None:
    found = percentile(values, share)
    assert found in values
    assert sum(value <= found for value in values) >= share * len(values) - 1e-6  # type: ignore[operator]
    assert sum(value < found for value in values) < share * len(values) + 1e-6  # type: ignore[operator]


def test_times_are_of_answers_and_errors_count_as_requests() -> None:
    found = figures([outcome(total=2.0, first_token=1.0, tokens=11), outcome(cause="HTTP 503: busy", total=99.0)])
    assert (found.requests, found.errors, found.error_rate) == (2, 1, 0.5)
    assert (found.mean, found.median, found.p95, found.first_median) == (2.0, 2.0, 2.0, 1.0)
    assert (found.tokens, found.tokens_per_second) == (11, 10.0)


@pytest.mark.parametrize(
    ("outcomes", "cut_short", "reasons"),
    [
        ([outcome()] * 100, False, []),
        ([outcome()] * 99 + [outcome(cause="x")], False, []),
        ([outcome()] * 98 + [outcome(cause="x")] * 2, False, ["error rate 2.00 %, at most 1.00 % is allowed"]),
        ([outcome(total=11.0)], False, ["p95 11.00 s, at most 10.00 s is allowed"]),
        ([outcome(first_token=6.0)], False, ["first token p95 6.00 s, at most 5.00 s is allowed"]),
        ([], False, ["no request was made"]),
        ([outcome()], True, ["the run was stopped before its end"]),
    ],
)
def test_a_run_passes_within_its_limits_only(outcomes: list[Outcome], cut_short: bool, reasons: list[str]) -> None:
    run = Run(url="u", seconds=10, most_users=2, outcomes=outcomes, cut_short=cut_short)
    assert broken(run, LIMITS) == reasons
    assert ("**passed**" in markdown(run, LIMITS)) == (not reasons)


def test_the_summary_tells_of_models_pools_causes_and_replicas() -> None:
    outcomes = [outcome(), outcome(model="n", pool="a100", cause="HTTP 503: a|b"), outcome(model="n", pool="a100")]
    counts = ((0.0, 0), (5.0, 0), (9.0, 1))
    readings = [Reading(at=at, pool="a100", replicas=count, in_flight=3) for at, count in counts]
    text = markdown(Run(url="u", seconds=10, most_users=2, outcomes=outcomes, readings=readings), LIMITS)
    assert "| n | 2 | 1 (50.00 %) | 1.00 s | 1.00 s | 1.00 s |  |  |  |" in text
    assert "| t4 | 1 | 0 | 1.00 s |" in text
    assert "| HTTP 503: a\\|b | a100 | 1 |" in text
    assert "| a100 | 0 s: 0, 9 s: 1 | 3 |" in text


def test_replicas_are_read_from_the_routers_metrics() -> None:
    text = '# HELP x y\nollama_fleet_pool_replicas{pool="t4"} 2\nollama_fleet_pool_requests_in_flight{pool="t4"} 7\n'
    assert parse(text, 1.0) == [Reading(at=1.0, pool="t4", replicas=2, in_flight=7)]
    assert parse("nothing", 1.0) == []


@pytest.fixture(scope="module")
def fleet(envoy: Path) -> Iterator[Target]:  # noqa: F811
    del envoy
    # looked for, not imported: it would replace this process's own sockets
    if importlib.util.find_spec("locust") is None:
        if os.environ.get("OLLAMA_FLEET_REQUIRE_TIERS") == "1":
            pytest.fail(LEFT_OUT, pytrace=False)
        pytest.skip(LEFT_OUT)
    with LocalFleet("dev", "--load-seconds", "0", "--tokens-per-second", "0") as target:
        yield target


def started(target: Target, folder: Path, *options: str, key: str | None = None) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "loadtest", "--url", target.url, "--metrics", target.metrics, "--out", str(folder),
         *options],
        cwd=ROOT, env={**os.environ, "FLEET_API_KEY": target.key if key is None else key},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def ended(process: "subprocess.Popen[str]") -> tuple[int, str, str]:
    try:
        said, beside = process.communicate(timeout=120)
    finally:
        process.kill()
    return process.returncode, said, beside


def mix_of(folder: Path, hold: float, text: str = DEFAULT.read_text()) -> tuple[str, str]:
    """The option that names a mix like this one, but with two users from its first moment to its last."""
    stages = text[text.index("[[stages]]") : text.index("[[prompts]]")]
    (folder / "mix.toml").write_text(text.replace(stages, f"[[stages]]\nusers = 2\nramp = 0\nhold = {hold}\n\n"))
    return "--mix", str(folder / "mix.toml")


@pytest.fixture
def short(tmp_path: Path) -> tuple[str, str]:
    return mix_of(tmp_path, 1)


def test_a_real_run_passes_and_leaves_its_report(fleet: Target, tmp_path: Path) -> None:
    status, said, beside = ended(started(fleet, tmp_path / "report", "--seconds", "8", "--users", "16"))
    assert status == 0, said + beside
    assert "**passed**" in said
    assert (tmp_path / "report" / "summary.md").read_text() == said
    with (tmp_path / "report" / "requests.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert rows
    assert {row["cause"] for row in rows} == {""}
    assert {row["pool"] for row in rows} <= {"t4", "a100", "k80", "m60"}
    with (tmp_path / "report" / "replicas.csv").open() as file:
        assert {row["pool"] for row in csv.DictReader(file)} == {"t4", "a100", "k80", "m60"}
    page = (tmp_path / "report" / "report.html").read_text()
    assert "first token" in page
    assert fleet.url in page
    with (tmp_path / "report" / "locust_stats_history.csv").open() as file:
        users = [int(row["User Count"]) for row in csv.DictReader(file)]
    # the last stage too, which begins at 4 s of 8: each user asks every 3 s at least
    assert users
    assert max(float(row["at"]) for row in rows) > 5
    for path in (tmp_path / "report").iterdir():
        assert fleet.key not in path.read_text()


def test_a_limit_that_is_broken_on_purpose_decides_the_exit_status(fleet: Target, tmp_path: Path) -> None:
    strict = DEFAULT.read_text().replace("first_token_p95 = 90.0", "first_token_p95 = 0.0001")
    status, said, _ = ended(started(fleet, tmp_path / "report", *mix_of(tmp_path, 1, strict)))
    assert status == 1
    assert "**failed**: first token p95" in said
    assert (tmp_path / "report" / "report.html").exists()


def test_a_run_that_is_stopped_tells_what_it_has_and_does_not_pass(fleet: Target, tmp_path: Path) -> None:
    process = started(fleet, tmp_path / "report", *mix_of(tmp_path, 600))
    history = tmp_path / "report" / "locust_stats_history.csv"
    end = time.monotonic() + 60
    while time.monotonic() < end and not (history.exists() and ",2," in history.read_text()):
        time.sleep(0.2)
    process.send_signal(signal.SIGTERM)
    status, said, beside = ended(process)
    assert status == 1, beside
    assert "the run was stopped before its end" in said


@pytest.mark.parametrize(
    ("options", "key", "said"),
    [
        ((), "wrong", "it wants a key\nFLEET_API_KEY=..."),
        (("--url", "http://127.0.0.1:9"), "", "nobody answers there"),
        (("--url", "127.0.0.1:9"), "", "it has no scheme\nwrite it like"),
        (("--mix", "nowhere.toml"), None, "nowhere.toml: it cannot be read: No such file"),
        (("--out", "/dev/null/x"), None, "--out: /dev/null/x cannot be made"),
    ],
)
def test_what_cannot_be_tested_is_said_with_its_remedy(
    fleet: Target, tmp_path: Path, options: tuple[str, ...], key: str | None, said: str
) -> None:
    status, out, beside = ended(started(fleet, tmp_path / "report", *options, key=key))
    assert (status, out) == (2, "")
    assert said in beside
    assert "Traceback" not in beside


def test_the_fleet_that_it_started_goes_with_it_even_when_it_is_killed(fleet: Target, tmp_path: Path) -> None:
    del fleet  # only that there is what it needs
    options = ("--stack", "dev", "--seconds", "600", "--users", "2", "--out", str(tmp_path / "report"))
    process = subprocess.Popen(
        [sys.executable, "-m", "loadtest", *options], cwd=ROOT, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stderr is not None
        url = process.stderr.readline().partition(": ")[0]
        assert url.startswith("http://127.0.0.1:")
        assert asked(url, "/api/chat").status == 401
    finally:
        process.kill()
        process.communicate(timeout=30)
    end = time.monotonic() + 30
    while asked(url, "/api/chat").status and time.monotonic() < end:
        time.sleep(0.2)
    assert asked(url, "/api/chat").status == 0


def test_a_certificate_that_is_not_trusted_is_said_and_can_be_taken(
    tmp_path: Path,
    certificate: Path,  # noqa: F811
    short: tuple[str, str],
) -> None:
    chat = Model(name="chat:latest", capabilities=("completion",))
    with running(Server("t4", [chat], Behaviour()), certificate) as port:
        url = f"https://localhost:{port}"
        target = Target(url=url, key="k", metrics="")
        status, _, beside = ended(started(target, tmp_path / "report", *short))
        assert (status, "its certificate is not trusted here\n--insecure" in beside) == (2, True)
        status, said, beside = ended(started(target, tmp_path / "report", *short, "--insecure"))
        assert (status, "**passed**" in said) == (0, True), beside


@pytest.mark.parametrize(("host", "status"), [("localhost", 0), ("", 0), ("other.example.org", 2)])
def test_a_certificate_is_believed_that_is_named_and_for_its_own_name_whatever_the_address(
    tmp_path: Path,
    certificate: Path,  # noqa: F811
    short: tuple[str, str],
    host: str,
    status: int,
) -> None:
    chat = Model(name="chat:latest", capabilities=("completion",))
    with running(Server("t4", [chat], Behaviour()), certificate) as port:
        target = Target(url=f"https://127.0.0.1:{port}", key="k", metrics="")
        options = ("--believe", str(certificate), *(("--host", host) if host else ()))
        found, said, beside = ended(started(target, tmp_path / "report", *short, *options))
        assert (found, "**passed**" in said) == (status, status == 0), beside
        assert "Traceback" not in beside


def test_another_certificate_than_the_named_one_is_not_believed(
    tmp_path: Path,
    certificate: Path,  # noqa: F811
    short: tuple[str, str],
) -> None:
    (tmp_path / "other").mkdir()
    other = self_signed(tmp_path / "other")
    with running(Server("t4", [Model(name="m")], Behaviour()), certificate) as port:
        target = Target(url=f"https://localhost:{port}", key="k", metrics="")
        for file, said in ((other, "its certificate is not trusted here"), (tmp_path / "none", "has no certificate")):
            status, _, beside = ended(started(target, tmp_path / "report", *short, "--believe", str(file)))
            assert (status, said in beside, "Traceback" in beside) == (2, True, False), beside


def test_a_model_that_the_door_lacks_is_named(fleet: Target, tmp_path: Path) -> None:
    text = DEFAULT.read_text().replace('# "llama3.1:8b" = 3', '"no-such-model" = 3')
    (tmp_path / "mix.toml").write_text(text)
    status, _, beside = ended(started(fleet, tmp_path / "report", "--mix", str(tmp_path / "mix.toml")))
    assert status == 2
    assert "models: the door lists no no-such-model\nit has " in beside
