"""Models that do not fit their GPU."""

from tests.unit.broken.case import Case

CASES: tuple[Case, ...] = (
    Case(
        "a model that does not fit",
        {"models/gemma3:4b": ["m60"], "pools/m60/context": 131072},
        "fleet.pools.m60",
        "do not fit the M60",
        "fits with context: ",
    ),
    Case(
        "a model that does not fit at all",
        {"models/llama3.3:70b": ["t4"]},
        "fleet.pools.t4",
        "do not fit the T4",
        "larger GPU",
    ),
    Case(
        "models that fit tightly",
        {
            "models/llama3.2:1b": ["t4"],
        },
        "fleet.pools.t4",
        "tightly",
        "move llama3.1:8b to another pool",
        "warning",
    ),
    Case(
        "models that take turns",
        {"models/gemma3:1b": ["m60"]},
        "fleet.pools.m60.loading",
        "2 models take turns",
        "loading: together",
        "warning",
    ),
    Case(
        "two contexts of one blob",
        {"models/support-bot/context": 4096},
        "fleet.models.support-bot.context",
        "are one blob",
        "the same context",
    ),
    Case(
        "a context beyond the model",
        {"models/nomic-embed-text": {"pools": ["t4"], "context": 8192}},
        "fleet.models.nomic-embed-text.context",
        "ends at 2048 tokens",
        "context: 2048",
        "warning",
    ),
    Case(
        "pools of two contexts",
        {"pools/a100/context": 4096},
        'fleet.models["llama3.1:8b"]',
        "a100 4096, t4 8192",
        "context: N at the model",
        "warning",
    ),
    Case(
        "figures that are not used",
        {"models/gemma3:4b": {"pools": ["t4"], "vram": "1Gi"}},
        'fleet.models["gemma3:4b"].vram',
        "not used",
        "take vram out",
        "warning",
    ),
)
