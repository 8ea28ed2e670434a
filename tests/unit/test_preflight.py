"""`fleet preflight` against a double of Google Cloud, and the adapter against doubles of Google's own clients."""

import copy
import importlib
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import create_autospec

import pytest

from infra.__main__ import main
from infra.catalogue import load
from infra.commands import google_cloud, preflight
from infra.config import FleetConfig, parse
from infra.plan.build import build
from infra.plan.model import FleetPlan
from infra.preflight.checks import BOOTSTRAP_APIS, check
from infra.preflight.model import Finding, Limit, RefusedError, State
from tests.unit.conftest import GOOD

ROOT = Path(__file__).parents[2]


class Double:
    """A project in which all is well, until a test says otherwise."""

    def __init__(self, **answers: Any) -> None:
        self.answers = answers

    def _say(self, name: str, usual: Any) -> Any:
        found = self.answers.get(name, usual)
        if isinstance(found, Exception):
            raise found
        return found

    def project_is_active(self, project: str) -> bool:
        return bool(self._say("project", project == "example-project"))

    def billing_is_on(self, _project: str) -> bool:
        return bool(self._say("billing", True))

    def enabled_apis(self, _project: str) -> frozenset[str]:
        return frozenset(self._say("apis", BOOTSTRAP_APIS))

    def quotas(self, _project: str, region: str) -> Mapping[tuple[str, str], Limit]:
        usual = {
            ("NVIDIA_T4_GPUS", region): Limit(limit=8, usage=0),
            ("PREEMPTIBLE_NVIDIA_A100_GPUS", region): Limit(limit=8, usage=0),
            ("GPUS_ALL_REGIONS", "global"): Limit(limit=8, usage=0),
        }
        found: Mapping[tuple[str, str], Limit] = self._say("quotas", usual)
        return found

    def zones_with(self, _project: str, _accelerator: str) -> frozenset[str]:
        return frozenset(self._say("zones", {"us-central1-a", "us-central1-c"}))

    def machine_zones(self, _project: str, _machine_type: str) -> frozenset[str]:
        return frozenset(self._say("machines", {"us-central1-a", "us-central1-b", "us-central1-c"}))

    def nat_of(self, project: str, region: str, network: str) -> bool:
        assert (project, region, network) == ("host", "us-central1", "shared")
        return bool(self._say("nat", True))

    def channel_version(self, _project: str, _location: str, channel: str) -> str | None:
        found: str | None = self._say("channel", f"1.34-{channel}")
        return found

    def gpu_price(self, _region: str, words: tuple[str, ...], *, spot: bool) -> float | None:
        gpus = load().prices["us-central1"].gpus
        (known,) = [
            gpus[name] for name, gpu in load().gpus.items() if tuple(gpu.title.split()) == words and name in gpus
        ]
        found: float | None = self._say("price", known.spot if spot else known.on_demand)
        return found


def plan_of(fleet: Any) -> FleetPlan:
    parsed = parse(fleet)
    return build(parsed.config or FleetConfig(), stack="dev", project="example-project", problems=parsed.problems)


def findings(double: Double, fleet: Any = GOOD, *, missing: str = "") -> dict[str, Finding]:
    found = list(
        check(plan_of(fleet), load(), lambda: double, lambda name: None if name == missing else f"/bin/{name}")
    )
    assert len({one.subject for one in found}) == len(found)
    assert all(one.remedy for one in found if one.state in (State.MISSING, State.DOUBT))
    return {one.subject: one for one in found}


def test_where_all_is_well_only_what_no_api_tells_is_open() -> None:
    found = findings(Double())
    assert {name for name, one in found.items() if one.state is not State.OK} == {"stock", "drivers"}
    assert {"quota NVIDIA_T4_GPUS", "zones of t4", "zones of a100", "release channel", "price of T4"} <= set(found)


