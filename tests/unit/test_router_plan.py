"""The router's part of the plan."""

import json
from dataclasses import replace
from typing import Any

from infra.config import FleetConfig, Site, parse
from infra.plan import router
from infra.plan.build import build
from infra.plan.model import RouterPlan


def fleet(models: int, **pool: Any) -> FleetConfig:
    described = {f"example/model-{index}:8b": {"pools": ["a"], "vram": "1Gi", "disk": "1Gi"} for index in range(models)}
    parsed = parse({"gke": {"location": "us-central1-c"}, "pools": {"a": {"gpu": "h100", **pool}}, "models": described})
    assert parsed.config is not None
    return parsed.config


def planned(config: FleetConfig) -> RouterPlan:
    return build(config, stack="test", project="p").router


def test_a_thousand_models_fit_the_routers_config_map() -> None:
    config = fleet(1000)
    assert not list(router.check(config, planned(config)))


def test_more_names_than_a_config_map_holds_are_an_error_before_kubernetes_refuses_it() -> None:
    config = fleet(3)
    plan = planned(config)
    room = router.CONFIG_MAP_BYTES - len(plan.facts) - len(plan.rules)
    assert not list(router.check(config, replace(plan, routes="x" * (room - 1))))
    (problem,) = router.check(config, replace(plan, routes="x" * room))
    assert problem.place == "fleet.models"
    assert "3 names" in problem.message
    assert "two stacks" in problem.remedy
    # no cluster at Google, but one of the owner's; on a machine with Docker nothing holds back a file
    for kind, told in (({"kubernetes": {}}, 1), ({"docker": {}}, 0)):
        site = Site.model_validate({**kind, "url": "https://lab.example.org"})
        elsewhere = config.model_copy(update={"gke": None, "sites": {"lab": site}})
        assert len(list(router.check(elsewhere, replace(plan, routes="x" * room)))) == told


def test_the_door_waits_for_streams_as_long_as_the_slowest_pool() -> None:
    assert planned(fleet(1)).drain_limit == 120
    assert planned(fleet(1, drainLimit=600)).drain_limit == 600
    assert planned(fleet(1, drainLimit=5)).drain_limit == 120


def test_the_facts_say_what_the_map_cannot() -> None:
    parsed = parse(
        {
            "pools": {
                "t4": {"gpu": "t4", "site": "rig", "whenBusy": "spill", "parallel": 2},
                "k80": {"gpu": "k80", "site": "rig"},
            },
            "models": {"llama3.2:3b": {"pools": ["t4", "k80"], "digest": "a" * 64}},
            "sites": {"rig": {"endpoints": ["http://10.0.0.1:11434"]}},
        }
    )
    assert parsed.config is not None
    facts = json.loads(planned(parsed.config).facts)
    model = facts["models"]["llama3.2:3b"]
    assert (model["digest"], model["details"]["family"], model["details"]["quantization_level"]) == (
        "a" * 64,
        "llama",
        "Q4_K_M",
    )
    assert model["size"] > 10**9
    assert facts["pools"] == {"t4": {"spillsAt": 2}, "k80": {"missing": ["/v1/responses", "/api/status"]}}
    assert facts["version"]


def test_a_route_that_no_pool_of_a_model_has_is_a_line_of_the_plan() -> None:
    parsed = parse(
        {
            "pools": {"t4": {"gpu": "t4", "site": "rig"}, "k80": {"gpu": "k80", "site": "rig"}},
            "models": {"llama3.2:3b": ["k80"], "llama3.2:1b": ["k80", "t4"]},
            "sites": {"rig": {"endpoints": ["http://10.0.0.1:11434"]}},
        }
    )
    assert parsed.config is not None
    problems = build(parsed.config, stack="test", project=None).problems
    lines = [problem.message for problem in problems if "501" in problem.message]
    assert lines == ["no pool of llama3.2:3b has /v1/responses: the router answers 501"]


def test_a_public_door_at_a_site_needs_no_secret_of_a_cluster() -> None:
    fleet = {
        "pools": {"m60": {"gpu": "m60", "site": "rig"}},
        "models": {"llama3.2:3b": ["m60"]},
        "sites": {"rig": {"docker": {}, "nodes": {"a": {"gpus": {"m60": 2}, "memory": "32Gi", "disk": "400Gi"}}}},
        "router": {"site": "rig", "expose": "public"},
    }
    parsed = parse(fleet)
    assert parsed.config is not None
    assert not [problem for problem in parsed.problems if problem.place == "fleet.router.tls"]
    cloud = parse(fleet | {"gke": {"location": "us-central1-c"}})
    assert [problem.place for problem in cloud.problems if problem.severity == "error"] == ["fleet.router.tls"]
