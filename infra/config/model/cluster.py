"""The cluster at Google and its network."""

from typing import Annotated, Literal

from pydantic import Field

from infra.config.model.section import Section
from infra.config.types import Flag, LabelKey, LabelValue, Location, Namespace


class Network(Section):
    """An existing VPC-native network; `vpc` may be `host-project/name`."""

    vpc: str
    """Its name, or host-project/name."""
    subnet: str
    """The subnet of the nodes."""
    pods: str
    """The name of the secondary range for pods."""
    services: str
    """The name of the secondary range for Services."""


class Gke(Section):
    """The cluster on Google Cloud."""

    location: Location
    """A zone or a region."""
    cluster: Annotated[str, Field(min_length=1, pattern=r"^[a-z]([-a-z0-9]*[a-z0-9])?$")] | None = None
    """An existing cluster, to which only pools are added."""
    network: Network | None = None
    """Left out: a network of the fleet's own."""
    labels: dict[LabelKey, LabelValue] = {}
    """Labels of everything at Google."""
    namespace: Namespace = "ollama"
    """Of the servers and the router."""
    release_channel: Literal["rapid", "regular", "stable"] = "regular"
    """How soon the cluster gets new versions of Kubernetes."""
    deletion_protection: Flag = True
    """Whether make destroy is refused; write false and make up first."""
