"""Keys that nobody knows, and a file that is no mapping."""

from tests.unit.broken.case import Case

CASES: tuple[Case, ...] = (
    Case("the fleet is a list", {"": ["t4"]}, "fleet", "a list, not a mapping", "write gke"),
    Case("the fleet is empty", {"": None}, "fleet", "nothing, not a mapping", "write gke"),
    Case("the fleet is a word", {"": "t4"}, "fleet", "'t4', not a mapping", "write gke"),
    Case("unknown key at the top", {"pool": {}}, "fleet.pool", "unknown key 'pool'", "did you mean pools?"),
    Case("unknown key far from any", {"xyzzy": 1}, "fleet.xyzzy", "unknown key 'xyzzy'", "known here: aliases"),
    Case("unknown key in gke", {"gke/zone": "x"}, "fleet.gke.zone", "unknown key 'zone'", "known here: cluster"),
    Case(
        "unknown key in network",
        {"gke/network": {"vpc": "a", "subnet": "b", "pods": "c", "services": "d", "podz": 1}},
        "fleet.gke.network.podz",
        "unknown key",
        "did you mean pods?",
    ),
    Case(
        "unknown key in a pool",
        {"pools/t4/machine_type": "n1-standard-4"},
        "fleet.pools.t4.machine_type",
        "unknown key",
        "did you mean machineType?",
    ),
    Case(
        "an authority without a certificate",
        {"sites/rig/ca": "-----BEGIN CERTIFICATE-----\nor so\n"},
        "fleet.sites.rig.ca",
        "no certificate in PEM form",
        "name the file",
    ),
    Case("a key in capitals", {"pools/t4/GPU": "t4"}, "fleet.pools.t4.GPU", "unknown key", "did you mean gpu?"),
    Case(
        "unknown key in replicas",
        {"pools/t4/replicas": {"min": 0, "max": 1, "maximum": 2}},
        "fleet.pools.t4.replicas.maximum",
        "unknown key",
        "did you mean max?",
    ),
    Case(
        "unknown key in a model",
        {"models/qwen3:32b/ctx": 1},
        'fleet.models["qwen3:32b"].ctx',
        "unknown key",
        "known here: context",
    ),
    Case("unknown key in a site", {"sites/rig/uri": "x"}, "fleet.sites.rig.uri", "unknown key", "did you mean url?"),
    Case(
        "unknown key in a machine of a site",
        {"sites/rig/nodes/rig-1/gpu": {"k80": 1}},
        "fleet.sites.rig.nodes.rig-1.gpu",
        "unknown key",
        "did you mean gpus?",
    ),
    Case(
        "unknown key in docker",
        {"sites/rig/docker": {"host": 1}},
        "fleet.sites.rig.docker.host",
        "unknown key",
        "take it out",
    ),
    Case(
        "unknown key in the router",
        {"router/sourceRange": []},
        "fleet.router.sourceRange",
        "unknown key",
        "did you mean sourceRanges?",
    ),
    Case(
        "unknown key in an API key",
        {"router/keys/search/rpm": 1},
        "fleet.router.keys.search.rpm",
        "unknown key",
        "known here: models",
    ),
    Case(
        "unknown key in the budget",
        {"budget/monthly": 1},
        "fleet.budget.monthly",
        "unknown key",
        "did you mean monthlyUsd?",
    ),
    Case(
        "unknown key in scaling",
        {"pools/t4/scaling": {"by": "inFlight", "upafter": 3}},
        "fleet.pools.t4.scaling.upafter",
        "unknown key",
        "did you mean upAfter?",
    ),
    Case(
        "unknown key in a schedule",
        {"pools/t4/schedule": [{"from": "0 8 * * *", "to": "0 9 * * *", "tz": "UTC"}]},
        "fleet.pools.t4.schedule[0].tz",
        "unknown key",
        "known here: from",
    ),
    Case(
        "unknown key in monitoring", {"monitoring": {"typ": "x"}}, "fleet.monitoring.typ", "unknown key", "known here"
    ),
    Case(
        "extends inside a pool", {"pools/t4/extends": "x.yaml"}, "fleet.pools.t4.extends", "unknown key", "known here"
    ),
)
