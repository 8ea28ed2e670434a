"""Secrets in the file."""

from tests.unit.broken.case import LONG, PASSWORD, TOKEN, Case

CASES: tuple[Case, ...] = (
    Case(
        "a secret in a key's rule",
        {"router/keys/search": {"secure": "v1:AAAA"}},
        "fleet.router.keys.search",
        "a secret stands inside",
        "pulumi config set --secret",
    ),
    Case(
        "a secret in the environment",
        {"pools/t4/env": {"X": {"secure": "v1:AAAA"}}},
        "fleet.pools.t4.env.X",
        "a secret stands inside",
        "pulumi config set --secret",
    ),
    Case(
        "a token by its name",
        {"pools/t4/env": {"HF_TOKEN": "abc"}},
        "fleet.pools.t4.env",
        "'HF_TOKEN' looks like a secret",
        "--secret",
    ),
    Case(
        "a token by its value",
        {"pools/t4/env": {"HELLO": TOKEN}},
        "fleet.pools.t4.env",
        "the value of HELLO looks like a secret",
        "--secret",
    ),
    Case(
        "a token as a key's name",
        {f"router/keys/{TOKEN}": {"x": 1}},
        'fleet.router.keys["..."].x',
        "unknown key",
        "known here",
    ),
    Case(
        "a token as a pool",
        {"models/gemma3:4b": [TOKEN[:30]]},
        'fleet.models["gemma3:4b"].pools',
        "there is no pool",
        "pools: a100",
    ),
    Case(
        "a token as a driver",
        {"pools/t4/driver": LONG},
        "fleet.pools.t4.driver",
        "a value that is not repeated",
        "R580",
    ),
    Case(
        "a token as an unknown key", {LONG: 1}, 'fleet["..."]', "unknown key a value that is not repeated", "known here"
    ),
    Case(
        "credentials in an image",
        {"pools/t4/image": f"me:{PASSWORD}@host/ollama"},
        "fleet.pools.t4.image",
        "not repeated",
        "repository:tag",
    ),
    Case(
        "credentials in a registry",
        {"pools/t4/registry": f"me:{PASSWORD}@host"},
        "fleet.pools.t4.registry",
        "not repeated",
        "",
    ),
    Case(
        "an environment of bad names",
        {"pools/t4/env": {"A-B": "1"}},
        "fleet.pools.t4.env",
        "not the name of an environment",
        "letters",
    ),
    Case(
        "an environment that the plan sets",
        {"pools/t4/env": {"OLLAMA_NUM_PARALLEL": "4"}},
        "fleet.pools.t4.env.OLLAMA_NUM_PARALLEL",
        "the plan sets",
        "write parallel: at the pool",
    ),
)
