"""The dashboards: every query of every panel is answered with data by a real Prometheus that scrapes the local fleet
under load, and the rules hear nothing of it.

The figures of GPUs are those of dcgm.txt, two T4 in the form that NVIDIA's exporter 4.8.2 gives them
(https://github.com/NVIDIA/dcgm-exporter internal/pkg/rendermetrics, 2026-05-06): no GPU was there to record one.
"""

import json
import math
import re
import socket
import subprocess
import sys
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from infra.stack import read
from loadtest.local import LocalFleet, Target
from monitoring import counters, dashboards
from tests.monitoring.test_rules import RULES
from tests.router.conftest import envoy  # noqa: F401 - a fixture

ROOT = Path(__file__).parents[2]
SCRAPE = "1s"
WINDOW = "15s"
"""For $__rate_interval, which Grafana makes of the scrape interval."""
PATIENCE = 60.0
DCGM = Path(__file__).with_name("dcgm.txt")
MODEL = "llama3.1:8b"


def get(url: str, key: str = "", body: object = None) -> bytes:
    request = urllib.request.Request(
        url, data=None if body is None else json.dumps(body).encode(), headers={"x-api-key": key} if key else {}
    )
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=30) as answer:
        return bytes(answer.read())


@contextmanager
def exporting(text: bytes) -> Iterator[str]:
    """The address of an exporter that says this."""

    class Exporter(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-type", "text/plain; version=0.0.4")
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *words: object) -> None:
            del words

    with ThreadingHTTPServer(("127.0.0.1", 0), Exporter) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()


class Prometheus:
    """A real one, of a router and of an exporter of GPUs."""

    def __init__(self, program: str, folder: Path, target: str, exporter: str) -> None:
        with socket.socket() as one:
            one.bind(("127.0.0.1", 0))
            port = one.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        place = urllib.parse.urlsplit(target)
        (folder / "rules.json").write_text(json.dumps({"groups": [{**group, "interval": SCRAPE} for group in RULES]}))
        scrape = {
            "job_name": "router",
            "metrics_path": place.path,
            "static_configs": [{"targets": [place.netloc]}],
        }
        config = {
            "global": {"scrape_interval": SCRAPE, "scrape_timeout": SCRAPE, "evaluation_interval": SCRAPE},
            "rule_files": ["rules.json"],
            "scrape_configs": [
                scrape,
                # the fleet's own, to which every kind of scraper adds the pool; and GKE's on the same nodes
                {"job_name": "gpus", "static_configs": [{"targets": [exporter], "labels": {"pool": "t4"}}]},
                {"job_name": "googles", "static_configs": [{"targets": [exporter]}]},
            ],
        }
        (folder / "prometheus.yml").write_text(json.dumps(config))
        self._log = (folder / "log").open("wb")
        self._process = subprocess.Popen(
            [program, f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data",
             f"--web.listen-address=127.0.0.1:{port}"],
            stdout=self._log, stderr=self._log,
        )  # fmt: skip

    def close(self) -> None:
        self._process.terminate()
        self._process.wait(20)
        self._log.close()

    def query(self, expression: str) -> list[Any]:
        try:
            answer = get(f"{self.url}/api/v1/query?{urllib.parse.urlencode({'query': expression})}")
        except OSError:
            return []
        return list(json.loads(answer)["data"]["result"])

    def alerts(self) -> list[str]:
        return [one["labels"]["alertname"] for one in json.loads(get(f"{self.url}/api/v1/alerts"))["data"]["alerts"]]


@pytest.fixture(scope="module")
def fleet(envoy: Path) -> Iterator[Target]:  # noqa: F811
    del envoy
    with LocalFleet("dev") as target:
        yield target


