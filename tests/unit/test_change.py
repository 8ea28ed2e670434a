"""What a change does, from two plans and two lists of resources; and its words, whatever the file says."""

import re
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.change.build import Side, build
from infra.change.difference import UNKNOWN
from infra.change.model import Action, FleetChange, ResourceChange
from infra.change.resources import compare, program
from infra.config import FleetConfig, parse
from infra.plan.build import build as plan
from infra.problem import Problem, warning
from infra.report import change as words
from infra.report import change_json, comment
from tests.unit.conftest import GOOD
from tests.unit.test_report import HOSTILE

NODE_POOL, CLUSTER = "gcp:container/nodePool:NodePool", "gcp:container/cluster:Cluster"
CONFIG_MAP, PROVIDER = "kubernetes:core/v1:ConfigMap", "pulumi:providers:kubernetes"


def side(fleet: Any, resources: Any = None) -> Side:
    parsed = parse(fleet)
    config = parsed.config or FleetConfig()
    return Side(
        config=config,
        plan=plan(config, stack="dev", project="example-project", problems=parsed.problems),
        program=program({"resources": resources or []}),
    )


def change_of(before: Any, after: Any) -> FleetChange:
    return build(
        stack="dev",
        base="main",
        head="branch",
        before=None if before is None else side(before),
        after=None if after is None else side(after),
    )


def resource(type_: str, name: str, inputs: dict[str, Any], **more: Any) -> dict[str, Any]:
    depends = more.pop("depends", {})
    urn = f"urn:pulumi:dev::p::{type_}::{name}"
    provider = more.pop("provider", None)
    return {
        "urn": urn,
        "type": type_,
        "name": name,
        "custom": True,
        "provider": provider,
        "inputs": inputs,
        "options": more,
        "propertyDependencies": depends,
    }


def becomes(old: list[dict[str, Any]], new: list[dict[str, Any]]) -> dict[str, str]:
    found = compare(program({"resources": old}), program({"resources": new}))
    return {one.name: f"{one.action} {', '.join(one.reasons)}".strip() for one in found}


# resources


def test_what_ignore_changes_names_is_no_change() -> None:
    old = resource(NODE_POOL, "t4", {"initialNodeCount": 1, "nodeConfig": {"spot": False}})
    new = resource(NODE_POOL, "t4", {"initialNodeCount": 2, "nodeConfig": {"spot": False}})
    assert becomes([old], [new]) == {"t4": "replace initialNodeCount"}
    new["options"]["ignoreChanges"] = ["initialNodeCount"]
    assert becomes([old], [new]) == {}
    new["options"]["ignoreChanges"] = ["nodeConfig.spot"]
    new["inputs"] = {"initialNodeCount": 1, "nodeConfig": {"spot": True}}
    assert becomes([old], [new]) == {}


def test_what_hangs_on_a_resource_that_is_deleted_first_is_replaced_with_it() -> None:
    def fleet(description: str) -> list[dict[str, Any]]:
        cluster = resource(CLUSTER, "fleet", {"name": "fleet", "description": description})
        pool = resource(NODE_POOL, "t4", {"name": "t4", "cluster": "fleet"}, depends={"cluster": [cluster["urn"]]})
        return [cluster, pool, resource(NODE_POOL, "other", {"name": "other", "cluster": "fleet"})]

    assert becomes(fleet("a"), fleet("b")) == {
        "fleet": "replace description",
        "t4": "replace cluster comes from fleet, which is deleted first",
    }


def test_a_replaced_provider_takes_its_objects_along() -> None:
    def fleet(cluster: str) -> list[dict[str, Any]]:
        provider = resource(PROVIDER, "k8s", {"clusterIdentifier": cluster})
        return [provider, resource(CONFIG_MAP, "map", {"metadata": {"name": "a"}}, provider=provider["urn"])]

    assert becomes(fleet("one"), fleet("two")) == {
        "k8s": "replace clusterIdentifier",
        "map": "replace its provider k8s is replaced",
    }


