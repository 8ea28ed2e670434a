"""The `gcp` double: Google's rules for what changes in place, what replaces, what is refused.

What replaces is decided in `infra.change.google`, by facts that the real provider was asked for. Here
stand the few things that the service itself insists on.
"""

# ruff: noqa: A001, A002, ARG002 `id` and `type` are the protocol's words; one signature for every rule

from infra.change import google as rules
from tests.engine.doubles import google_outputs
from tests.engine.doubles.diff import Change, Verdict
from tests.engine.doubles.google_outputs import CLUSTER, NODE_POOL
from tests.engine.doubles.provider import ProviderDouble, RefusedError, Subject, digest
from tests.engine.doubles.values import Properties

# What must exist before a resource of a type can: the input that names it, and its type.
_NEEDS = {
    NODE_POOL: ("cluster", CLUSTER),
    "gcp:compute/routerNat:RouterNat": ("router", "gcp:compute/router:Router"),
}

# What the service does not let go while others hang on it: the input of those, by their type.
_HELD_BY = {
    "gcp:compute/network:Network": {
        "gcp:compute/subnetwork:Subnetwork": "network",
        "gcp:compute/router:Router": "network",
        CLUSTER: "network",
    },
    "gcp:compute/subnetwork:Subnetwork": {CLUSTER: "subnetwork"},
}

# Create calls that are harmless when the thing is already so.
_IDEMPOTENT = {
    "gcp:projects/service:Service",
    "gcp:projects/iAMMember:IAMMember",
    "gcp:serviceaccount/iAMMember:IAMMember",
}


class GoogleDouble(ProviderDouble):
    """A project in which everything is allowed and there is quota for all."""

    def __init__(self) -> None:
        super().__init__("gcp", "10.2.0")

    def checked(self, subject: Subject, news: Properties, olds: Properties, seed: bytes) -> Properties:
        if not rules.knows(subject.type):
            raise RefusedError(
                f"the gcp double does not know {subject.type}: add it to "
                "infra/catalogue/google_replaces.json and google_outputs.py"
            )
        checked = dict(news)
        defaults = []
        if "name" not in news and subject.type in google_outputs.AUTONAMED:
            given = "name" in olds.get("__defaults", [])
            made_up = f"{subject.name}-{digest(subject.urn, seed.hex())[:7]}"
            checked["name"] = olds["name"] if given else made_up
            defaults.append("name")
        if subject.type == CLUSTER and "deletionProtection" not in news:
            checked["deletionProtection"] = True
            defaults.append("deletionProtection")
        return {**checked, "__defaults": defaults}

    def verdict(self, subject: Subject, change: Change) -> Verdict:
        return rules.verdict(subject.type, change)

    def deletes_first(self, old: Subject, new: Subject) -> bool:
        fixed = "name" not in new.inputs.get("__defaults", [])
        return new.type in google_outputs.AUTONAMED and fixed and rules.deletes_first(old.inputs, new.inputs)

    def identify(self, subject: Subject) -> str:
        return google_outputs.identify(subject)

    def computed(self, subject: Subject, id: str) -> Properties:
        return google_outputs.computed(subject, id)

    def before_create(self, subject: Subject, id: str) -> None:
        if subject.type not in _IDEMPOTENT and ("", subject.type, id) in self.existing:
            raise RefusedError(f"googleapi: Error 409: Already exists: {id}., alreadyExists")
        if subject.type in _NEEDS:
            key, type = _NEEDS[subject.type]
            wanted = str(subject.inputs[key])
            if not any(_names(wanted, id) for id in self.ids(type)):
                raise RefusedError(f"googleapi: Error 404: Not found: {wanted}., notFound")

    def before_delete(self, subject: Subject, id: str, outputs: Properties) -> None:
        if subject.type == CLUSTER and outputs.get("deletionProtection", True):
            raise RefusedError(
                "Cannot destroy cluster because deletion_protection is set to true. "
                "Set it to false to proceed with cluster deletion."
            )
        for type, key in _HELD_BY.get(subject.type, {}).items():
            for (_, other, other_id), holder in self.existing.items():
                if other == type and _names(str(holder.outputs.get(key, "")), id):
                    raise RefusedError(
                        f"googleapi: Error 400: The resource '{id}' is already being used by "
                        f"'{other_id}', resourceInUseByAnotherResource"
                    )

    def after_delete(self, subject: Subject, id: str) -> None:
        # A cluster takes its node pools along, those of which the engine says nothing included.
        for key in [key for key in self.existing if key[2].startswith(f"{id}/nodePools/")]:
            del self.existing[key]


def _names(reference: str, id: str) -> bool:
    """Whether a reference (bare name, path or self link) names the resource with that id."""
    return bool(reference) and (reference == id or reference.endswith(f"/{id}") or reference == id.rsplit("/", 1)[-1])
