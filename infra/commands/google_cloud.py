"""Google Cloud through its official clients, which come with requirements-preflight.txt."""

# an extra: whoever never asks Google does not install them, so the type checker knows nothing of them

import importlib
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any, TypeVar

from infra.preflight.model import Cloud, Limit, RefusedError
from infra.problem import error
from infra.stack import UnreadableError

REMEDY = ".venv/bin/pip install -r requirements-preflight.txt"
COMPUTE_SERVICE = "services/6F81-5844-456A"
"""Compute Engine in the catalogue: https://docs.cloud.google.com/billing/v1/how-tos/catalog-api, 2026-11-21."""
PATIENCE_SECONDS = 60
MOST_SKUS = 100_000
ACTIVE = "ACTIVE"

T = TypeVar("T")


class GoogleCloud(Cloud):
    """Asks with the application default credentials. Raises UnreadableError without clients or credentials."""

    def __init__(self) -> None:
        self._errors = (_module("google.api_core.exceptions").GoogleAPIError,)
        auth = _module("google.auth")
        try:
            auth.default()
        except auth.exceptions.DefaultCredentialsError:
            raise UnreadableError(
                error("credentials", "Google has none of you", "gcloud auth application-default login")
            ) from None

    def project_is_active(self, project: str) -> bool:
        """Whether the project exists and is not being deleted."""
        client = _module("google.cloud.resourcemanager_v3").ProjectsClient()
        found = self._ask(lambda: client.get_project(name=f"projects/{project}", timeout=PATIENCE_SECONDS))
        return bool(found.state.name == ACTIVE)

    def billing_is_on(self, project: str) -> bool:
        """Whether somebody pays for it."""
        client = _module("google.cloud.billing_v1").CloudBillingClient()
        found = self._ask(lambda: client.get_project_billing_info(name=f"projects/{project}", timeout=PATIENCE_SECONDS))
        return bool(found.billing_enabled)

    def enabled_apis(self, project: str) -> frozenset[str]:
        """The names of the APIs that are on."""
        module = _module("google.cloud.service_usage_v1")
        request = module.ListServicesRequest(parent=f"projects/{project}", filter="state:ENABLED", page_size=200)
        client = module.ServiceUsageClient()
        return self._ask(
            lambda: frozenset(one.config.name for one in client.list_services(request, timeout=PATIENCE_SECONDS))
        )

    def quotas(self, project: str, region: str) -> Mapping[tuple[str, str], Limit]:
        """Limits of the region and of the whole project, by Google's own names."""
        regional = self._compute.RegionsClient()
        whole = self._compute.ProjectsClient()
        here = self._ask(lambda: regional.get(project=project, region=region, timeout=PATIENCE_SECONDS))
        everywhere = self._ask(lambda: whole.get(project=project, timeout=PATIENCE_SECONDS))
        return {
            (quota.metric, where): Limit(limit=quota.limit, usage=quota.usage)
            for where, found in ((region, here), ("global", everywhere))
            for quota in found.quotas
        }

    def zones_with(self, project: str, accelerator: str) -> frozenset[str]:
        """The zones that know an accelerator type."""
        request = self._compute.AggregatedListAcceleratorTypesRequest(project=project, filter=f'name = "{accelerator}"')
        return self._zones(self._compute.AcceleratorTypesClient(), request, "accelerator_types")

    def machine_zones(self, project: str, machine_type: str) -> frozenset[str]:
        """The zones that know a machine type."""
        request = self._compute.AggregatedListMachineTypesRequest(project=project, filter=f'name = "{machine_type}"')
        return self._zones(self._compute.MachineTypesClient(), request, "machine_types")

    def nat_of(self, project: str, region: str, network: str) -> bool:
        """Whether any Cloud Router of that network and region has a NAT."""
        client = self._compute.RoutersClient()
        routers = self._ask(lambda: list(client.list(project=project, region=region, timeout=PATIENCE_SECONDS)))
        return any(one.network.rpartition("/")[2] == network and len(one.nats) > 0 for one in routers)

    def channel_version(self, project: str, location: str, channel: str) -> str | None:
        """The default GKE version of a release channel."""
        client = _module("google.cloud.container_v1").ClusterManagerClient()
        name = f"projects/{project}/locations/{location}"
        found = self._ask(lambda: client.get_server_config(name=name, timeout=PATIENCE_SECONDS))
        versions = {one.channel.name.lower(): one.default_version for one in found.channels}
        return versions.get(channel.lower()) or None

    def gpu_price(self, region: str, words: tuple[str, ...], *, spot: bool) -> float | None:
        """USD an hour of one GPU by the live catalogue; None unless exactly one entry has these words."""
        usage = "Preemptible" if spot else "OnDemand"
        wanted = {word.lower() for word in words}
        prices = set()
        for sku in self._gpu_skus:
            named = {word.lower() for word in sku.description.replace("(", " ").replace(")", " ").split()}
            # a commitment or a reservation has another price, and an A100 of 80 GB is no A100 of 40 GB
            other = {"commitment", "reserved", "dws", "calendar"} & named or ("80gb" in named) != ("80gb" in wanted)
            if region in sku.service_regions and sku.category.usage_type == usage and wanted <= named and not other:
                prices.add(_hourly(sku))
        return prices.pop() if len(prices) == 1 else None

    @cached_property
    def _compute(self) -> Any:
        return _module("google.cloud.compute_v1")

    @cached_property
    def _gpu_skus(self) -> list[Any]:
        module = _module("google.cloud.billing_v1")
        client = module.CloudCatalogClient()
        request = module.ListSkusRequest(parent=COMPUTE_SERVICE, page_size=5000)

        def all_of_them() -> list[Any]:
            found = []
            for number, sku in enumerate(client.list_skus(request, timeout=PATIENCE_SECONDS)):
                if sku.category.resource_group == "GPU":
                    found.append(sku)
                if number >= MOST_SKUS:
                    break
            return found

        return self._ask(all_of_them)

    def _zones(self, client: Any, request: Any, of: str) -> frozenset[str]:
        listed = self._ask(lambda: list(client.aggregated_list(request, timeout=PATIENCE_SECONDS)))
        return frozenset(scope.removeprefix("zones/") for scope, inside in listed if len(getattr(inside, of)) > 0)

    def _ask(self, question: Callable[[], T]) -> T:
        try:
            return question()
        except self._errors as refused:
            reason = getattr(refused, "message", "") or str(refused)
            raise RefusedError(next(iter(str(reason).splitlines()), "no reason given")[:300]) from None


def _hourly(sku: Any) -> float:
    """USD of the last tier: GPUs have one, and a free one before it would be zero."""
    price = sku.pricing_info[-1].pricing_expression.tiered_rates[-1].unit_price
    return round(float(price.units) + float(price.nanos) / 1e9, 6)


def _module(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        raise UnreadableError(error("fleet preflight", "Google's clients are not installed", REMEDY)) from None
