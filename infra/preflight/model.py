"""What a check finds, and the questions that it asks of Google Cloud."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol


class State(StrEnum):
    """What a check says."""

    OK = "ok"
    MISSING = "missing"
    """`up` would fail."""
    DOUBT = "doubt"
    """It may pass, and its reader should know."""
    UNKNOWN = "not checked"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One check: what was looked at, what was found, what to do about it."""

    subject: str
    state: State
    message: str
    remedy: str = ""


@dataclass(frozen=True, kw_only=True)
class Limit:
    """A quota as Google reports it."""

    limit: float
    usage: float

    @property
    def free(self) -> float:
        """What is left."""
        return self.limit - self.usage


class RefusedError(Exception):
    """Google does not answer: no permission, no such thing, an API that is off. The message is Google's own."""

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.remedy = (
            remedy or "check gcp:project, and that your account may view it: gcloud auth application-default login"
        )


class Cloud(Protocol):
    """What preflight asks of Google Cloud. Every question may raise RefusedError."""

    def project_is_active(self, project: str) -> bool:
        """Whether the project exists and is not being deleted."""

    def billing_is_on(self, project: str) -> bool:
        """Whether somebody pays for it."""

    def enabled_apis(self, project: str) -> frozenset[str]:
        """The names of the APIs that are on: `container.googleapis.com`."""

    def quotas(self, project: str, region: str) -> Mapping[tuple[str, str], Limit]:
        """Limits by name and place, the place being the region or `global`."""

    def zones_with(self, project: str, accelerator: str) -> frozenset[str]:
        """The zones that know an accelerator type. It says nothing of stock."""

    def machine_zones(self, project: str, machine_type: str) -> frozenset[str]:
        """The zones that know a machine type."""

    def nat_of(self, project: str, region: str, network: str) -> bool:
        """Whether any Cloud Router of that network and region has a NAT."""

    def channel_version(self, project: str, location: str, channel: str) -> str | None:
        """The default GKE version of a release channel."""

    def gpu_price(self, region: str, words: tuple[str, ...], *, spot: bool) -> float | None:
        """USD an hour of one GPU whose name has these words, by the live catalogue; None where it cannot be told."""