def test_a_config_map_is_edited_in_place_only_where_its_provider_says_so() -> None:
    def fleet(data: str, *, mutable: bool) -> list[dict[str, Any]]:
        provider = resource(PROVIDER, "k8s", {"enableConfigMapMutable": mutable})
        return [provider, resource(CONFIG_MAP, "map", {"data": {"a": data}}, provider=provider["urn"])]

    assert becomes(fleet("x", mutable=True), fleet("y", mutable=True)) == {"map": "update"}
    assert becomes(fleet("x", mutable=False), fleet("y", mutable=False)) == {"map": "replace data.a"}


PVC, SECRET = "kubernetes:core/v1:PersistentVolumeClaim", "kubernetes:core/v1:Secret"
PASSWORD, STATEFUL = "random:index/randomPassword:RandomPassword", "kubernetes:apps/v1:StatefulSet"
SERVICE, QUOTA = "kubernetes:core/v1:Service", "kubernetes:core/v1:ResourceQuota"


@pytest.mark.parametrize(
    ("type_", "old", "new", "becomes_"),
    [
        (NODE_POOL, {"nodeConfig": {"localSsdCount": 0}}, {"nodeConfig": {"localSsdCount": 1}}, "replace"),
        (NODE_POOL, {"nodeConfig": {}}, {"nodeConfig": {"shieldedInstanceConfig": {"x": True}}}, "replace"),
        (NODE_POOL, {"nodeConfig": {"oauthScopes": ["a"]}}, {"nodeConfig": {"oauthScopes": ["a", "b"]}}, "replace"),
        (NODE_POOL, {"nodeConfig": {"taints": [{"key": "a"}]}}, {"nodeConfig": {"taints": []}}, "update"),
        (NODE_POOL, {"nodeConfig": {"imageType": "COS"}}, {"nodeConfig": {"imageType": "UBUNTU"}}, "update"),
        (NODE_POOL, {"maxPodsPerNode": 32}, {"maxPodsPerNode": 64}, "replace"),
        (NODE_POOL, {"queuedProvisioning": {"enabled": True}}, {}, "replace"),
        (NODE_POOL, {"autoscaling": {"locationPolicy": "ANY"}}, {"autoscaling": {}}, "update"),
        (CLUSTER, {"location": "a"}, {"location": "b"}, "replace"),
        (
            CLUSTER,
            {"ipAllocationPolicy": {"a": 1}},
            {"ipAllocationPolicy": {"clusterSecondaryRangeName": "p"}},
            "replace",
        ),
        (CLUSTER, {"workloadIdentityConfig": {"workloadPool": "a"}}, {"workloadIdentityConfig": {}}, "update"),
        (SERVICE, {"spec": {"clusterIP": "None"}}, {"spec": {}}, "replace"),
        (SERVICE, {"spec": {"type": "ClusterIP"}}, {"spec": {"type": "LoadBalancer"}}, "update"),
        (QUOTA, {"spec": {"scopes": ["a"]}}, {"spec": {"scopes": ["b"]}}, "replace"),
        (PVC, {"spec": {"resources": {"requests": {"storage": "5G"}}}}, {"spec": {"resources": {}}}, "update"),
        (PVC, {"spec": {"storageClassName": "a"}}, {"spec": {}}, "replace"),
        (SECRET, {"type": "Opaque"}, {"type": "kubernetes.io/tls"}, "replace"),
        (STATEFUL, {"spec": {"serviceName": "a"}}, {"spec": {"serviceName": "b"}}, "replace"),
        (PASSWORD, {"length": 32}, {"length": 40}, "replace"),
    ],
)
def test_a_property_is_judged_as_its_provider_does(type_: str, old: Any, new: Any, becomes_: str) -> None:
    mutable = resource(PROVIDER, "k8s", {"enableSecretMutable": True})
    sides = [[mutable, resource(type_, "one", inputs, provider=mutable["urn"])] for inputs in (old, new)]
    assert {name: word.split()[0] for name, word in becomes(*sides).items()} == {"one": becomes_}


