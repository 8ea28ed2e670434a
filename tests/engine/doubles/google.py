"""The `gcp` double: Google's rules for what changes in place, what replaces, what is refused.

The rules by path are `infra/catalogue/google_replaces.json`, asked of the real provider. Here stand
the rules that depend on a direction, and the few things that the service itself insists on.
"""

# ruff: noqa: A001, A002, ARG001, ARG002 `id` and `type` are the protocol's words; one signature for every rule

import ipaddress
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.engine.doubles import google_outputs
from tests.engine.doubles.diff import Change, Verdict, verdict_by
from tests.engine.doubles.google_outputs import CLUSTER, NODE_POOL
from tests.engine.doubles.provider import ProviderDouble, RefusedError, Subject, digest
from tests.engine.doubles.values import UNKNOWN, Properties

FACTS = Path(__file__).parents[3] / "infra" / "catalogue" / "google_replaces.json"

# Optional inputs that the service fills in: leaving one out again is no change. Only those that
# google_replaces.json tells or that the provider's documentation marks as computed and that a fleet
# may drop; an optional input that is not here counts as changed when it goes.
_COMPUTED = {
    CLUSTER: {
        "nodeConfig",
        "nodePools",
        "enableL4IlbSubsetting",
        "project",
        "location",
        "nodeVersion",
        "nodeLocations",
        "clusterIpv4Cidr",
        "defaultMaxPodsPerNode",
        "datapathProvider",
        "networkingMode",
        "releaseChannel",
        "addonsConfig",
        "loggingConfig",
        "monitoringConfig",
        "masterAuthorizedNetworksConfig",
        "controlPlaneEndpointsConfig",
        "databaseEncryption",
    },
    NODE_POOL: {
        "nodeConfig.guestAccelerators",
        "nodeConfig.machineType",
        "nodeConfig.diskSizeGb",
        "nodeConfig.diskType",
        "nodeConfig.imageType",
        "nodeConfig.oauthScopes",
        "nodeConfig.serviceAccount",
        "nodeConfig.metadata",
        "nodeConfig.shieldedInstanceConfig",
        "nodeConfig.workloadMetadataConfig",
        "project",
        "location",
        "initialNodeCount",
        "maxPodsPerNode",
        "nodeCount",
        "nodeLocations",
        "version",
        "management",
        "upgradeSettings",
    },
}

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
        facts = json.loads(FACTS.read_text())
        self._rules = {type: _rules(paths) for type, paths in facts["types"].items()}

    def checked(self, subject: Subject, news: Properties, olds: Properties, seed: bytes) -> Properties:
        if subject.type not in self._rules:
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
        depends = _CONDITIONS.get((subject.type, change.pattern))
        if depends is not None:
            decided = depends(change.old, change.new)
            if decided is not None:
                return decided
        computed = _COMPUTED.get(subject.type, set())
        if change.new is None and _all_computed(change, computed):
            return Verdict.NOTHING
        return verdict_by(change, self._rules[subject.type])

    def deletes_first(self, old: Subject, new: Subject) -> bool:
        # The provider would meet itself under a name that the program fixed and did not change.
        fixed = "name" not in new.inputs.get("__defaults", [])
        same = old.inputs.get("name") == new.inputs.get("name")
        return new.type in google_outputs.AUTONAMED and fixed and same

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


def _rules(paths: dict[str, list[str]]) -> dict[str, Verdict]:
    return {
        **dict.fromkeys(paths["replace"], Verdict.REPLACE),
        **dict.fromkeys(paths.get("inPlace", []), Verdict.IN_PLACE),
    }


def _all_computed(change: Change, computed: set[str]) -> bool:
    """Whether the service keeps what the change takes away: the whole, or each of its parts."""
    # `nodeConfig` stays as a block in every state, but spot and the like inside it do not.
    if change.pattern in computed and change.pattern != "nodeConfig":
        return True
    return isinstance(change.old, dict) and all(
        _all_computed(Change((*change.path, key), item, None), computed) for key, item in change.old.items()
    )


def _names(reference: str, id: str) -> bool:
    """Whether a reference (bare name, path or self link) names the resource with that id."""
    return bool(reference) and (reference == id or reference.endswith(f"/{id}") or reference == id.rsplit("/", 1)[-1])


# The rules that depend on the direction ("conditional" in google_replaces.json). None: the rules by
# path decide.


def _range(old: Any, new: Any) -> Verdict | None:
    if None in (old, new) or new == UNKNOWN:
        return None
    grows = ipaddress.ip_network(old).subnet_of(ipaddress.ip_network(new))  # type: ignore[arg-type]
    return Verdict.IN_PLACE if grows else Verdict.REPLACE


def _switched_on(old: Any, new: Any) -> Verdict | None:
    return Verdict.IN_PLACE if new is True and not old else None


def _added(old: Any, new: Any) -> Verdict | None:
    return Verdict.IN_PLACE if old is None else None


def _accelerators(old: Any, new: Any) -> Verdict | None:
    added_none = old is None and isinstance(new, list) and all(not gpu.get("count") for gpu in new)
    return Verdict.NOTHING if added_none else None


_CONDITIONS: dict[tuple[str, str], Callable[[Any, Any], Verdict | None]] = {
    ("gcp:compute/subnetwork:Subnetwork", "ipCidrRange"): _range,
    (CLUSTER, "enableFqdnNetworkPolicy"): _switched_on,
    (CLUSTER, "enableL4IlbSubsetting"): _switched_on,
    (CLUSTER, "enableK8sBetaApis"): _added,
    (CLUSTER, "enableK8sBetaApis.enabledApis"): _added,
    (CLUSTER, "enableK8sBetaApis.enabledApis[*]"): _added,
    (NODE_POOL, "nodeConfig.guestAccelerators"): _accelerators,
}
