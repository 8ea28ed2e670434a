"""The gcp double's judgement of single changes, without an engine."""

from typing import Any

import pytest

from infra.catalogue.replacements import replacements
from infra.change import difference
from tests.engine.doubles import GoogleDouble
from tests.engine.doubles.diff import Verdict, changes
from tests.engine.doubles.google_outputs import _IDS, CLUSTER, NODE_POOL
from tests.engine.doubles.provider import Subject
from tests.engine.doubles.values import UNKNOWN, Properties

SUBNET = "gcp:compute/subnetwork:Subnetwork"
GPU = {"type": "nvidia-tesla-t4", "count": 1}


def node(**config: Any) -> Properties:
    return {"nodeConfig": {"machineType": "n1-standard-4", **config}}


def verdicts(type: str, old: Properties, new: Properties) -> set[Verdict]:  # noqa: A002 Pulumi's word
    subject = Subject(type, "x", "urn", new, {})
    return {GoogleDouble().verdict(subject, change) for change in changes(old, new)}


REPLACES = {
    "a pool becomes spot": (NODE_POOL, node(), node(spot=True)),
    "a pool is spot no more": (NODE_POOL, node(spot=True), node()),
    "a pool gets GPUs": (NODE_POOL, node(), node(guestAccelerators=[GPU])),
    "a pool gets more GPUs": (
        NODE_POOL,
        node(guestAccelerators=[GPU]),
        node(guestAccelerators=[{**GPU, "count": 2}]),
    ),
    "the driver of a pool changes": (
        NODE_POOL,
        node(guestAccelerators=[{**GPU, "gpuDriverInstallationConfig": {"gpuDriverVersion": "LATEST"}}]),
        node(guestAccelerators=[{**GPU, "gpuDriverInstallationConfig": {"gpuDriverVersion": "DEFAULT"}}]),
    ),
    "a scope is added": (NODE_POOL, node(oauthScopes=["a"]), node(oauthScopes=["a", "b"])),
    "node metadata gets a key": (NODE_POOL, node(metadata={"a": "1"}), node(metadata={"a": "1", "b": "2"})),
    "the cluster's id is unknown": (NODE_POOL, {"cluster": "c"}, {"cluster": UNKNOWN}),
    "the node's configuration is unknown": (NODE_POOL, node(), {"nodeConfig": UNKNOWN}),
    "the pool names its cluster in full": (
        NODE_POOL,
        {"cluster": "c"},
        {"cluster": "projects/p/locations/l/clusters/c"},
    ),
    "a cluster loses its description": (CLUSTER, {"description": "a"}, {}),
    "L4 subsetting is switched off": (CLUSTER, {"enableL4IlbSubsetting": True}, {"enableL4IlbSubsetting": False}),
    "a range shrinks": (SUBNET, {"ipCidrRange": "10.0.0.0/20"}, {"ipCidrRange": "10.0.0.0/21"}),
    "a range moves": (SUBNET, {"ipCidrRange": "10.0.0.0/20"}, {"ipCidrRange": "10.1.0.0/20"}),
}

IN_PLACE = {
    "a pool gets another machine": (NODE_POOL, node(), node(machineType="g2-standard-4")),
    "a label is added": (NODE_POOL, node(), node(labels={"ollama-fleet/pool": "t4"})),
    "a taint is added": (NODE_POOL, node(taints=[]), node(taints=[{"key": "a", "effect": "NO_SCHEDULE"}])),
    "a pool scales further": (
        NODE_POOL,
        {"autoscaling": {"maxNodeCount": 1}},
        {"autoscaling": {"maxNodeCount": 2}},
    ),
    "a cluster's protection is lifted": (CLUSTER, {"deletionProtection": True}, {"deletionProtection": False}),
    "the stack type changes below a replacing block": (
        CLUSTER,
        {"ipAllocationPolicy": {"stackType": "IPV4"}},
        {"ipAllocationPolicy": {"stackType": "IPV4_IPV6"}},
    ),
    "L4 subsetting is switched on": (CLUSTER, {"enableL4IlbSubsetting": False}, {"enableL4IlbSubsetting": True}),
    "a range grows": (SUBNET, {"ipCidrRange": "10.0.0.0/20"}, {"ipCidrRange": "10.0.0.0/19"}),
}

NOTHING = {
    "the node's whole configuration is left out": (NODE_POOL, node(), {}),
    "GPUs are left out": (NODE_POOL, node(guestAccelerators=[GPU]), node()),
    "L4 subsetting is left out": (CLUSTER, {"enableL4IlbSubsetting": True}, {}),
}


@pytest.mark.parametrize("case", REPLACES)
def test_it_replaces_when(case: str) -> None:
    assert Verdict.REPLACE in verdicts(*REPLACES[case])


@pytest.mark.parametrize("case", IN_PLACE)
def test_it_updates_in_place_when(case: str) -> None:
    assert verdicts(*IN_PLACE[case]) == {Verdict.IN_PLACE}


@pytest.mark.parametrize("case", NOTHING)
def test_nothing_happens_when(case: str) -> None:
    assert verdicts(*NOTHING[case]) == {Verdict.NOTHING}


def test_every_type_with_facts_has_an_id_format() -> None:
    assert set(replacements().google_types) == set(_IDS)


def test_the_mark_of_an_unknown_value_is_pulumis_own() -> None:
    assert difference.UNKNOWN == UNKNOWN
