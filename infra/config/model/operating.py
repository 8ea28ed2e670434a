"""What stands beside servers and door: the budget, the way out, chat, metrics, a load test."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from infra.config.model.section import Section, switch
from infra.config.types import Count, Flag, Quantity, SecretName, Unproxied, Url


class Budget(Section):
    """A check of the plan's figures, not a cap on the bill."""

    monthly_usd: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    """A warning where the maximum of replicas costs more, an error where the minimum does."""


class Proxy(Section):
    """How pods reach model registries."""

    https: Url
    """Its address: http://proxy.example.org:3128."""
    no: tuple[Unproxied, ...] = ()
    """Hosts that are reached without it: names, domains such as .example.org, addresses, ranges such as 10.0.0.0/8."""
    ca: str | None = None
    """The proxy's own CA as PEM text: certificates are public."""


class Chat(Section):
    """Open WebUI beside the router, exposed as it is."""

    disk: Quantity = 10 * 2**30
    """Of its volume, such as 10Gi."""
    tls: SecretName | None = None
    """The name of a kubernetes.io/tls Secret for its own name; left out, the router's."""


class Monitoring(Section):
    """Who scrapes the router."""

    kind: Literal["managed", "serviceMonitor", "annotations"] = "managed"
    """Who scrapes: Google's managed Prometheus, a ServiceMonitor, or whoever reads annotations."""
    dashboards: Flag = True
    """Whether dashboards are made."""
    gpus: Flag = False
    """Whether use, memory and temperature of the GPUs are read: by NVIDIA's exporter, a privileged pod on each of their
    nodes on GKE."""


def _monitoring(value: Any) -> Any:
    return {"kind": value} if isinstance(value, str) else switch(value)


MonitoringInput = BeforeValidator(_monitoring, json_schema_input_type=bool | str | dict[str, Any] | None)


class LoadTest(Section):
    """A load test that is there and does not run: a suspended CronJob, of which one makes a Job."""

    users: Count = 10
    """How many ask at once."""
    minutes: Count = 5
    """For how long."""