@pytest.mark.parametrize("name", ["pulumi", "gcloud", "gke-gcloud-auth-plugin"])
def test_a_program_that_is_missing_is_named_with_its_source(name: str) -> None:
    assert findings(Double(), missing=name)[name].state is (State.DOUBT if name == "gcloud" else State.MISSING)


@pytest.mark.parametrize(
    ("answers", "subject", "state", "says"),
    [
        ({"project": False}, "project", State.MISSING, "not active"),
        ({"billing": False}, "billing", State.MISSING, "billing"),
        ({"apis": ()}, "APIs", State.MISSING, "gcloud services enable serviceusage"),
        ({"quotas": {}}, "quota GPUS_ALL_REGIONS", State.UNKNOWN, "ask for 3"),
        ({"machines": {"us-central1-a"}}, "zones of t4", State.MISSING, "zones: [us-central1-a]"),
        ({"zones": set()}, "zones of t4", State.MISSING, "another location"),
        ({"channel": None}, "release channel", State.MISSING, "no channel regular"),
        ({"price": 9.0}, "price of T4", State.DOUBT, "$9.0000 an hour now"),
        ({"price": None}, "price of T4", State.UNKNOWN, "not found"),
        ({"billing": RefusedError("403 no permission")}, "billing", State.DOUBT, "403 no permission"),
    ],
)
def test_it_finds(answers: dict[str, Any], subject: str, state: State, says: str) -> None:
    one = findings(Double(**answers))[subject]
    assert one.state is state
    if subject != "APIs":
        assert says in f"{one.message} {one.remedy}"


@pytest.mark.parametrize(
    ("limit", "usage", "state"), [(1, 0, State.MISSING), (2, 0, State.OK), (2, 1, State.DOUBT), (9, 7, State.OK)]
)
def test_a_quota_is_held_against_what_the_plan_needs_at_its_maximum(limit: float, usage: float, state: State) -> None:
    quotas = {("NVIDIA_T4_GPUS", "us-central1"): Limit(limit=limit, usage=usage)}
    assert findings(Double(quotas=quotas))["quota NVIDIA_T4_GPUS"].state is state


def test_an_unanswered_question_stops_no_other() -> None:
    refused = dict.fromkeys(
        ["project", "billing", "apis", "quotas", "machines", "channel", "price"], RefusedError("no")
    )
    found = findings(Double(**refused))
    unanswered = {"project", "billing", "APIs", "quotas", "zones", "release channel", "prices"}
    # whoever is about to run `up` should know of each, with what to do
    assert unanswered == {name for name, one in found.items() if one.state is State.DOUBT}
    assert all(found[name].remedy for name in unanswered)


def test_an_empty_answer_is_no_crash_and_never_taken_for_yes() -> None:
    found = findings(Double(quotas={}, zones=(), machines=(), channel=None, price=None, apis=()))
    states = {name: one.state for name, one in found.items() if one.state is not State.OK}
    assert {states[name] for name in ("zones of t4", "zones of a100", "release channel", "APIs")} == {State.MISSING}
    assert {states[name] for name in ("quota NVIDIA_T4_GPUS", "price of T4")} == {State.UNKNOWN}


def test_the_nat_is_asked_for_on_a_network_that_others_made() -> None:
    fleet = copy.deepcopy(GOOD)
    fleet["gke"]["network"] = {"vpc": "host/shared", "subnet": "gpu", "pods": "pods", "services": "services"}
    assert findings(Double(), fleet)["NAT"].state is State.OK
    assert findings(Double(nat=False), fleet)["NAT"].state is State.MISSING
    assert "NAT" not in findings(Double())


def test_the_plan_lists_every_quota_by_googles_name() -> None:
    assert [(one.name, one.where, one.needed) for one in plan_of(GOOD).quotas] == [
        ("GPUS_ALL_REGIONS", "global", 3),
        ("NVIDIA_T4_GPUS", "us-central1", 2),
        ("PREEMPTIBLE_NVIDIA_A100_GPUS", "us-central1", 1),
    ]


# the command


