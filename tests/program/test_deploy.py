"""`fleet preview`, `up` and `destroy` before and after the real Pulumi, which a script on PATH stands for."""

import json
import shlex
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import tools
from infra.__main__ import main
from infra.commands import preflight
from tests.program.programs import RACK

FLEET: dict[str, Any] = {
    "gke": {"location": "us-central1-c"},
    "pools": {"t4": {"gpu": "t4"}},
    "models": {"llama3.2:3b": ["t4"]},
}
HOME: dict[str, Any] = {
    "pools": {"lab": {"gpu": "l4", "site": "lab"}},
    "models": {"llama3.1:8b": ["lab"]},
    "sites": {"lab": {"endpoints": ["https://ollama.example.org"]}, "door": {"docker": {}}},
    "router": {"site": "door"},
}
FAKE = """#!{python}
import json, os, sys
if sys.argv[1] == "version":
    print(os.environ.get("FAKE_VERSION", "v99.0.0"))
    sys.exit()
told = {{key: value for key, value in os.environ.items() if "PULUMI" in key}}
with open({log!r}, "a") as log:
    log.write(json.dumps([sys.argv[1:], told]) + "\\n")
sys.exit(int(os.environ.get("FAKE_" + sys.argv[1].upper(), "0")))
"""


@dataclass
class Machine:
    """A folder with a stack file, and a PATH with only what the test puts there."""

    folder: Path
    bin: Path
    monkeypatch: pytest.MonkeyPatch
    log: Path = field(init=False)

    def __post_init__(self) -> None:
        self.log = self.folder.parent / "calls"

    def stack(self, fleet: dict[str, Any], project: str = "my-project") -> None:
        config = {"gcp:project": project, "ollama-fleet:fleet": fleet}
        (self.folder / "Pulumi.dev.yaml").write_text(json.dumps({"config": config}))

    def has(self, program: str) -> None:
        path = self.bin / program
        path.write_text(FAKE.format(python=sys.executable, log=str(self.log)))
        path.chmod(0o755)

    def keeps_pulumi_in_the_cache(self) -> Path:
        cache = self.folder.parent / "cache"
        cache.mkdir()
        self.has("pulumi")
        found = (self.bin / "pulumi").rename(cache / "pulumi")
        self.monkeypatch.setattr(tools, "find", lambda _name: found)
        return found

    def fails(self, command: str, status: int = 255) -> None:
        self.monkeypatch.setenv(f"FAKE_{command.upper()}", str(status))

    def fleet(self, line: str) -> int:
        return main([*shlex.split(line), "--cwd", str(self.folder)])

    @property
    def calls(self) -> list[tuple[list[str], dict[str, str]]]:
        return [json.loads(line) for line in self.log.read_text().splitlines()] if self.log.exists() else []

    @property
    def asked(self) -> list[str]:
        return [call[0] for call, _ in self.calls]


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    (tmp_path / "project").mkdir()
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    for name in ("PULUMI_BACKEND_URL", "PULUMI_K8S_DELETE_UNREACHABLE", "STACK"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    # nobody asks Google from here, whatever is installed
    monkeypatch.setitem(sys.modules, "google.api_core.exceptions", None)
    made = Machine(tmp_path / "project", tmp_path / "bin", monkeypatch)
    made.stack(FLEET)
    (made.folder / "Pulumi.yaml").touch()
    return made


@pytest.fixture
def ready(machine: Machine) -> Machine:
    machine.has("pulumi")
    machine.has("gke-gcloud-auth-plugin")
    return machine


@pytest.mark.parametrize(
    ("operation", "status", "runs"), [("up", 1, False), ("preview", 0, True), ("destroy", 0, True)]
)
def test_what_preflight_misses_stops_up_alone(ready: Machine, operation: str, status: int, runs: bool) -> None:
    ready.monkeypatch.setattr(preflight, "allows", lambda _plan: False)
    assert ready.fleet(operation) == status
    assert (f'["{operation}"' in ready.log.read_text()) is runs


def test_without_googles_clients_up_says_what_it_left_out(ready: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    assert ready.fleet("up") == 0
    assert "preflight left out" in capsys.readouterr().err


def one_error(capsys: pytest.CaptureFixture[str]) -> str:
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.count("error  ") == 1
    assert "Traceback" not in shown.err
    assert len(shown.err.splitlines()) == 2, shown.err
    return shown.err


@pytest.mark.parametrize("command", ["preview", "up", "destroy"])
def test_without_the_pulumi_cli_one_error_says_where_it_is_to_be_had(
    command: str, machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    assert machine.fleet(command) == 2
    error = one_error(capsys)
    assert "the Pulumi CLI is not on PATH" in error
    assert "https://www.pulumi.com/docs/install/" in error


@pytest.mark.parametrize("command", ["preview", "up", "destroy"])
def test_a_folder_that_is_no_project_is_told_before_pulumi_is_asked(
    command: str, ready: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    (ready.folder / "Pulumi.yaml").unlink()
    assert ready.fleet(command) == 2
    assert "copy Pulumi.dev.yaml beside the Pulumi.yaml" in one_error(capsys)
    assert ready.asked == []


@pytest.mark.parametrize("version", ["v3.10.0", "no version at all"])
def test_a_pulumi_that_is_too_old_is_told_before_anything_is_asked_of_it(
    machine: Machine, capsys: pytest.CaptureFixture[str], version: str
) -> None:
    machine.has("pulumi")
    machine.monkeypatch.setenv("FAKE_VERSION", version)
    assert machine.fleet("preview") == 2
    error = capsys.readouterr().err
    assert "older than" in error
    assert "pulumi.com/docs/install" in error
    assert machine.asked == []


def test_a_pulumi_that_does_not_run_is_told(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    (machine.bin / "pulumi").write_text("not a program")
    (machine.bin / "pulumi").chmod(0o755)
    assert machine.fleet("preview") == 2
    assert "does not run here" in capsys.readouterr().err


def test_a_state_folder_that_cannot_be_made_is_told(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    machine.has("pulumi")
    machine.has("gke-gcloud-auth-plugin")
    (machine.folder / ".pulumi-state").write_text("a file stands in its way")
    assert machine.fleet("preview --local-state") == 2
    assert ".pulumi-state: it cannot be used: File exists" in capsys.readouterr().err


def test_a_pulumi_that_make_tools_brought_is_used(machine: Machine) -> None:
    machine.has("gke-gcloud-auth-plugin")
    cached = machine.keeps_pulumi_in_the_cache()
    cached.with_name("pulumi-language-python").touch()
    assert machine.fleet("preview") == 0
    assert machine.asked == ["whoami", "stack", "preview"]


def test_a_pulumi_that_was_built_for_the_tests_is_told_to_be_without_its_python_host(
    machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    machine.has("gke-gcloud-auth-plugin")
    machine.keeps_pulumi_in_the_cache()
    assert machine.fleet("preview") == 2
    assert "has no pulumi-language-python" in one_error(capsys)
    assert machine.asked == []


@pytest.mark.parametrize("command", ["preview", "up"])
def test_the_placeholder_project_is_refused_before_pulumi_is_asked(
    command: str, ready: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    ready.stack(FLEET, project="example-project")
    assert ready.fleet(command) == 2
    assert "write your project's id in Pulumi.dev.yaml" in one_error(capsys)
    assert ready.asked == []


def test_without_googles_auth_plugin_one_error_says_how_to_get_it(
    machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    machine.has("pulumi")
    assert machine.fleet("up") == 2
    assert "gcloud components install gke-gcloud-auth-plugin" in one_error(capsys)
    assert machine.asked == []


def test_a_fleet_without_a_cloud_needs_no_plugin_of_google(machine: Machine) -> None:
    machine.has("pulumi")
    machine.stack(HOME, project="example-project")
    assert machine.fleet("preview") == 0


def test_without_a_login_one_error_names_both_ways(ready: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    ready.fails("whoami")
    assert ready.fleet("up") == 2
    error = one_error(capsys)
    assert "pulumi login" in error
    assert "STATE=local" in error
    assert ready.asked == ["whoami"]


def test_a_stack_that_cannot_be_selected_stops_there(ready: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    ready.fails("stack")
    assert ready.fleet("up") == 2
    assert "cannot be selected" in one_error(capsys)
    assert ready.asked == ["whoami", "stack"]


def test_a_local_state_is_a_private_folder_beside_the_stack_file(ready: Machine) -> None:
    assert ready.fleet("preview --local-state") == 0
    state = ready.folder / ".pulumi-state"
    assert state.stat().st_mode & 0o777 == 0o700
    assert {environment["PULUMI_BACKEND_URL"] for _, environment in ready.calls} == {state.as_uri()}


def test_without_that_wish_the_backend_is_the_owners(ready: Machine) -> None:
    ready.monkeypatch.setenv("PULUMI_BACKEND_URL", "gs://mine")
    assert ready.fleet("preview") == 0
    assert not (ready.folder / ".pulumi-state").exists()
    assert {environment["PULUMI_BACKEND_URL"] for _, environment in ready.calls} == {"gs://mine"}


@pytest.mark.parametrize("command", ["preview", "up"])
def test_a_plan_with_errors_stops_before_pulumi_is_asked(
    command: str, ready: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    ready.stack({**FLEET, "pools": {"t4": {"gpu": "t5"}}})
    assert ready.fleet(command) == 1
    assert "fleet.pools.t4.gpu" in capsys.readouterr().err
    assert ready.asked == []


def test_a_plan_with_errors_does_not_keep_anyone_from_destroying(ready: Machine) -> None:
    ready.stack({**FLEET, "budget": {"monthlyUsd": 1}})
    assert ready.fleet("destroy --yes") == 0
    assert ready.asked == ["whoami", "stack", "destroy"]


@pytest.mark.parametrize(
    ("line", "call"),
    [
        ("preview --yes", ["preview", "--stack", "dev"]),
        ("up", ["up", "--stack", "dev"]),
        ("up --yes", ["up", "--stack", "dev", "--yes"]),
        ("destroy --yes", ["destroy", "--stack", "dev", "--yes"]),
    ],
)
def test_pulumi_is_called_once_with_the_stack(line: str, call: list[str], ready: Machine) -> None:
    assert ready.fleet(line) == 0
    assert ready.calls[-1][0] == call


def test_destroy_says_of_sites_what_it_may_have_left_there(ready: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    ready.stack(RACK)
    assert ready.fleet("destroy --yes") == 0
    assert "did not answer keeps its objects, and nobody knows of them any more (rack)" in capsys.readouterr().out


@pytest.mark.parametrize("command", ["preview", "up", "destroy"])
def test_the_exit_status_is_pulumis_own(command: str, ready: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    ready.fails(command, 7)
    assert ready.fleet(command) == 7
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(("operation", "remedy"), [("up", "apply: manual"), ("destroy", "DELETE_UNREACHABLE=true")])
def test_a_failure_that_may_be_a_site_that_is_off_is_told_with_what_mends_it(
    operation: str, remedy: str, ready: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    ready.stack(RACK)
    ready.monkeypatch.setattr(preflight, "allows", lambda _plan: True)
    assert ready.fleet(operation) == 0
    assert "unreachable" not in capsys.readouterr().err
    ready.fails(operation)
    assert ready.fleet(operation) == 255
    said = capsys.readouterr().err
    assert "at a site (rack): the site is off, or its context or kubeconfig leads nowhere" in said
    assert remedy in said
    # without such a site it is something else
    ready.stack(FLEET)
    assert ready.fleet(operation) == 255
    assert "unreachable" not in capsys.readouterr().err


def test_destroy_ends_with_what_still_costs(ready: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    assert ready.fleet("destroy --yes") == 0
    said = capsys.readouterr().out
    assert "Nothing of this stack costs anything any more" in said
    assert "pulumi stack rm" in said


def test_destroy_says_that_an_existing_cluster_stays(ready: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    ready.stack({**FLEET, "gke": {"location": "us-central1-c", "cluster": "shared"}})
    assert ready.fleet("destroy --yes") == 0
    assert "shared was here before and stays" in capsys.readouterr().out


def test_objects_of_our_own_cluster_are_forgotten_when_it_is_gone_and_those_of_another_never(ready: Machine) -> None:
    flag = "PULUMI_K8S_DELETE_UNREACHABLE"
    assert ready.fleet("up") == 0
    assert not any(flag in environment for _, environment in ready.calls)
    assert ready.fleet("destroy --yes") == 0
    assert ready.calls[-1][1][flag] == "true"
    ready.stack({**FLEET, "gke": {"location": "us-central1-c", "cluster": "shared"}})
    assert ready.fleet("destroy --yes") == 0
    assert flag not in ready.calls[-1][1]


def test_objects_in_somebody_elses_cluster_cannot_be_destroyed_without_the_plugin(
    machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    machine.has("pulumi")
    machine.stack({**FLEET, "gke": {"location": "us-central1-c", "cluster": "shared"}})
    assert machine.fleet("destroy --yes") == 2
    assert "gke-gcloud-auth-plugin" in one_error(capsys)
