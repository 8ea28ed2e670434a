"""The door and its keys."""

from typing import Annotated, Literal

from pydantic import Field

from infra.config.model.section import EmptyIsDefault, Section
from infra.config.types import AllowedModels, Cidr, Count, Flag, HostName, Origin, Quantity, SecretName, SiteName


class ApiKey(Section):
    """What the bearer of a key may do; nothing given: everything."""

    models: AllowedModels = ()
    """What its bearer may ask for; left out: everything."""
    requests_per_minute: Count | None = None
    """Of each router pod; left out: no limit."""


class Router(Section):
    """The door."""

    expose: Literal["cluster", "internal", "public"] = "cluster"
    """cluster: inside only; internal: the network; public: a reserved address, which needs keys and TLS."""
    auth: Literal["keys", "none"] = "keys"
    """none: nobody is asked for a key; never for a public door."""
    keys: dict[
        Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9_.]*[a-z0-9])?$", max_length=63)],
        Annotated[ApiKey, EmptyIsDefault],
    ] = {}
    """Names of keys, and what each may do. Left out: one, everyone, for everything."""
    tls: SecretName | None = None
    """The name of a kubernetes.io/tls Secret in the fleet's namespace."""
    host: HostName | None = None
    """The name that the certificate is for, llm.example.org: chat and load test then believe no other."""
    client_options: Literal["refuse", "pass"] = "refuse"
    """refuse: num_ctx other than the plan's, num_gpu and main_gpu are 400; pass: memory is not guaranteed."""
    source_ranges: tuple[Cidr, ...] = ()
    """Who may come, as address ranges: 203.0.113.0/24."""
    origins: tuple[Origin, ...] = ()
    """Web pages that may call from a browser: https://chat.example.org."""
    max_body: Quantity = 32 * 2**20
    """The largest request, such as 32Mi."""
    site: SiteName | None = None
    """Where the door stands without gke."""
    insecure_public_access: Flag = False
    """A public door without keys or TLS, all the same."""