def test_a_renamed_resource_with_an_alias_stays() -> None:
    old, new = resource(NODE_POOL, "old", {"name": "t4"}), resource(NODE_POOL, "new", {"name": "t4"})
    assert becomes([old], [new]) == {"old": "delete", "new": "create"}
    assert becomes([old], [{**new, "options": {"aliases": [{"name": "old"}]}}]) == {}
    assert becomes([old], [{**new, "options": {"aliases": [old["urn"]]}}]) == {}


def test_an_object_that_others_own_is_neither_made_nor_removed() -> None:
    mine = resource(CLUSTER, "fleet", {"name": "a"})
    theirs = resource(CLUSTER, "fleet", {}, readId="projects/p/locations/l/clusters/a")
    assert becomes([theirs], []) == becomes([], [theirs]) == {}
    assert becomes([mine], [theirs]) == {"fleet": "delete"}
    assert becomes([theirs], [mine]) == {"fleet": "create"}


def test_an_unknown_value_of_another_codes_json_counts_as_changed() -> None:
    old = resource(NODE_POOL, "t4", {"cluster": "c"})
    new = resource(NODE_POOL, "t4", {"cluster": {"$unknown": True}})
    assert becomes([old], [new]) == {"t4": "replace cluster"}
    (one,) = compare(program({"resources": [old]}), program({"resources": [new]}))
    assert one.properties[0].after == UNKNOWN


def test_a_protected_resource_that_goes_is_a_risk() -> None:
    cluster = resource(CLUSTER, "fleet-cluster", {"name": "a"}, protect=True)
    change = build(
        stack="dev", base="a", head="b", before=side(GOOD, [cluster]), after=side(GOOD), notes=(), code_compared=True
    )
    assert [risk.place for risk in change.risks] == ["fleet-cluster", "fleet-cluster"]


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(0, 3) | st.sampled_from("abc"),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "name", "spot"]), inner, max_size=3)
    ),
    max_leaves=8,
)
INPUTS = st.dictionaries(st.sampled_from(["nodeConfig", "name", "cluster", "autoscaling"]), VALUES)


@given(INPUTS, INPUTS)
def test_equal_inputs_never_change_and_others_name_what_differs(old: Any, new: Any) -> None:
    assert becomes([resource(NODE_POOL, "a", old)], [resource(NODE_POOL, "a", old)]) == {}
    for one in compare(
        program({"resources": [resource(NODE_POOL, "a", old)]}), program({"resources": [resource(NODE_POOL, "a", new)]})
    ):
        assert one.properties
        assert (one.action is Action.REPLACE) == bool(one.reasons)


# sides that are not there


def test_a_new_stack_is_all_new_and_has_no_risk_but_quota() -> None:
    change = change_of(None, GOOD)
    assert all(pool.added for pool in change.pools)
    assert all(model.before is None for model in change.models)
    assert all(risk.place.startswith("quota ") for risk in change.risks)
    assert "models added" in " ".join(words.verdict(change))


def test_a_stack_whose_file_goes_is_a_risk_since_nothing_destroys_it() -> None:
    change = change_of(GOOD, None)
    assert [risk.place for risk in change.risks] == ["the stack's file"]
    assert change.resources == ()


def test_a_key_without_a_value_is_as_good_as_none() -> None:
    whole = {**GOOD, "chat": None}
    keys = {".".join(one.path) for one in change_of(None, whole).keys}
    assert not keys & {"chat", "loadTest", "monitoring", "proxy"}
    assert all(row.before != row.after or row.effect for row in words.rows(change_of(None, whole)))


