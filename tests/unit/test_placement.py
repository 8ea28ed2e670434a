"""Which model stands where, with which context; which machines, zones and nodes of a site carry which replicas."""

from typing import Any

import pytest

from infra.catalogue import Catalogue
from tests.unit.conftest import Plan, Problems


def test_a_route_keeps_the_order_of_the_file(plan_of: Plan, good: dict) -> None:
    good["models"]["llama3.1:8b"] = ["a100", "t4"]
    assert {model.name: model.route for model in plan_of(good).models}["llama3.1:8b"] == ("a100", "t4")


def test_the_context_is_8192_capped_at_the_models_own(plan_of: Plan, good: dict) -> None:
    contexts = {model.name: model.context for model in plan_of(good).models}
    assert contexts["llama3.1:8b"] == 8192
    assert contexts["nomic-embed-text"] == 2048
    assert contexts["qwen3:32b"] == 16384


def test_pools_of_two_contexts_give_the_smallest_on_all_and_the_plan_says_so(plan_of: Plan, good: dict) -> None:
    good["pools"]["a100"]["context"] = 4096
    plan = plan_of(good)
    on = {pool.name: {one.model: one.context for one in pool.residents} for pool in plan.pools}
    assert on["t4"]["llama3.1:8b"] == on["a100"]["llama3.1:8b"] == 4096
    (made,) = [one for one in plan.pool("t4").prepared if one.name == "llama3.1:8b" and one.action == "create"]
    assert made.source == "FROM llama3.1:8b\nPARAMETER num_ctx 4096\n"


def test_a_model_with_the_pools_context_is_pulled_and_not_made_again(plan_of: Plan, good: dict) -> None:
    actions = [(one.name, one.action) for one in plan_of(good).pool("t4").prepared]
    assert ("nomic-embed-text", "create") not in actions
    assert ("nomic-embed-text", "pull") in actions


def test_an_alias_is_a_copy_on_every_pool_of_its_model(plan_of: Plan, good: dict) -> None:
    plan = plan_of(good)
    copies = {
        pool.name: [(one.name, one.source) for one in pool.prepared if one.action == "copy"] for pool in plan.pools
    }
    assert ("gpt-3.5-turbo", "llama3.1:8b") in copies["t4"]
    assert ("gpt-3.5-turbo", "llama3.1:8b") in copies["a100"]
    assert copies["k80"] == [("assistant", "llama3.2:3b")]
    assert copies["m60"] == [("assistant", "gemma3:4b")]


def test_what_is_made_from_a_model_stands_as_still_as_that_model(plan_of: Plan, good: dict) -> None:
    assert not {model.name: model.pinned for model in plan_of(good).models}["support-bot"]
    good["models"]["llama3.2:3b"] = {"pools": ["k80"], "digest": "1" * 64}
    assert {model.name: model.pinned for model in plan_of(good).models}["support-bot"]


def test_a_site_pool_stands_on_the_machine_that_has_its_gpu(plan_of: Plan, good: dict) -> None:
    good["pools"]["k80"]["replicas"] = 2
    plan = plan_of(good)
    assert [(one.node, one.replicas, one.gpus_of_node) for one in plan.pool("k80").placements] == [("rig-1", 2, 2)]
    assert [(one.node, one.replicas, one.gpus_of_node) for one in plan.pool("m60").placements] == [("rig-2", 1, 2)]


def test_a_pool_avoids_a_machine_whose_pools_want_another_driver(plan_of: Plan, good: dict) -> None:
    good["sites"]["rig"]["nodes"]["rig-1"]["gpus"] = {"k80": [0, 1], "m60": [2, 3]}
    plan = plan_of(good)
    assert [one.node for one in plan.pool("m60").placements] == ["rig-2"]
    assert not any(one.severity == "error" for one in plan.problems)


def test_cards_of_one_driver_share_a_machine(problems_of: Problems, good: dict) -> None:
    good["sites"]["rig"]["nodes"] = {"pc": box("k80", "m60")}
    good["pools"]["m60"] |= {"driver": "R470", "image": "dogkeeper886/ollama37:v2.1.0"}
    assert not any(one.severity == "error" for one in problems_of(good))


