"""Where models come from and where they are kept."""

from tests.unit.broken.case import PASSWORD, Case

CASES: tuple[Case, ...] = (
    Case("the node's own disk", {"pools/t4/storage": "node"}, "fleet.pools.t4.storage", "Pod Security", "volume"),
    Case(
        "nothing fetched and nothing there",
        {"pools/t4/registry": "none"},
        'fleet.models["llama3.1:8b"]',
        "begins empty with each pod",
        "storage: volume",
        alone=False,
    ),
    Case(
        "a registry with a tag",
        {"pools/t4/registry": "registry.lan:5000/team:1"},
        "fleet.pools.t4.registry",
        "is not a registry",
        "host/namespace",
    ),
    Case(
        "a registry with too much behind it",
        {"models/qwen3:32b/registry": "registry.lan/a/b/c"},
        'fleet.models["qwen3:32b"].registry',
        "is not a registry",
        "host/namespace/model:tag",
    ),
    Case(
        "a CA that is a path",
        {"proxy": {"https": "http://proxy:3128", "ca": "ca.pem"}},
        "fleet.proxy.ca",
        "not a certificate in PEM form",
        "BEGIN CERTIFICATE",
    ),
    Case(
        "every host without the proxy",
        {"proxy": {"https": "http://proxy:3128", "no": ["10.0.0.0/8", "*"]}},
        "fleet.proxy.no[1]",
        "is not a host",
        "such as .example.org",
    ),
    Case(
        "two hosts as one",
        {"proxy": {"https": "http://proxy:3128", "no": ["a.lan, b.lan"]}},
        "fleet.proxy.no[0]",
        "is not a host",
        "each an entry of its own",
    ),
    Case(
        "a volume that is too small",
        {"pools/a100/storage": "volume", "pools/a100/volumeSize": "20Gi"},
        "fleet.pools.a100.volumeSize",
        "a volume of 20Gi leaves 20.4 GB, and its models need",
        "volumeSize: 50G",
    ),
    Case(
        "a size of no volume",
        {"pools/t4/volumeSize": "200Gi"},
        "fleet.pools.t4.volumeSize",
        "has no volume: its models are kept with the pod",
        "storage: volume",
        "warning",
        alone=False,
    ),
    Case("a volume for two", {"pools/t4/storage": "volume"}, "fleet.pools.t4.storage", "one writer", "one replica"),
    Case(
        "a proxy with credentials",
        {"proxy": {"https": f"http://me:{PASSWORD}@proxy:3128"}},
        "fleet.proxy.https",
        "carries credentials",
        "take",
    ),
)