@pytest.mark.parametrize(("answers", "status"), [({}, 0), ({"billing": False}, 1), ({"price": 9.0}, 0)])
def test_the_exit_status_is_1_where_up_would_fail(
    answers: dict[str, Any], status: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(preflight, "cloud", lambda: Double(**answers))
    monkeypatch.setattr(shutil, "which", lambda name: f"/bin/{name}")
    assert main(["preflight", "--stack", "dev", "--cwd", str(ROOT)]) == status
    out = capsys.readouterr().out
    assert out.splitlines()[-1].startswith(f"{status} missing")


@pytest.mark.parametrize(("answers", "allowed"), [({}, True), ({"price": 9.0}, True), ({"billing": False}, False)])
def test_up_begins_only_where_nothing_is_missing(
    answers: dict[str, Any], allowed: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(preflight, "cloud", lambda: Double(**answers))
    monkeypatch.setattr(shutil, "which", lambda name: f"/bin/{name}")
    assert preflight.allows(plan_of(GOOD)) is allowed
    shown = capsys.readouterr()
    assert shown.out == ""
    assert bool(shown.err) == bool(answers)


def test_a_fleet_at_home_asks_nobody(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "cloud", lambda: pytest.fail("asked"))
    assert main(["preflight", "--stack", "home", "--cwd", str(ROOT / "examples")]) == 0
    assert "no cluster" in capsys.readouterr().out


def test_without_the_clients_it_says_how_to_get_them(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ["google.api_core", "google.api_core.exceptions"]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setattr(shutil, "which", lambda name: None if name == "gke-gcloud-auth-plugin" else f"/bin/{name}")
    assert main(["preflight", "--stack", "dev", "--cwd", str(ROOT)]) == 2
    shown = capsys.readouterr()
    assert "requirements-preflight.txt" in shown.err
    # and what is known without them
    assert "gke-gcloud-auth-plugin: it is not on PATH" in shown.out


# the adapter, against the official clients' own classes

CLIENTS = {
    "google.cloud.resourcemanager_v3": ["ProjectsClient"],
    "google.cloud.billing_v1": ["CloudBillingClient", "CloudCatalogClient"],
    "google.cloud.service_usage_v1": ["ServiceUsageClient"],
    "google.cloud.container_v1": ["ClusterManagerClient"],
    "google.cloud.compute_v1": [
        "RegionsClient",
        "ProjectsClient",
        "AcceleratorTypesClient",
        "MachineTypesClient",
        "RoutersClient",
    ],
}


def official(name: str) -> Any:
    """A module of Google's."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError:
        # never in the environment of the other tests: its google.rpc.Status and Pulumi's are one name in one process
        pytest.skip("pip install -r requirements-preflight.txt, in an environment of its own")


@pytest.fixture
def clients(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Doubles with the signatures of the real clients, by class; the messages are the real ones."""
    made: dict[str, Any] = {}
    for module_name, names in CLIENTS.items():
        module = official(module_name)
        for name in names:
            double = create_autospec(getattr(module, name), instance=True)
            made[f"{module_name.rsplit('.', 1)[1]}.{name}"] = double
            monkeypatch.setattr(module, name, lambda double=double: double)
    auth = official("google.auth")
    monkeypatch.setattr(auth, "default", lambda: (None, "example-project"))
    return made


def test_the_adapter_asks_the_official_clients_in_their_own_terms(clients: dict[str, Any]) -> None:
    from google.cloud import billing_v1, compute_v1, container_v1, resourcemanager_v3, service_usage_v1

    cloud = google_cloud.GoogleCloud()
    clients["resourcemanager_v3.ProjectsClient"].get_project.return_value = resourcemanager_v3.Project(
        state=resourcemanager_v3.Project.State.ACTIVE
    )
    assert cloud.project_is_active("p")
    clients["billing_v1.CloudBillingClient"].get_project_billing_info.return_value = billing_v1.ProjectBillingInfo(
        billing_enabled=True
    )
    assert cloud.billing_is_on("p")
    service = service_usage_v1.Service(config=service_usage_v1.ServiceConfig(name="container.googleapis.com"))
    clients["service_usage_v1.ServiceUsageClient"].list_services.return_value = [service]
    assert cloud.enabled_apis("p") == {"container.googleapis.com"}
    quota = compute_v1.Quota(metric="NVIDIA_T4_GPUS", limit=4, usage=1)
    clients["compute_v1.RegionsClient"].get.return_value = compute_v1.Region(quotas=[quota])
    everywhere = compute_v1.Quota(metric="GPUS_ALL_REGIONS", limit=1, usage=0)
    clients["compute_v1.ProjectsClient"].get.return_value = compute_v1.Project(quotas=[everywhere])
    assert {key: one.free for key, one in cloud.quotas("p", "r").items()} == {
        ("NVIDIA_T4_GPUS", "r"): 3,
        ("GPUS_ALL_REGIONS", "global"): 1,
    }
    there = compute_v1.AcceleratorTypesScopedList(accelerator_types=[compute_v1.AcceleratorType(name="t4")])
    nowhere = compute_v1.AcceleratorTypesScopedList()
    answer = [("zones/us-central1-a", there), ("zones/us-central1-b", nowhere)]
    clients["compute_v1.AcceleratorTypesClient"].aggregated_list.return_value = answer
    assert cloud.zones_with("p", "t4") == {"us-central1-a"}
    machines = compute_v1.MachineTypesScopedList(machine_types=[compute_v1.MachineType(name="n1")])
    clients["compute_v1.MachineTypesClient"].aggregated_list.return_value = [("zones/us-central1-b", machines)]
    assert cloud.machine_zones("p", "n1") == {"us-central1-b"}
    nat = compute_v1.Router(network="https://x/networks/shared", nats=[compute_v1.RouterNat(name="nat")])
    clients["compute_v1.RoutersClient"].list.return_value = [nat]
    assert cloud.nat_of("p", "r", "shared")
    assert not cloud.nat_of("p", "r", "other")
    channel = container_v1.ServerConfig.ReleaseChannelConfig(channel="REGULAR", default_version="1.34.1")
    clients["container_v1.ClusterManagerClient"].get_server_config.return_value = container_v1.ServerConfig(
        channels=[channel]
    )
    assert cloud.channel_version("p", "l", "regular") == "1.34.1"
    assert cloud.channel_version("p", "l", "rapid") is None


def sku(description: str, nanos: int, *, usage: str = "OnDemand", group: str = "GPU") -> Any:
    price = SimpleNamespace(unit_price=SimpleNamespace(units=0, nanos=nanos))
    expression = SimpleNamespace(tiered_rates=[price])
    return SimpleNamespace(
        description=description,
        category=SimpleNamespace(resource_group=group, usage_type=usage),
        service_regions=["us-central1"],
        pricing_info=[SimpleNamespace(pricing_expression=expression)],
    )


def test_a_price_is_taken_only_where_one_entry_of_the_catalogue_is_meant(clients: dict[str, Any]) -> None:
    clients["billing_v1.CloudCatalogClient"].list_skus.return_value = [
        sku("Nvidia Tesla T4 GPU running in Americas", 350_000_000),
        sku(
            "Nvidia Tesla T4 GPU attached to Spot Preemptible VMs running in Americas", 100_000_000, usage="Preemptible"
        ),
        sku("Commitment v1: Nvidia Tesla T4 GPU running in Americas", 1),
        sku("Nvidia Tesla A100 GPU running in Americas", 2_900_000_000),
        sku("Nvidia Tesla A100 80GB GPU running in Americas", 3_900_000_000),
        sku("N1 Predefined Instance Core", 1, group="N1Standard"),
        sku("Nvidia L4 GPU running in Americas", 100_000_000),
        sku("Nvidia L4 GPU in another form", 200_000_000),
    ]
    cloud = google_cloud.GoogleCloud()
    assert cloud.gpu_price("us-central1", ("T4",), spot=False) == 0.35
    assert cloud.gpu_price("us-central1", ("T4",), spot=True) == 0.1
    assert cloud.gpu_price("us-central1", ("A100",), spot=False) == 2.9
    assert cloud.gpu_price("us-central1", ("A100", "80GB"), spot=False) == 3.9
    assert cloud.gpu_price("us-central1", ("L4",), spot=False) is None
    assert cloud.gpu_price("europe-west4", ("T4",), spot=False) is None


def test_googles_refusal_becomes_a_finding_and_missing_credentials_an_error(
    clients: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from google.api_core.exceptions import PermissionDenied
    from google.auth.exceptions import DefaultCredentialsError

    cloud = google_cloud.GoogleCloud()
    clients["resourcemanager_v3.ProjectsClient"].get_project.side_effect = PermissionDenied("you may not\nsecond line")
    with pytest.raises(RefusedError, match=r"^you may not$"):
        cloud.project_is_active("p")
    patience = clients["resourcemanager_v3.ProjectsClient"].get_project.call_args.kwargs
    # without its own, a client goes on asking for ten minutes
    assert patience["retry"].timeout == patience["timeout"] == google_cloud.PATIENCE_SECONDS < 60

    def nobody() -> Any:
        raise DefaultCredentialsError

    monkeypatch.setattr("google.auth.default", nobody)
    with pytest.raises(google_cloud.UnreadableError, match="Google has none of you"):
        google_cloud.GoogleCloud()


@pytest.mark.parametrize(
    ("module", "failure", "remedy"),
    [
        ("google.api_core.exceptions", "Forbidden", "may view it"),
        ("google.api_core.exceptions", "NotFound", "gke.location"),
        ("google.api_core.exceptions", "BadRequest", "gke.location"),
        ("google.api_core.exceptions", "TooManyRequests", "again in a minute"),
        ("google.api_core.exceptions", "ServiceUnavailable", "again in a minute"),
        ("google.api_core.exceptions", "DeadlineExceeded", "again in a minute"),
        ("requests", "ReadTimeout", "again in a minute"),
        ("requests", "ConnectionError", "again in a minute"),
        ("google.auth.exceptions", "RefreshError", "application-default login"),
        ("google.auth.exceptions", "TransportError", "application-default login"),
        ("google.protobuf.json_format", "ParseError", "HTTPS_PROXY"),
    ],
)
def test_whatever_the_clients_raise_is_a_refusal_with_a_remedy_and_no_traceback(
    clients: dict[str, Any], module: str, failure: str, remedy: str
) -> None:
    raised = getattr(importlib.import_module(module), failure)("no\nmore")
    cloud = google_cloud.GoogleCloud()
    for client, method in (
        ("resourcemanager_v3.ProjectsClient", "get_project"),
        ("compute_v1.RegionsClient", "get"),
        ("compute_v1.MachineTypesClient", "aggregated_list"),
        ("compute_v1.AcceleratorTypesClient", "aggregated_list"),
        ("compute_v1.RoutersClient", "list"),
        ("billing_v1.CloudBillingClient", "get_project_billing_info"),
        ("billing_v1.CloudCatalogClient", "list_skus"),
        ("service_usage_v1.ServiceUsageClient", "list_services"),
        ("container_v1.ClusterManagerClient", "get_server_config"),
    ):
        getattr(clients[client], method).side_effect = raised
    for question in (
        lambda: cloud.project_is_active("p"),
        lambda: cloud.billing_is_on("p"),
        lambda: cloud.enabled_apis("p"),
        lambda: cloud.quotas("p", "r"),
        lambda: cloud.zones_with("p", "t4"),
        lambda: cloud.machine_zones("p", "n1"),
        lambda: cloud.nat_of("p", "r", "n"),
        lambda: cloud.channel_version("p", "l", "regular"),
        lambda: cloud.gpu_price("r", ("T4",), spot=False),
    ):
        with pytest.raises(RefusedError, match=r"no$") as refused:
            question()
        assert remedy in refused.value.remedy
