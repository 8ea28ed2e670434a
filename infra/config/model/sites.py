"""Places outside GKE, and the machines there."""

from typing import Annotated, Literal, Self

from pydantic import model_validator

from infra.config.model.section import EmptyIsDefault, Section
from infra.config.types import ContextName, Count, Devices, NodeName, Quantity, SystemName, Url, refuse


class SiteNode(Section):
    """One machine of a site."""

    gpus: dict[str, Devices] = {}
    """GPU -> how many devices, or which: [0, 1] or UUIDs as `nvidia-smi -L` lists them. A K80 or M60 board has two."""
    cpus: Count | None = None
    """Its CPUs."""
    memory: Quantity
    """Main memory, such as 64Gi."""
    disk: Quantity
    """Room for images and models, such as 400Gi."""
    os: SystemName | None = None
    """What it runs, for a driver in a container; left out, that of the site."""

    def count(self, gpu: str) -> int:
        """How many devices of a kind it has."""
        listed = self.gpus.get(gpu, 0)
        return listed if isinstance(listed, int) else len(listed)

    def devices(self, gpu: str) -> tuple[str, ...] | None:
        """What nvidia-smi calls them; None where the file does not say which of several kinds is which."""
        listed = self.gpus.get(gpu, 0)
        if isinstance(listed, tuple):
            return listed
        return tuple(map(str, range(listed))) if len(self.gpus) == 1 else None


class DockerSite(Section):
    """A Docker host, or several."""


class KubernetesSite(Section):
    """A Kubernetes cluster that is not the fleet's own."""

    context: ContextName | None = None
    """The context of the kubeconfig that leads there."""
    apply: Literal["manual", "pulumi"] = "manual"
    """manual: `fleet manifests --site NAME` prints what kubectl applies; pulumi: the program applies it."""
    distribution: Literal["k3s", "other"] = "other"
    """k3s has the runtime class nvidia where it finds NVIDIA's container runtime."""
    device_plugin: Literal["install", "existing"] = "install"
    """What tells the cluster of its GPUs; existing: it is there, by the GPU operator for instance."""
    os: SystemName | None = None
    """What its machines run, such as ubuntu22.04: NVIDIA's driver container is built for one system."""


class Site(Section):
    """Where pools outside GKE stand: exactly one of docker, kubernetes and endpoints."""

    docker: Annotated[DockerSite, EmptyIsDefault] | None = None
    """A Docker host: docker: {}."""
    kubernetes: Annotated[KubernetesSite, EmptyIsDefault] | None = None
    """Another Kubernetes cluster."""
    endpoints: tuple[Url, ...] = ()
    """Addresses of Ollama servers that run already."""
    url: Url | None = None
    """Where the router reaches the site's servers."""
    ca: str | None = None
    """PEM text or the path of a file: certificates are public."""
    nodes: dict[NodeName, SiteNode] = {}
    """Its machines by name, and what each has."""

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        kinds = [self.docker is not None, self.kubernetes is not None, bool(self.endpoints)]
        if sum(kinds) != 1:
            raise refuse(
                "a site is exactly one of docker, kubernetes and endpoints",
                "write docker: {}, kubernetes: {context: NAME} or endpoints: [URL]",
            )
        return self

    @property
    def kind(self) -> Literal["docker", "kubernetes", "endpoints"]:
        """Which of the three it is."""
        if self.endpoints:
            return "endpoints"
        return "docker" if self.docker is not None else "kubernetes"
