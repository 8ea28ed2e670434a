"""Values of the wrong type."""

from tests.unit.broken.case import DROP, Case

CASES: tuple[Case, ...] = (
    Case(
        "an input beyond all bounds",
        {"models/support-bot/inputs": {"temperature": 10**31}},
        "fleet.models.support-bot.inputs.temperature",
        "a number beyond all bounds",
        "quotes",
    ),
    Case("pools is a list", {"pools": ["t4"]}, "fleet.pools", "a list is not a mapping", "write key: value pairs"),
    Case(
        "pools is empty",
        {"pools": None},
        "fleet.pools",
        "nothing is not a mapping",
        "write key: value pairs",
    ),
    Case("a budget is a number", {"budget": 1500}, "fleet.budget", "1500 is not a mapping", "below it: monthlyUsd"),
    Case("models is a list", {"models": ["llama3.1:8b"]}, "fleet.models", "a list is not", "llama3.1:8b: [t4]"),
    Case("models is a word", {"models": "llama3"}, "fleet.models", "'llama3' is not a mapping", "key: value"),
    Case("a pool is a word", {"pools/t4": "t4"}, "fleet.pools.t4", "'t4' is not a mapping", "key: value"),
    Case("a pool is nothing", {"pools/t4": None}, "fleet.pools.t4", "nothing is not a mapping", "key: value"),
    Case("a pool has no gpu", {"pools/t4/gpu": DROP}, "fleet.pools.t4.gpu", "the key gpu is missing", "add gpu"),
    Case("gpu is a number", {"pools/t4/gpu": 4}, "fleet.pools.t4.gpu", "4 is not text", "in quotes"),
    Case(
        "gke has no location", {"gke/location": DROP}, "fleet.gke.location", "location is missing", "A zone or a region"
    ),
    Case("gke is a word", {"gke": "us-central1"}, "fleet.gke", "is not a mapping", "key: value"),
    Case(
        "spot in quotes",
        {"pools/a100/spot": "yes"},
        "fleet.pools.a100.spot",
        "'yes' is not true or false",
        "true or false",
    ),
    Case(
        "spot is a number", {"pools/a100/spot": 1}, "fleet.pools.a100.spot", "1 is not true or false", "true or false"
    ),
    Case(
        "context in quotes",
        {"pools/t4/context": "8192"},
        "fleet.pools.t4.context",
        "is not a whole number",
        "without quotes",
    ),
    Case(
        "context is a fraction",
        {"pools/t4/context": 8.5},
        "fleet.pools.t4.context",
        "is not a whole number",
        "whole number",
    ),
    Case(
        "context is a truth value",
        {"pools/t4/context": True},
        "fleet.pools.t4.context",
        "true is not a whole number",
        "number",
    ),
    Case(
        "the route is a word",
        {"models/gemma3:4b": "t4"},
        'fleet.models["gemma3:4b"]',
        "pools of a model are a list",
        "[t4]",
    ),
    Case(
        "the route holds a number",
        {"models/gemma3:4b": ["t4", 4]},
        'fleet.models["gemma3:4b"][1]',
        "4 is not text",
        "quotes",
    ),
    Case(
        "zones is a word", {"pools/t4/zones": "us-central1-a"}, "fleet.pools.t4.zones", "is not a list", "in brackets"
    ),
    Case(
        "keys is a list",
        {"router/keys": ["a"]},
        "fleet.router.keys",
        "a list is not a mapping",
        "below it: NAME: {}, and between its brackets what you want of models, requestsPerMinute",
    ),
    Case(
        "an input is a list",
        {"models/support-bot/inputs/temperature": [1]},
        "fleet.models.support-bot.inputs.temperature",
        "a text or a number",
        "quotes",
    ),
    Case(
        "the budget is a word", {"budget/monthlyUsd": "lots"}, "fleet.budget.monthlyUsd", "is not a number", "a number"
    ),
)
