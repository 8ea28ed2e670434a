"""The bill: from list prices, at the minimum and at the maximum, with the budget held against it."""

import re

import pytest

from infra.catalogue import Catalogue
from infra.plan.model import CostPlan
from tests.unit.conftest import Plan, Problems


def bill(plan_of: Plan, fleet: dict) -> CostPlan:
    cost = plan_of(fleet).cost
    assert cost is not None
    return cost


def test_every_figure_is_reckoned_by_hand(plan_of: Plan, good: dict) -> None:
    cost, month = bill(plan_of, good), 730
    disk = 100 * 0.10 / month
    t4 = 0.35 + 4 * 0.031611 + 15 * 0.004237 + disk
    assert cost.pool("t4").minimum == 0
    assert cost.pool("t4").maximum == pytest.approx(2 * t4)
    assert cost.pool("a100").maximum == pytest.approx(2.12081 + disk)
    system = 2 * 0.0218116 + 8 * 0.0029235 + 50 * 0.10 / month
    assert cost.base.minimum == pytest.approx(0.10 + system + 0.0014 + 0.005)
    # at most two system nodes, two T4 and one A100 stand behind the NAT
    assert cost.base.maximum == pytest.approx(0.10 + 2 * system + 5 * 0.0014 + 0.005)
    assert cost.total.maximum == pytest.approx(cost.base.maximum + 2 * t4 + 2.12081 + disk)


def test_two_t4_cost_788_a_month_and_a_spot_a100_1548_beside_their_disks(plan_of: Plan, good: dict) -> None:
    cost = bill(plan_of, good)
    assert cost.monthly(cost.pool("t4").maximum) == pytest.approx(788 + 20, abs=2)
    assert cost.monthly(cost.pool("a100").maximum) == pytest.approx(1548 + 10, abs=2)


@pytest.mark.parametrize(
    ("gpu", "machine"), [("t4", "n1-standard-4"), ("l4", "g2-standard-4"), ("a100-80gb", "a2-ultragpu-1g")]
)
def test_spot_is_cheaper_than_on_demand(plan_of: Plan, good: dict, gpu: str, machine: str) -> None:
    good["pools"]["t4"] = {"gpu": gpu, "machineType": machine}
    dear = bill(plan_of, good).pool("t4").maximum
    good["pools"]["t4"]["spot"] = True
    assert 0 < bill(plan_of, good).pool("t4").maximum < 0.7 * dear


def test_gpus_and_replicas_multiply(plan_of: Plan, good: dict) -> None:
    good["pools"]["t4"] = {"gpu": "t4", "replicas": "1..4", "gpusPerNode": 2, "machineType": "n1-standard-8"}
    cost = bill(plan_of, good).pool("t4")
    node = 2 * 0.35 + 8 * 0.031611 + 30 * 0.004237
    assert cost.minimum == pytest.approx(node, abs=0.03)
    assert cost.maximum == pytest.approx(2 * node, abs=0.05)


def test_more_replicas_never_cost_less(plan_of: Plan, good: dict) -> None:
    totals = []
    for most in range(1, 12):
        good["pools"]["t4"]["replicas"] = f"0..{most}"
        totals.append(bill(plan_of, good).total.maximum)
    assert totals == sorted(set(totals))


def test_the_date_is_that_of_the_oldest_price_in_the_bill(plan_of: Plan, good: dict, catalogue: Catalogue) -> None:
    prices = catalogue.prices["us-central1"]
    good["gke"]["cluster"] = "shared-prod"
    good["pools"]["a100"] = {"gpu": "none"}
    good["models"]["qwen3:32b"]["pools"] = ["t4"]
    assert bill(plan_of, good).date == min(
        prices.families["n1"].date, prices.families["e2"].date, prices.gpus["t4"].date, prices.disks["pd-balanced"].date
    )
    unused = min(fact.date for fact in (*prices.machines.values(), *prices.families.values()))
    assert unused < bill(plan_of, good).date, "nothing in the catalogue is older than what is used: choose another"