def box(*gpus: str) -> dict:
    """A machine with two devices of each kind."""
    listed = {gpu: [2 * index, 2 * index + 1] for index, gpu in enumerate(gpus)}
    return {"gpus": listed, "memory": "256Gi", "disk": "800Gi"}


def mixed(good: dict, *gpus: str) -> dict:
    """The good file with one pool of each kind in one box."""
    for name in [name for name, pool in good["pools"].items() if pool.get("site") and name not in gpus]:
        del good["pools"][name]
    good["pools"] |= {gpu: {"gpu": gpu, "site": "rig"} for gpu in gpus}
    good["models"] = {"llama3.1:8b": ["t4", "a100"], "tinyllama": sorted({*gpus, "t4", "a100"})}
    good["aliases"] = {}
    good["router"] = {}
    good["sites"]["rig"]["nodes"] = {"pc": box(*gpus)}
    return good


def test_one_driver_is_found_for_all_cards_of_a_box(plan_of: Plan, good: dict) -> None:
    plan = plan_of(mixed(good, "k80", "m60"))
    assert not [one for one in plan.problems if one.severity == "error"]
    assert {plan.pool(name).driver.branch for name in ("k80", "m60")} == {470}
    assert plan.pool("m60").runtime.image == plan.pool("k80").runtime.image == "dogkeeper886/ollama37:v2.1.0"
    assert any(one.place == "fleet.pools.m60.driver" and "R470" in one.message for one in plan.problems)
    # the K80 has what it would have alone
    assert not any(one.place == "fleet.pools.k80.driver" for one in plan.problems)
    remedies = {one.place: one.remedy for one in plan.problems if "community image" in one.message}
    assert remedies["fleet.pools.k80.image"] == "a newer card runs the official image"
    assert remedies["fleet.pools.m60.image"] == "the M60 itself runs ollama/ollama:0.32.15 with driver R580"
    (machine,) = plan.site("rig").machines
    assert (machine.needs.least_driver, machine.needs.most_driver) == (470, 470)
    assert [(cards.title, cards.count) for cards in machine.needs.cards] == [("K80", 2), ("M60", 2)]


def test_cards_that_one_driver_serves_already_keep_their_own_image(plan_of: Plan, good: dict) -> None:
    plan = plan_of(mixed(good, "m60", "p100"))
    assert {plan.pool(name).driver.branch for name in ("m60", "p100")} == {580}
    assert {plan.pool(name).runtime.image for name in ("m60", "p100")} == {"ollama/ollama:0.32.15"}
    assert not [one for one in plan.problems if "serves them all" in one.message]


@pytest.mark.parametrize(
    ("gpus", "said"),
    [
        (("k80", "l4"), "driver R470 for pool k80 and R580 for pool l4"),
        (("k80", "h100"), "driver R470 for pool k80 and R580 for pool h100"),
        (("p4", "rtx-pro-6000"), "the open ones for pool rtx-pro-6000 and the proprietary ones for pool p4"),
    ],
)
def test_cards_that_no_driver_serves_together_are_refused_with_both_needs(
    problems_of: Problems, good: dict, gpus: tuple[str, ...], said: str
) -> None:
    assert any(said in one.message for one in problems_of(mixed(good, *gpus)) if one.severity == "error")


def test_a_driver_that_the_file_names_is_kept(problems_of: Problems, good: dict) -> None:
    good = mixed(good, "k80", "m60")
    good["pools"]["m60"]["driver"] = "R580"
    assert any("and a machine has one driver" in one.message for one in problems_of(good))


def test_two_pools_never_share_a_device_of_a_site(problems_of: Problems, good: dict) -> None:
    good["pools"]["k80-b"] = {"gpu": "k80", "site": "rig"}
    good["models"]["tinyllama"] = ["k80-b"]
    good["pools"]["k80"]["replicas"] = 2
    assert any(one.place == "fleet.pools.k80-b.replicas" and "1 more K80" in one.message for one in problems_of(good))


