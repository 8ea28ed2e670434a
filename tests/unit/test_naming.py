"""Names of cloud and Kubernetes objects: safe, stable, one object to a name."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.plan import naming
from tests.unit.conftest import Problems

QUICK = settings(max_examples=150, deadline=None)
DNS = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
pool_names = st.from_regex(r"[a-z]([-a-z0-9]{0,30}[a-z0-9])?", fullmatch=True)


@given(pool_names)
@QUICK
def test_the_names_of_a_pool_are_dns_labels(name: str) -> None:
    found = naming.pool(name)
    for one in (found.workload, found.node_pool, found.driver, found.models):
        assert DNS.fullmatch(one), one
        assert len(one) <= 63
    assert len(found.node_pool) <= 40


@given(st.text(max_size=120))
@QUICK
def test_the_names_of_a_stack_are_what_google_takes(stack: str) -> None:
    assert re.fullmatch(r"[a-z]([-a-z0-9]{0,38}[a-z0-9])", naming.cluster(stack))
    assert re.fullmatch(r"[a-z]([-a-z0-9]{4,28}[a-z0-9])", naming.node_account(stack))


@given(st.lists(pool_names, unique=True, min_size=2, max_size=6))
@QUICK
def test_two_pools_share_a_name_only_with_an_error(many: list[str]) -> None:
    from infra.config import FleetConfig

    config = FleetConfig.model_validate({"pools": {name: {"gpu": "t4"} for name in many}})
    owned = [
        getattr(naming.pool(name), field) for name in many for field in ("workload", "node_pool", "driver", "models")
    ]
    apart = len({(field, name) for name in many for field in (naming.pool(name).workload, naming.pool(name).models)})
    clash = len(set(owned) & {"ollama-router", "ollama-routes", "ollama-routes-override", "ollama-prepare"}) > 0
    assert apart == 2 * len(many)
    doubled = {naming.pool(name).models for name in many} & {naming.pool(name).workload for name in many}
    assert bool(list(naming.check(config))) is (clash or bool(doubled))


@pytest.mark.parametrize("name", ["router", "routes", "prepare", "routes-override"])
def test_a_pool_may_not_take_the_fleets_own_names(problems_of: Problems, good: dict, name: str) -> None:
    good["pools"][name] = {"gpu": "l4"}
    assert any("the fleet's own object" in one.message for one in problems_of(good))


def test_a_long_stack_name_stays_within_googles_label(good: dict) -> None:
    from infra.plan.build import decide

    cluster = decide(good, stack="x" * 100, project="p").cluster
    assert cluster is not None
    assert all(len(value) <= 63 for value in cluster.labels.values())
