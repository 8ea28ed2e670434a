"""The router's part of the plan."""

from infra.config import FleetConfig, parse
from infra.plan import router


def fleet(models: int, name: str = "example/model-{}:8b") -> FleetConfig:
    described = {name.format(index): {"pools": ["a"], "vram": "1Gi", "disk": "1Gi"} for index in range(models)}
    parsed = parse({"gke": {"location": "us-central1-c"}, "pools": {"a": {"gpu": "h100"}}, "models": described})
    assert parsed.config is not None
    return parsed.config


def test_a_thousand_models_fit_the_routers_config_map() -> None:
    assert not list(router.check(fleet(1000)))


def test_more_names_than_a_config_map_holds_are_an_error_before_kubernetes_refuses_it() -> None:
    (problem,) = router.check(fleet(1800))
    assert problem.place == "fleet.models"
    assert "1800 names" in problem.message
    assert "two stacks" in problem.remedy


def test_long_names_count_for_more() -> None:
    assert list(router.check(fleet(1500, "example/" + "long" * 40 + "-{}:8b")))
