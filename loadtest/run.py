"""The run itself, on Locust."""

import random
import signal
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import gevent
import gevent.event
import requests
from gevent.pool import Group
from locust import LoadTestShape, User, between, events, task
from locust.env import Environment
from locust.html import get_html_report
from locust.stats import PERCENTILES_TO_REPORT, StatsCSVFileWriter, stats_history

from loadtest import replicas
from loadtest.asking import EMBEDDING, Outcome, ask
from loadtest.local import Target
from loadtest.mix import Mix, Stage
from loadtest.report import Reading, Run
from loadtest.shape import users_at

MOST_READINGS = 200
LEAVE_SECONDS = 60
"""For which an answer may go on when the run is over."""
UNFINISHED = "it had not ended when the run was over"
SPAWN_RATE = 100.0
"""The stages say how many users there are at a moment: none is late."""


def run(target: Target, mix: Mix, models: Mapping[str, bool], stages: Sequence[Stage], folder: Path) -> Run:
    """Ask the door as the stages say; Locust's HTML and CSV files go to `folder`.

    `models` says of each whether it chats.
    SIGTERM and Ctrl-C end the run early, and it is said.
    """
    outcomes: list[Outcome] = []
    readings: list[Reading] = []
    # Locust would let a user that goes finish, and wait for it: the stages after it would come too late, or never
    under_way = Group()
    began = time.monotonic()
    environment = Environment(
        user_classes=[_visitor(target, mix, models, outcomes, under_way, began)],
        shape_class=_shape(stages),
        host=target.url,
        events=events,
    )
    runner = environment.create_local_runner()
    length = sum(stage.ramp + stage.hold for stage in stages)
    files = StatsCSVFileWriter(environment, PERCENTILES_TO_REPORT, str(folder / "locust"), full_history=True)
    beside = [
        gevent.spawn(stats_history, runner),
        gevent.spawn(files),
        *([gevent.spawn(_watch, target.metrics, readings, began, length / MOST_READINGS)] if target.metrics else []),
    ]
    runner.start_shape()
    stop = gevent.event.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        gevent.signal_handler(number, stop.set)
    gevent.wait([stop, runner.shape_greenlet], count=1)
    runner.stop()
    if not stop.is_set():
        under_way.join(timeout=LEAVE_SECONDS)
    under_way.kill()
    seconds = time.monotonic() - began
    (folder / "report.html").write_text(get_html_report(environment, show_download_link=False), encoding="utf-8")
    gevent.killall(beside)
    files.close_files()
    return Run(
        url=target.url,
        seconds=seconds,
        most_users=max(stage.users for stage in stages),
        outcomes=outcomes,
        readings=readings,
        cut_short=stop.is_set(),
    )


def _visitor(
    target: Target, mix: Mix, models: Mapping[str, bool], outcomes: list[Outcome], under_way: Group, began: float
) -> type[User]:
    """Who asks: a model by its weight, a prompt by its own, a path by its share. What it asks outlives it."""
    names, weights = list(models), [mix.models.get(name, 1) for name in models]
    paths, shares = list(mix.paths), list(mix.paths.values())
    prompt_weights = [prompt.weight for prompt in mix.prompts]

    def question(environment: Environment, session: requests.Session) -> None:
        (model,) = random.choices(names, weights)  # noqa: S311
        (prompt,) = random.choices(mix.prompts, prompt_weights)  # noqa: S311
        (path,) = random.choices(paths, shares) if models[model] else [EMBEDDING]  # noqa: S311
        at = time.monotonic() - began
        try:
            outcome = ask(session, target.url, path, model, prompt, patience=mix.patience, began=began)
        except gevent.GreenletExit:
            total = time.monotonic() - began - at
            outcome = Outcome(at=at, model=model, path=path, cause=UNFINISHED, total=total)
        outcomes.append(outcome)
        _tell(environment, outcome)

    class Visitor(User):
        wait_time = between(*mix.pause)

        def on_start(self) -> None:
            self.session = target.session()

        @task
        def one(self) -> None:
            under_way.spawn(question, self.environment, self.session).join()

    return Visitor


def _tell(environment: Environment, outcome: Outcome) -> None:
    environment.events.request.fire(
        request_type=outcome.path,
        name=outcome.model,
        response_time=1000 * outcome.total,
        response_length=0,
        exception=RuntimeError(outcome.cause) if outcome.cause else None,
        context={},
    )
    if outcome.first_token is not None:
        # a line of its own, which Locust's total does not count again
        line = environment.stats.get(outcome.model, "first token")
        line.log(round(1000 * outcome.first_token), 0)


def _shape(stages: Sequence[Stage]) -> LoadTestShape:
    class Stages(LoadTestShape):
        def tick(self) -> tuple[int, float] | None:
            users = users_at(stages, self.get_run_time())
            return None if users is None else (users, SPAWN_RATE)

    return Stages()


def _watch(url: str, readings: list[Reading], began: float, period: float) -> None:
    while True:
        readings += replicas.read(url, time.monotonic() - began)
        gevent.sleep(max(1.0, period))