def test_what_a_request_may_hold_is_told_apart_below_a_gibibyte() -> None:
    wide = {**GOOD, "router": {**GOOD["router"], "maxBody": "40Mi"}}
    (row,) = (row for row in words.rows(change_of(GOOD, wide)) if row.key == "router.maxBody")
    assert (row.before, row.after) == ("32 MiB", "40 MiB")


# risks


@pytest.mark.parametrize(
    ("edit", "place"),
    [
        ({"gke": {**GOOD["gke"], "deletionProtection": False}}, "fleet.gke.deletionProtection"),
        ({"router": {**GOOD["router"], "expose": "internal"}}, "fleet.router.expose"),
        ({"router": {**GOOD["router"], "auth": "none"}}, "fleet.router"),
        ({"router": {**GOOD["router"], "clientOptions": "pass"}}, "fleet.router.clientOptions"),
        ({"pools": {**GOOD["pools"], "t4": {"gpu": "t4", "driver": "R570"}}}, "fleet.pools.t4.driver"),
        ({"pools": {**GOOD["pools"], "t4": {"gpu": "t4", "replicas": 9}}}, "quota NVIDIA_T4_GPUS"),
        ({"models": {**GOOD["models"], "nomic-embed-text": ["a100"]}}, "fleet.models.nomic-embed-text"),
        ({"pools": {**GOOD["pools"], "p": {"gpu": "k80", "allowWithdrawn": True}}}, "fleet.pools.p"),
    ],
)
def test_it_is_a_risk(edit: dict[str, Any], place: str) -> None:
    assert place in [risk.place for risk in change_of(GOOD, {**GOOD, **edit}).risks]


def test_money_by_another_regions_prices_says_so() -> None:
    far = {**GOOD, "gke": {**GOOD["gke"], "location": "asia-south1-a"}}
    assert change_of(GOOD, GOOD).notes == ()
    (note,) = change_of(GOOD, far).notes
    assert "no prices of asia-south1" in note


def kept(models: list[str], **pool: Any) -> dict[str, Any]:
    pools = {"one": {"gpu": "a100-80gb", "storage": "volume", "replicas": "0..1", **pool}}
    return {"gke": {"location": "us-central1-a"}, "pools": pools, "models": {name: ["one"] for name in models}}


def test_a_volume_of_another_size_is_a_risk_where_kubernetes_refuses_it() -> None:
    few, more = ["llama3.2:3b"], ["llama3.2:3b", "llama3.1:8b", "llama3.3:70b"]

    def told(old: Any, new: Any) -> list[Problem]:
        return [one for one in change_of(old, new).risks if one.place == "fleet.pools.one.storage"]

    (smaller,) = told(kept(more), kept(few))
    assert "goes from 100G to 50G: Kubernetes refuses a smaller one" in smaller.message
    (unbound,) = told(kept(few), kept(more))
    assert "until a first pod has run on it" in unbound.message
    assert told(kept(few, replicas=1), kept(more, replicas=1)) == []
    assert told(kept(few), kept(few)) == []
    # the ways that its remedy names, and a size that is in the file from the beginning
    assert "volumeSize: 100G" in smaller.remedy
    assert told(kept(more), kept(few, volumeSize="100G")) == []
    assert told(kept(more, volumeSize="200Gi"), kept(few, volumeSize="200Gi")) == []
    (named,) = told(kept(few, volumeSize="200Gi"), kept(few, volumeSize="100Gi"))
    assert "goes from 200Gi to 100Gi" in named.message


