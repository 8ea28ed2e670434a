"""The budget, and what has no price."""

from tests.unit.broken.case import DROP, Case

CASES: tuple[Case, ...] = (
    Case(
        "a budget below the minimum",
        {"budget/monthlyUsd": 5},
        "fleet.budget.monthlyUsd",
        "costs at least",
        "raise the budget",
    ),
    Case(
        "a budget below the maximum",
        {"budget/monthlyUsd": 1000},
        "fleet.budget.monthlyUsd",
        "not a cap",
        "lower the maximum",
        "warning",
    ),
    Case(
        "a region without prices",
        {"gke/location": "asia-east1-a", "pools/a100": DROP, "models/qwen3:32b": DROP, "models/llama3.1:8b": ["t4"]},
        "fleet.gke.location",
        "no prices of asia-east1",
        "Google's price list",
        "warning",
    ),
)
