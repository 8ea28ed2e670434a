"""The adapter of `fleet preflight` against doubles of Google's own clients.

`test_preflight.py` runs this file in an environment of its own: the google.rpc.Status of the clients and that of Pulumi
are one name in one process.
"""

import importlib
from types import SimpleNamespace
from typing import Any
from unittest.mock import create_autospec

import pytest

from infra.commands import google_cloud
from infra.preflight.model import RefusedError

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


@pytest.fixture
def clients(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Doubles with the signatures of the real clients, by class; the messages are the real ones."""
    made: dict[str, Any] = {}
    for module_name, names in CLIENTS.items():
        module = importlib.import_module(module_name)
        for name in names:
            double = create_autospec(getattr(module, name), instance=True)
            made[f"{module_name.rsplit('.', 1)[1]}.{name}"] = double
            monkeypatch.setattr(module, name, lambda double=double: double)
    auth = importlib.import_module("google.auth")
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