def test_a_volume_that_grows_at_a_site_is_a_risk_since_not_every_cluster_lets_it() -> None:
    lab = {"kubernetes": {}, "url": "https://lab.example.org"}
    lab["nodes"] = {"box": {"gpus": {"a100-80gb": 1}, "memory": "256Gi", "disk": "900Gi"}}

    def at_site(models: list[str], kind: str = "kubernetes") -> Any:
        there = lab if kind == "kubernetes" else {**{key: lab[key] for key in ("url", "nodes")}, kind: {}}
        pools = {"one": {"gpu": "a100-80gb", "site": "lab", "loading": "onDemand"}}
        return {
            "pools": pools, "sites": {"lab": there}, "models": {name: ["one"] for name in models},
            "router": {"site": "lab"},
        }  # fmt: skip

    few, more = ["llama3.2:3b"], ["llama3.2:3b", "llama3.3:70b"]

    def told(*sides: Any) -> list[Problem]:
        return [one for one in change_of(*sides).risks if one.place == "fleet.pools.one.storage"]

    (grows,) = told(at_site(few), at_site(more))
    assert "unless the StorageClass allows it" in grows.message
    assert "allowVolumeExpansion" in grows.remedy
    assert told(at_site(few), at_site(few)) == told(at_site(few, "docker"), at_site(more, "docker")) == []


def test_a_schedule_is_told_with_its_hours_and_its_money() -> None:
    workdays = {"from": "0 8 * * 1-5", "to": "0 18 * * 1-5"}
    office = {**GOOD, "pools": {**GOOD["pools"], "t4": {**GOOD["pools"]["t4"], "schedule": [workdays]}}}
    said = "its schedule keeps 1 replica for 217.3 hours of a month, at least $120"

    def told(old: Any, new: Any) -> tuple[str, str]:
        change = change_of(old, new)
        (row,) = [one for one in words.rows(change) if one.key == "pools.t4.schedule"]
        return next(one for one in words.verdict(change) if "minimum" in one), row.effect

    # NAT is paid for by the machine
    assert told(GOOD, office) == ("+$121 at minimum", f"no pod restarts; {said}")
    assert told(office, GOOD) == (
        "-$121 at minimum",
        f"no pod restarts; its schedule keeps nothing (before: {said.removeprefix('its schedule keeps ')})",
    )


def test_a_pool_that_goes_from_a_site_says_what_is_left_to_do_there() -> None:
    nodes = {name: {"gpus": {"m60": 2}, "memory": "32Gi", "disk": "400Gi"} for name in ("rig-1", "rig-2")}
    site = {"url": "https://rig.example.ts.net", "nodes": nodes}

    def fleet(pools: list[str], kind: str) -> Any:
        at_home = {name: {"gpu": "m60", "site": "rig", "gpusPerReplica": 2} for name in pools}
        pools_of_all = {"t4": GOOD["pools"]["t4"], **at_home}
        models = {"llama3.2:3b": ["t4", *pools]}
        return {"gke": GOOD["gke"], "pools": pools_of_all, "models": models, "sites": {"rig": {kind: {}, **site}}}

    def told(before: list[str], after: list[str], kind: str = "docker") -> str:
        change = change_of(fleet(before, kind), fleet(after, kind))
        (row,) = [one for one in words.rows(change) if one.key == "pools.b"]
        return row.effect

    anew = "rig: apply `fleet compose --site rig` anew"
    # each pool takes a machine: the second machine has nothing left, and no file any more
    assert told(["a", "b"], ["a"]) == "removed with its routes; rig: its server runs on until it is stopped there"
    assert told(["a"], ["a", "b"]).endswith(f"into place; {anew}")
    assert told(["b", "c"], ["c"]) == f"removed with its routes; {anew}"
    # kubectl apply takes nothing away
    assert told(["a", "b"], ["a"], "kubernetes").endswith("runs on until it is stopped there")


def test_what_closes_a_door_or_asks_for_less_is_no_risk() -> None:
    wide = {**GOOD, "router": {**GOOD["router"], "expose": "internal"}}
    assert change_of(wide, GOOD).risks == ()
    assert change_of({**GOOD, "pools": {**GOOD["pools"], "t4": {"gpu": "t4", "replicas": "0..5"}}}, GOOD).risks == ()


# words