def test_a_budget_that_is_met_to_the_cent_is_met(plan_of: Plan, problems_of: Problems, good: dict) -> None:
    cost = bill(plan_of, good)
    for total in (cost.total.minimum, cost.total.maximum):
        exact = cost.monthly(total)
        for limit, spoken in ((exact, False), (exact - 0.001, True)):
            good["budget"]["monthlyUsd"] = limit
            found = [one for one in problems_of(good) if one.place == "fleet.budget.monthlyUsd"]
            if total == cost.total.maximum:
                assert bool(found) is spoken
            else:
                assert (found[0].severity == "error") is spoken


def test_a_budget_that_is_missed_by_a_cent_is_told_in_cents(plan_of: Plan, problems_of: Problems, good: dict) -> None:
    cost = bill(plan_of, good)
    for total in (cost.total.minimum, cost.total.maximum):
        good["budget"]["monthlyUsd"] = round(cost.monthly(total) - 0.02, 2)
        (found,) = [one for one in problems_of(good) if one.place == "fleet.budget.monthlyUsd"]
        figures = re.findall(r"\$([\d,.]+\d)", found.message)
        assert figures[0] != figures[1], found.message


def test_an_existing_cluster_has_no_base_and_the_bill_says_so(plan_of: Plan, good: dict) -> None:
    good["gke"]["cluster"] = "shared-prod"
    cost = bill(plan_of, good)
    assert cost.base.maximum == 0
    assert "the existing cluster's own base" in cost.not_counted


def test_an_existing_network_has_its_own_nat(plan_of: Plan, good: dict) -> None:
    good["gke"]["network"] = {"vpc": "host/shared", "subnet": "gpu", "pods": "pods", "services": "services"}
    assert "NAT" not in {line.title for line in bill(plan_of, good).lines}


def test_a_region_has_its_own_prices_or_says_whose_they_are(plan_of: Plan, good: dict) -> None:
    good["gke"]["location"] = "europe-west4-a"
    cost = bill(plan_of, good)
    assert (cost.region, cost.priced_in) == ("europe-west4", "europe-west4")
    assert cost.pool("t4").maximum != bill(plan_of, good | {"gke": {"location": "us-central1-c"}}).pool("t4").maximum
    good["gke"]["location"] = "asia-east1-a"
    cost = bill(plan_of, good)
    assert (cost.region, cost.priced_in) == ("asia-east1", "us-central1")


def test_without_gke_there_is_no_bill(plan_of: Plan) -> None:
    assert plan_of({}).cost is None


@pytest.mark.parametrize(("limit", "severity"), [(100, "error"), (1000, "warning"), (3000, None)])
def test_a_budget_is_an_error_below_the_minimum_and_a_warning_below_the_maximum(
    problems_of: Problems, good: dict, limit: int, severity: str | None
) -> None:
    good["budget"]["monthlyUsd"] = limit
    found = [one.severity for one in problems_of(good) if one.place == "fleet.budget.monthlyUsd"]
    assert found == ([severity] if severity else [])


@pytest.mark.parametrize(
    ("router", "more"),
    [
        ({}, {"chat volume"}),
        ({"expose": "internal"}, {"chat volume", "chat load balancer"}),
        (
            {"expose": "public", "tls": "door"},
            {"chat volume", "chat load balancer", "chat address"},
        ),
    ],
)
def test_a_chat_costs_its_volume_and_is_exposed_at_a_price(
    plan_of: Plan, good: dict, router: dict, more: set[str]
) -> None:
    good["router"] = router
    before = bill(plan_of, good)
    good["chat"] = {"disk": "20Gi"}
    after = bill(plan_of, good)
    assert {line.title for line in after.lines} - {line.title for line in before.lines} == more
    (volume,) = [line for line in after.lines if line.title == "chat volume"]
    assert after.monthly(volume.hourly.minimum) == pytest.approx(22 * 0.1, rel=0.5)
    assert after.total.minimum > before.total.minimum


def test_the_bill_carries_the_day_of_its_oldest_price(plan_of: Plan, good: dict) -> None:
    assert bill(plan_of, good).date.isoformat() >= "2026-01-01"