def test_a_replica_may_span_the_two_devices_of_a_board(plan_of: Plan, good: dict) -> None:
    good["pools"]["m60"]["gpusPerReplica"] = 2
    good["models"]["qwen2.5:14b"] = ["m60"]
    good["models"]["gemma3:4b"] = ["t4"]
    pool = plan_of(good).pool("m60")
    assert pool.memory.devices == 2
    assert pool.memory.busiest < pool.memory.per_device < pool.memory.used


@pytest.mark.parametrize(
    ("pool", "machine", "gpus", "replicas_per_node", "nodes"),
    [
        ({"gpu": "t4", "replicas": 2}, "n1-standard-4", 1, 1, (2, 2)),
        ({"gpu": "t4", "replicas": "0..3", "gpusPerNode": 2}, "n1-standard-8", 2, 2, (0, 2)),
        ({"gpu": "t4", "gpusPerReplica": 3}, "n1-standard-4", 4, 1, (1, 1)),
        ({"gpu": "l4"}, "g2-standard-4", 1, 1, (1, 1)),
        ({"gpu": "l4", "gpusPerReplica": 2}, "g2-standard-24", 2, 1, (1, 1)),
        ({"gpu": "a100-80gb", "gpusPerReplica": 4}, "a2-ultragpu-4g", 4, 1, (1, 1)),
        ({"gpu": "h200", "gpusPerReplica": 4, "replicas": "1..3"}, "a3-ultragpu-8g", 8, 2, (1, 2)),
        ({"gpu": "v100"}, "n1-standard-4", 1, 1, (1, 1)),
        ({"gpu": "none"}, "e2-standard-4", 0, 1, (1, 1)),
        ({"gpu": "k80", "allowWithdrawn": True}, "n1-standard-4", 1, 1, (1, 1)),
        ({"gpu": "m60", "allowWithdrawn": True}, "n1-standard-4", 1, 1, (1, 1)),
    ],
)
def test_the_machine_is_the_cheapest_that_holds_the_replicas(
    plan_of: Plan, pool: dict, machine: str, gpus: int, replicas_per_node: int, nodes: tuple[int, int]
) -> None:
    fleet = {"gke": {"location": "us-central1-c"}, "pools": {"p": pool}, "models": {"tinyllama": ["p"]}}
    found = plan_of(fleet).pool("p").nodes
    assert found is not None
    assert found.gpus_per_node == gpus
    assert found.replicas_per_node == replicas_per_node
    assert (found.minimum, found.maximum) == nodes
    assert found.machine_type == machine
    assert bool(found.accelerator) is bool(gpus)


def test_a_drain_may_take_the_replicas_of_one_machine_at_once(plan_of: Plan, good: dict) -> None:
    good["pools"]["t4"] = {"gpu": "t4", "replicas": "0..3", "gpusPerNode": 2}
    good["pools"]["k80"]["replicas"] = 2
    pools = plan_of(good).pools
    assert {pool.name: pool.leave_together for pool in pools} == {"a100": 1, "k80": 2, "m60": 1, "t4": 2}


def test_all_four_old_and_new_cards_become_gke_pools_when_allowed(plan_of: Plan) -> None:
    gpus = ("k80", "m60", "t4", "a100-40gb")
    pools = {gpu.split("-")[0]: {"gpu": gpu, "allowWithdrawn": gpu in ("k80", "m60")} for gpu in gpus}
    fleet = {"gke": {"location": "us-central1-c"}, "pools": pools, "models": {"tinyllama": list(pools)}}
    plan = plan_of(fleet)
    assert not [one for one in plan.problems if one.severity == "error"]
    accelerators = {pool.name: pool.nodes.accelerator for pool in plan.pools if pool.nodes}
    assert accelerators == {
        "a100": "nvidia-tesla-a100", "k80": "nvidia-tesla-k80", "m60": "nvidia-tesla-m60", "t4": "nvidia-tesla-t4"
    }  # fmt: skip
    assert {pool.name for pool in plan.pools if pool.google_refuses} == {"k80", "m60"}


