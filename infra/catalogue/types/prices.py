"""List prices."""

from pydantic import Field

from infra.catalogue.types.fact import Fact, Part


class Price(Fact):
    """USD; per hour unless the key says otherwise. `spot` is None where no spot price was found."""

    on_demand: float = Field(ge=0)
    spot: float | None = Field(default=None, ge=0)


class HostPrice(Fact):
    """USD per vCPU-hour and GiB-hour of a machine family."""

    vcpu: float
    gb: float
    spot_vcpu: float | None = None
    spot_gb: float | None = None


class RegionPrices(Part):
    """List prices of one region."""

    machines: dict[str, Price] = {}  # with their GPUs, where Google sells both as one
    gpus: dict[str, Price] = {}
    families: dict[str, HostPrice] = {}
    disks: dict[str, Price] = {}  # USD per GiB and month
    cluster: Price
    nat_gateway: Price  # per hour and VM, up to 32 VMs
    load_balancer: Price
    address: Price