@pytest.fixture(scope="module")
def watched(prometheus: str, fleet: Target, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """It has seen a fleet under load: every model asked over and over, by a process of its own."""
    models = [name for name, entry in read(ROOT, "dev").fleet["models"].items() if "embed" not in name]  # type: ignore[index,attr-defined]
    with exporting(DCGM.read_bytes()) as exporter:
        found = Prometheus(prometheus, tmp_path_factory.mktemp("prometheus"), fleet.metrics, exporter)
        load = subprocess.Popen([sys.executable, "-c", ASKING, fleet.url, fleet.key, *models])
        try:
            yield found
        finally:
            load.terminate()
            load.wait(20)
            found.close()


ASKING = """
import itertools, json, sys, urllib.request
url, key, *models = sys.argv[1:]
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
for model in itertools.cycle(models):
    body = {"model": model, "messages": [{"role": "user", "content": "hi"}], "options": {"num_predict": 3}}
    asked = urllib.request.Request(url + "/api/chat", json.dumps(body).encode(), {"x-api-key": key})
    opener.open(asked, timeout=60).read()
"""

QUERIES = [
    (file, panel["title"], target["expr"])
    for file, text in dashboards().items()
    for panel in json.loads(text)["panels"]
    for target in panel["targets"]
]
RECORDS = [rule["record"] for group in RULES for rule in group["rules"] if "record" in rule]


def data(found: list[Any]) -> bool:
    return bool(found) and all(math.isfinite(float(one["value"][1])) for one in found)


def waited(prometheus: Prometheus, expression: str) -> list[Any]:
    end = time.monotonic() + PATIENCE
    while not data(found := prometheus.query(expression)) and time.monotonic() < end:
        time.sleep(0.3)
    return found


@pytest.mark.parametrize(("file", "title", "expression"), QUERIES, ids=[f"{q[0]} {q[1]}" for q in QUERIES])
def test_every_query_of_every_panel_is_answered_with_data(
    watched: Prometheus, file: str, title: str, expression: str
) -> None:
    asked = expression.replace("$__rate_interval", WINDOW).replace("$model", MODEL)
    assert "$" not in asked, (file, title)
    assert data(waited(watched, asked)), (file, title, asked)


def test_the_gpus_are_those_of_the_fleets_own_exporters_alone(watched: Prometheus) -> None:
    """GKE may have one of its own on the same nodes, which says no pool."""
    panels = {panel["title"]: panel for panel in json.loads(dashboards()["gpus.json"])["panels"]}

    def shown(title: str) -> list[float]:
        found = waited(watched, panels[title]["targets"][0]["expr"])
        assert {one["metric"]["pool"] for one in found} == {"t4"}
        return sorted(float(one["value"][1]) for one in found)

    assert shown("Use by pool") == [31]
    assert shown("Use by GPU") == [0, 62]
    assert shown("Memory used by pool") == pytest.approx([11673 / (2 * 14930)])
    assert shown("Memory used by GPU") == [0, 11673 * 2**20]
    assert shown("Temperature, hottest of a pool") == [71]
    assert shown("Power by pool") == [76]


def test_the_exporter_is_asked_for_each_figure_that_is_shown_and_for_no_other() -> None:
    lines = [line.split(", ") for line in counters().splitlines()]
    assert {kind for _, kind, _ in lines} == {"gauge"}
    names = {name for name, _, _ in lines}
    assert set(re.findall(r"DCGM_[A-Z_]+", dashboards()["gpus.json"])) == names
    assert {line.split("{")[0] for line in DCGM.read_text().splitlines() if not line.startswith("#")} == names


# of a fleet without an error there is no share of errors; tests/monitoring/test_rules.py has one with
@pytest.mark.parametrize("record", sorted(set(RECORDS) - {"ollama_fleet:errors:ratio5m"}))
def test_every_recording_rule_records(watched: Prometheus, record: str) -> None:
    assert data(waited(watched, record))


def test_a_healthy_fleet_under_load_hears_no_alert(watched: Prometheus) -> None:
    assert waited(watched, "ollama_fleet:pool_replicas")
    assert watched.alerts() == []


def test_the_variable_of_the_models_dashboard_has_its_models(watched: Prometheus) -> None:
    (model,) = [one for one in json.loads(dashboards()["model.json"])["templating"]["list"] if one["name"] == "model"]
    assert model["query"]["query"] == 'label_values(envoy_fleet_requests{model!=""}, model)'
    assert {one["metric"]["model"] for one in waited(watched, 'envoy_fleet_requests{model!=""}')} >= {MODEL}


def test_panels_stand_beside_each_other_and_never_on_one_another() -> None:
    for text in dashboards().values():
        panels = json.loads(text)["panels"]
        places = [(one["gridPos"]["x"], one["gridPos"]["y"]) for one in panels]
        assert len(set(places)) == len(places)
        assert all(one["gridPos"]["x"] + one["gridPos"]["w"] <= 24 for one in panels)
        assert len({one["id"] for one in panels}) == len(panels)


def test_they_can_be_written_to_a_folder_to_import(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "monitoring"]
    done = subprocess.run([*command, str(tmp_path / "out")], cwd=ROOT, capture_output=True, text=True, check=True)
    assert {Path(line).name: Path(line).read_text() for line in done.stdout.splitlines()} == dashboards()
    for wrong in ([], ["/dev/null/x"], ["--help"]):
        refused = subprocess.run([*command, *wrong], cwd=ROOT, capture_output=True, text=True, check=False)
        assert refused.returncode == 2
        assert "Traceback" not in refused.stderr
