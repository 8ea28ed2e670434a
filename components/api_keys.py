"""The keys of the door: those that the stack sets, the others made, and their SHA-256 where the router reads them."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
from pulumi_kubernetes.core.v1 import Secret
from pulumi_kubernetes.meta.v1 import ObjectMetaArgs
from pulumi_random import RandomPassword

from components import labels
from infra.plan.naming import ROUTER_KEYS

LENGTH = 43
"""Of letters and digits: 256 bits."""


@dataclass(frozen=True, kw_only=True)
class ApiKeysArgs:
    """The names of all keys, and the values of those that have one."""

    names: Sequence[str]
    given: Mapping[str, pulumi.Output[str]]
    namespace: pulumi.Input[str]


class ApiKeys(pulumi.ComponentResource):
    """`ollama-fleet:components:ApiKeys`: a RandomPassword for each key without a value, and one Secret of digests.

    No key is in the cluster: whoever can read the Secret can let nobody in.
    """

    keys: pulumi.Output[Mapping[str, str]]
    """Every key by name. Secret."""
    secret: Secret

    def __init__(self, name: str, args: ApiKeysArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("ollama-fleet:components:ApiKeys", name, {}, opts)
        child = pulumi.ResourceOptions(parent=self)
        keys = {
            key: args.given[key]
            if key in args.given
            else RandomPassword(f"{name}-{key}", length=LENGTH, special=False, opts=child).result
            for key in args.names
        }
        self.secret = Secret(
            f"{name}-digests",
            metadata=ObjectMetaArgs(
                name=ROUTER_KEYS, namespace=args.namespace, labels={**labels.router(), **labels.MANAGED_BY}
            ),
            string_data={key: value.apply(digest) for key, value in keys.items()},
            opts=child,
        )
        self.keys = pulumi.Output.secret(pulumi.Output.all(**keys))
        self.register_outputs({"keys": self.keys})


def digest(key: str) -> str:
    """What the router compares."""
    return hashlib.sha256(key.encode()).hexdigest()