def fleet_at(location: str, **pool: Any) -> dict:
    return {"gke": {"location": location}, "pools": {"p": {"gpu": "l4", **pool}}, "models": {"tinyllama": ["p"]}}


@pytest.mark.parametrize(
    ("location", "pool", "zones"),
    [
        ("us-central1-b", {}, ("us-central1-b",)),
        ("us-central1", {}, ("us-central1-a",)),
        ("us-east1", {}, ("us-east1-b",)),
        ("us-east1", {"gpu": "none"}, ("us-east1-b",)),
        (
            "us-central1",
            {"zones": ["us-central1-c", "us-central1-a", "us-central1-c"]},
            ("us-central1-a", "us-central1-c"),
        ),
        ("europe-west1", {"gpu": "a100-40gb"}, ("europe-west1-b",)),
        ("africa-south1", {}, ("africa-south1-a",)),
    ],
)
def test_a_pool_stands_in_one_zone_that_exists_unless_the_file_names_more(
    plan_of: Plan, location: str, pool: dict, zones: tuple[str, ...]
) -> None:
    found = plan_of(fleet_at(location, **pool)).pool("p").nodes
    assert found is not None
    assert found.zones == zones


@pytest.mark.parametrize("location", ["us-east1", "europe-west1", "us-central1", "us-west4-b"])
def test_the_system_nodes_stand_in_one_zone_that_exists(plan_of: Plan, catalogue: Catalogue, location: str) -> None:
    cluster = plan_of(fleet_at(location)).cluster
    assert cluster is not None
    known = {zone for gpu in catalogue.gpus.values() if gpu.google for zone in gpu.google.zones}
    assert len(cluster.system_zones) == 1
    assert cluster.system_zones[0] in known


def test_models_at_a_site_take_turns_and_on_gke_stand_together(plan_of: Plan, good: dict) -> None:
    plan = plan_of(good)
    assert {pool.name: pool.loading for pool in plan.pools} == {
        "a100": "together", "k80": "onDemand", "m60": "onDemand", "t4": "together"
    }  # fmt: skip
    assert plan.pool("t4").environment["OLLAMA_KEEP_ALIVE"] == "-1"
    assert int(plan.pool("t4").environment["OLLAMA_MAX_LOADED_MODELS"]) >= 3


@pytest.mark.parametrize(("kilobytes", "fits"), [(200, True), (270, False)])
def test_modelfiles_beyond_a_config_map_are_an_error_before_kubernetes_refuses_them(
    plan_of: Plan, kilobytes: int, fits: bool
) -> None:
    pools = {"p": {"gpu": "l4"}, "home": {"gpu": "k80", "site": "rig"}}
    sites = {"rig": {"docker": {}, "url": "https://rig.example.net", "nodes": {"rig-1": {"gpus": {"k80": 1}}}}}
    told = f"FROM tinyllama\nSYSTEM {'x' * kilobytes * 1024}\n"
    bots = {f"bot-{number}": {"pools": ["p", "home"], "modelfile": told} for number in range(4)}
    models = {"tinyllama": ["p", "home"], **bots}
    plan = plan_of({"gke": {"location": "us-central1-c"}, "pools": pools, "sites": sites, "models": models})
    found = [one for one in plan.problems if "ConfigMap" in one.message]
    # what runs at a site reads no ConfigMap
    assert [one.place for one in found] == ([] if fits else ["fleet.pools.p"])


def test_a_card_whose_name_is_a_guess_is_counted_and_not_called_by_it(plan_of: Plan) -> None:
    def cards(gpu: str) -> str:
        (held,) = plan_of({"gke": {"location": "us-central1-b"}, "pools": {"p": {"gpu": gpu}}}).pool("p").needs.cards
        return held.product

    assert cards("h200") == ".*"
    assert cards("t4") == "Tesla T4"
