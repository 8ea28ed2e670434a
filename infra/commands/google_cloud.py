"""Google Cloud through its official clients, which come with requirements-preflight.txt."""

# an extra: whoever never asks Google does not install them, so the type checker knows nothing of them

import importlib
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, wraps
from itertools import islice
from typing import Any, ParamSpec, TypeVar

from infra.preflight.model import Cloud, Limit, RefusedError
from infra.problem import error
from infra.stack import UnreadableError

REMEDY = ".venv/bin/pip install -r requirements-preflight.txt"
COMPUTE_SERVICE = "services/6F81-5844-456A"
"""Compute Engine in the catalogue: https://docs.cloud.google.com/billing/v1/how-tos/catalog-api, 2026-11-21."""
PATIENCE_SECONDS = 20
"""For one question with all its retries: left to themselves the clients go on for ten minutes."""
MOST_SKUS = 100_000
ACTIVE = "ACTIVE"
LOGIN = "gcloud auth application-default login"

P = ParamSpec("P")
T = TypeVar("T")


def _asks(question: Callable[P, T]) -> Callable[P, T]:
    """Whatever the clients raise becomes Google's refusal, with what to do about it."""

    @wraps(question)
    def asked(*args: P.args, **kwargs: P.kwargs) -> T:
        api, auth = _module("google.api_core.exceptions"), _module("google.auth.exceptions")
        requests, json_format = _module("requests"), _module("google.protobuf.json_format")
        try:
            return question(*args, **kwargs)
        except (api.NotFound, api.BadRequest) as failure:
            raise RefusedError(_reason(failure), "check the names in the file: gcp:project, gke.location") from None
        except auth.GoogleAuthError as failure:
            raise RefusedError(_reason(failure), LOGIN) from None
        except (api.RetryError, api.ServerError, api.TooManyRequests, requests.RequestException) as failure:
            raise RefusedError(_reason(failure), "run this again in a minute; check network and HTTPS_PROXY") from None
        except json_format.Error as failure:
            # a proxy's page, or nothing
            raise RefusedError(_reason(failure), "see what stands between here and Google: HTTPS_PROXY") from None
        except api.GoogleAPIError as failure:
            raise RefusedError(_reason(failure)) from None

    return asked


def _reason(failure: Exception) -> str:
    text = str(getattr(failure, "message", "") or failure)
    return next(iter(text.splitlines()), "no reason given")[:300]


class GoogleCloud(Cloud):
    """Asks with the application default credentials. Raises UnreadableError without clients or credentials."""

    def __init__(self) -> None:
        retry = _module("google.api_core.retry").Retry(timeout=PATIENCE_SECONDS)
        self._patience = {"timeout": PATIENCE_SECONDS, "retry": retry}
        auth = _module("google.auth")
        try:
            auth.default()
        except auth.exceptions.GoogleAuthError as failure:
            raise UnreadableError(error("credentials", f"Google has none of you: {_reason(failure)}", LOGIN)) from None

    @_asks
    def project_is_active(self, project: str) -> bool:
        """Whether the project exists and is not being deleted."""
        client = _module("google.cloud.resourcemanager_v3").ProjectsClient()
        found = client.get_project(name=f"projects/{project}", **self._patience)
        return bool(found.state.name == ACTIVE)

    @_asks
    def billing_is_on(self, project: str) -> bool:
        """Whether somebody pays for it."""
        client = _module("google.cloud.billing_v1").CloudBillingClient()
        found = client.get_project_billing_info(name=f"projects/{project}", **self._patience)
        return bool(found.billing_enabled)

    @_asks
    def enabled_apis(self, project: str) -> frozenset[str]:
        """The names of the APIs that are on."""
        module = _module("google.cloud.service_usage_v1")
        request = module.ListServicesRequest(parent=f"projects/{project}", filter="state:ENABLED", page_size=200)
        client = module.ServiceUsageClient()
        return frozenset(one.config.name for one in client.list_services(request, **self._patience))

    @_asks
    def quotas(self, project: str, region: str) -> Mapping[tuple[str, str], Limit]:
        """Limits of the region and of the whole project, by Google's own names."""
        regional = self._compute.RegionsClient()
        whole = self._compute.ProjectsClient()
        here = regional.get(project=project, region=region, **self._patience)
        everywhere = whole.get(project=project, **self._patience)
        return {
            (quota.metric, where): Limit(limit=quota.limit, usage=quota.usage)
            for where, found in ((region, here), ("global", everywhere))
            for quota in found.quotas
        }

    @_asks
    def zones_with(self, project: str, accelerator: str) -> frozenset[str]:
        """The zones that know an accelerator type."""
        request = self._compute.AggregatedListAcceleratorTypesRequest(project=project, filter=f'name = "{accelerator}"')
        return self._zones(self._compute.AcceleratorTypesClient(), request, "accelerator_types")

    @_asks
    def machine_zones(self, project: str, machine_type: str) -> frozenset[str]:
        """The zones that know a machine type."""
        request = self._compute.AggregatedListMachineTypesRequest(project=project, filter=f'name = "{machine_type}"')
        return self._zones(self._compute.MachineTypesClient(), request, "machine_types")

    @_asks
    def nat_of(self, project: str, region: str, network: str) -> bool:
        """Whether any Cloud Router of that network and region has a NAT."""
        client = self._compute.RoutersClient()
        routers = client.list(project=project, region=region, **self._patience)
        return any(one.network.rpartition("/")[2] == network and len(one.nats) > 0 for one in routers)

    @_asks
    def channel_version(self, project: str, location: str, channel: str) -> str | None:
        """The default GKE version of a release channel."""
        client = _module("google.cloud.container_v1").ClusterManagerClient()
        name = f"projects/{project}/locations/{location}"
        found = client.get_server_config(name=name, **self._patience)
        versions = {one.channel.name.lower(): one.default_version for one in found.channels}
        return versions.get(channel.lower()) or None

    @_asks
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
        skus = islice(client.list_skus(request, **self._patience), MOST_SKUS)
        return [sku for sku in skus if sku.category.resource_group == "GPU" and _rates(sku)]

    def _zones(self, client: Any, request: Any, of: str) -> frozenset[str]:
        listed = client.aggregated_list(request, **self._patience)
        return frozenset(scope.removeprefix("zones/") for scope, inside in listed if len(getattr(inside, of)) > 0)


def _rates(sku: Any) -> Sequence[Any]:
    rates: Sequence[Any] = sku.pricing_info[-1].pricing_expression.tiered_rates if sku.pricing_info else ()
    return rates


def _hourly(sku: Any) -> float:
    """USD of the last tier: GPUs have one, and a free one before it would be zero."""
    price = _rates(sku)[-1].unit_price
    return round(float(price.units) + float(price.nanos) / 1e9, 6)


def _module(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        raise UnreadableError(error("fleet preflight", "Google's clients are not installed", REMEDY)) from None