def hostile(evil: str) -> FleetChange:
    change = change_of(GOOD, {**GOOD, "pools": {**GOOD["pools"], "t4": {"gpu": "t4", "replicas": 9}}})
    key = replace(change.keys[0], path=("pools", evil), before=evil, after=[evil])
    pool = replace(change.pools[0], name=evil, fallbacks={evil: None}, nodes=Action.REPLACE, reasons=(evil,), down=True)
    one = ResourceChange(urn=evil, type=evil, name=evil, action=Action.REPLACE, reasons=(evil,))
    return replace(
        change,
        stack=evil,
        base=evil,
        head=evil,
        keys=(key,),
        pools=(pool,),
        resources=(one,),
        notes=(evil,),
        risks=(warning(evil, evil, evil),),
        new_warnings=(warning(evil, evil, evil),),
    )


@pytest.mark.parametrize("evil", HOSTILE)
def test_no_text_of_the_file_leaves_its_place_in_the_comment(evil: str) -> None:
    calm, rendered = comment.render(hostile("calm")), comment.render(hostile(evil))
    assert rendered.encode()
    assert [line[:2] for line in rendered.splitlines()] == [line[:2] for line in calm.splitlines()]
    assert rendered.count("|") == calm.count("|")
    tags = r"</?(?:code|details|summary|br)>"
    assert "<" not in re.sub(tags, "", rendered)
    bare = re.sub(r"<code>.*?</code>", "", rendered)
    assert not re.search(r"(?<![&\w])[@#]\w", bare.removeprefix("###"))
    assert "](" not in rendered
    assert "`" not in rendered


@pytest.mark.parametrize("evil", HOSTILE)
def test_a_terminal_gets_no_control_character(evil: str) -> None:
    assert all(letter.isprintable() for letter in words.render(hostile(evil)).replace("\n", ""))
    assert change_json.render(hostile(evil)).isascii()


@pytest.mark.parametrize("size", [10, 1_000, 20_000])
def test_a_comment_of_any_size_keeps_within_githubs_limit_and_its_end(size: int) -> None:
    change = hostile("@" * 500)
    big = replace(
        change,
        keys=change.keys * size,
        resources=(change.resources or ()) * size,
        risks=change.risks * size,
        new_warnings=change.new_warnings * size,
    )
    rendered = comment.render(big)
    assert len(rendered.encode()) <= comment.MOST_BYTES < 65_536
    assert rendered.endswith("no credentials used\n")
    assert "left out here" in rendered or size == 10


def test_a_list_that_is_shifted_is_said_as_its_range_and_single_paths_as_they_are() -> None:
    one, other = "spec.containers[0]", "spec.containers[1]"
    shifted = [f"{one}.env[{index}].{key}" for index in range(2, 12) for key in ("name", "value")]
    assert words.paths([*shifted, f"{one}.env[12]", f"{one}.image", f"{other}.env[3].value", f"{other}.args[0]"]) == (
        f"{one}.env[2..12]",
        f"{one}.image",
        f"{other}.env[3].value",
        f"{other}.args[0]",
    )


def test_the_verdict_leads_with_what_weighs_most() -> None:
    spot = {**GOOD, "pools": {**GOOD["pools"], "a100": {"gpu": "a100-40gb", "replicas": 1}}}
    assert words.verdict(change_of(GOOD, GOOD)) == ("nothing changes",)
    assert re.fullmatch(r"\+\$[\d,]+ at minimum", words.money_verdict(change_of(GOOD, spot))[0])


def test_equal_changes_are_equal_text_and_json_has_every_part() -> None:
    one, other = (change_of(GOOD, {**GOOD, "aliases": {}}) for _ in range(2))
    assert change_json.render(one) == change_json.render(other)
    assert comment.render(one) == comment.render(other)
    document = change_json.document(one)
    assert document["keys"][0]["key"] == "aliases.assistant"
    assert document["keys"][0]["after"] is None
    assert document["level"] == "in-place"
