"""A double of the `random` provider: passwords that are the same for the same resource."""

# ruff: noqa: A002, ARG002 names of the protocol, and hooks that take what an override may need

from tests.engine.doubles.provider import ProviderDouble, Subject, digest
from tests.engine.doubles.values import Properties


class RandomDouble(ProviderDouble):
    """Makes RandomPassword, and keeps it until it is deleted."""

    def __init__(self) -> None:
        super().__init__("random")

    def identify(self, subject: Subject) -> str:
        return f"none-{digest(subject.urn)[:8]}"

    def computed(self, subject: Subject, id: str) -> Properties:
        return {"result": digest(subject.urn)[: int(subject.inputs["length"])]}
