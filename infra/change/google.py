"""What a change of one input means to the Google provider: by path, by direction, or nothing at all."""

import ipaddress
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from infra.catalogue.replacements import replacements
from infra.change.difference import UNKNOWN, Change, Verdict, nearest, verdict_by

CLUSTER = "gcp:container/cluster:Cluster"
NODE_POOL = "gcp:container/nodePool:NodePool"
SUBNETWORK = "gcp:compute/subnetwork:Subnetwork"


def knows(type_: str) -> bool:
    """Whether the catalogue has facts of this type; a change of any other counts as in place."""
    return type_ in replacements().google_types


def verdict(type_: str, change: Change) -> Verdict:
    """What this change of an input means."""
    depends = _CONDITIONS.get((type_, change.pattern))
    if depends is not None:
        decided = depends(change.old, change.new)
        if decided is not None:
            return decided
    if change.new is None and _all_computed(change, replacements().google.computed.get(type_, frozenset())):
        return Verdict.NOTHING
    return verdict_by(change, _rules(type_))


def recreates_nodes(type_: str, change: Change) -> bool:
    """Whether the resource stays and Google makes its nodes anew, one after the other."""
    paths = replacements().google_recreates.paths.get(type_, frozenset())
    return any(nearest(one.path, dict.fromkeys(paths, Verdict.IN_PLACE)) for one in change.leaves())


def deletes_first(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    """Whether a replacement deletes before it creates: it would meet itself under a name that the program fixed."""
    return new.get("name") is not None and old.get("name") == new.get("name")


@cache
def _rules(type_: str) -> dict[str, Verdict]:
    paths = replacements().google_types.get(type_, {})
    return {
        **dict.fromkeys(paths.get("replace", ()), Verdict.REPLACE),
        **dict.fromkeys(paths.get("inPlace", ()), Verdict.IN_PLACE),
    }


def _all_computed(change: Change, computed: frozenset[str]) -> bool:
    """Whether the service keeps what the change takes away: the whole, or each of its parts."""
    # `nodeConfig` stays as a block in every state, but spot and the like inside it do not
    if change.pattern in computed and change.pattern != "nodeConfig":
        return True
    return isinstance(change.old, Mapping) and all(
        _all_computed(Change((*change.path, key), item, None), computed) for key, item in change.old.items()
    )


# The rules that depend on the direction ("conditional" in google_replaces.json). None: the rules by path decide.


def _range(old: Any, new: Any) -> Verdict | None:
    if None in (old, new) or new == UNKNOWN:
        return None
    grows = ipaddress.ip_network(old).subnet_of(ipaddress.ip_network(new))  # type: ignore[arg-type]
    return Verdict.IN_PLACE if grows else Verdict.REPLACE


def _switched_on(old: Any, new: Any) -> Verdict | None:
    return Verdict.IN_PLACE if new is True and not old else None


def _added(old: Any, _new: Any) -> Verdict | None:
    return Verdict.IN_PLACE if old is None else None


def _accelerators(old: Any, new: Any) -> Verdict | None:
    added_none = old is None and isinstance(new, list) and all(not gpu.get("count") for gpu in new)
    return Verdict.NOTHING if added_none else None


_CONDITIONS: dict[tuple[str, str], Callable[[Any, Any], Verdict | None]] = {
    (SUBNETWORK, "ipCidrRange"): _range,
    (CLUSTER, "enableFqdnNetworkPolicy"): _switched_on,
    (CLUSTER, "enableL4IlbSubsetting"): _switched_on,
    (CLUSTER, "enableK8sBetaApis"): _added,
    (CLUSTER, "enableK8sBetaApis.enabledApis"): _added,
    (CLUSTER, "enableK8sBetaApis.enabledApis[*]"): _added,
    (NODE_POOL, "nodeConfig.guestAccelerators"): _accelerators,
}
