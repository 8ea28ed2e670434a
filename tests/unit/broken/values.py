"""Values out of bounds, and texts without their form: replicas, sizes, times, digests, images, drivers, addresses."""

from tests.unit.broken.case import PASSWORD, Case

CASES: tuple[Case, ...] = (
    Case("context is 0", {"pools/t4/context": 0}, "fleet.pools.t4.context", "0 is out of bounds", "1 or more"),
    Case(
        "parallel is too high", {"pools/t4/parallel": 1000}, "fleet.pools.t4.parallel", "out of bounds", "256 or less"
    ),
    Case("a budget of nothing", {"budget/monthlyUsd": 0}, "fleet.budget.monthlyUsd", "out of bounds", "above 0"),
    Case("a budget without end", {"budget/monthlyUsd": float("inf")}, "fleet.budget.monthlyUsd", "finite", "a number"),
    Case(
        "a weight of 0",
        {"aliases/assistant/llama3.2:3b": 0},
        'fleet.aliases.assistant["llama3.2:3b"]',
        "out of bounds",
        "1 or more",
    ),
    Case(
        "too many GPUs a node",
        {"pools/t4/gpusPerNode": 99},
        "fleet.pools.t4.gpusPerNode",
        "out of bounds",
        "16 or less",
    ),
    Case("no replicas at all", {"pools/t4/replicas": 0}, "fleet.pools.t4.replicas", "serves nothing", "0..1"),
    Case("0..0 replicas", {"pools/t4/replicas": "0..0"}, "fleet.pools.t4.replicas", "serves nothing", "0..1"),
    Case(
        "replicas the wrong way round",
        {"pools/t4/replicas": "2..0"},
        "fleet.pools.t4.replicas",
        "serves nothing|cannot both",
        "0..1|smaller",
    ),
    Case(
        "replicas 3..1",
        {"pools/t4/replicas": "3..1"},
        "fleet.pools.t4.replicas",
        "cannot both hold",
        "smaller number first",
    ),
    Case(
        "replicas with a dash",
        {"pools/t4/replicas": "0-2"},
        "fleet.pools.t4.replicas",
        "'0-2' is not a number of replicas",
        "0..2",
    ),
    Case(
        "replicas are true",
        {"pools/t4/replicas": True},
        "fleet.pools.t4.replicas",
        "is not a number of replicas",
        "write 2",
    ),
    Case(
        "replicas are a fraction",
        {"pools/t4/replicas": 1.5},
        "fleet.pools.t4.replicas",
        "is not a number of replicas",
        "write 2",
    ),
    Case(
        "replicas are negative",
        {"pools/t4/replicas": -1},
        "fleet.pools.t4.replicas",
        "out of bounds",
        "or more",
        alone=False,
    ),
    Case(
        "replicas are a list",
        {"pools/t4/replicas": [0, 2]},
        "fleet.pools.t4.replicas",
        "a list is not a number of replicas",
        "0..2",
    ),
    Case(
        "replicas without a maximum",
        {"pools/t4/replicas": {"min": 1}},
        "fleet.pools.t4.replicas.max",
        "max is missing",
        "add max",
    ),
    Case("a disk without meaning", {"pools/t4/disk": "large"}, "fleet.pools.t4.disk", "'large' is not a size", "400Gi"),
    Case("a disk below zero", {"pools/t4/disk": "-5Gi"}, "fleet.pools.t4.disk", "is not a size", "400Gi"),
    Case(
        "a disk of a number without end", {"pools/t4/disk": "9" * 400}, "fleet.pools.t4.disk", "is not a size", "400Gi"
    ),
    Case("a disk of the wrong unit", {"pools/t4/disk": "10 gigs"}, "fleet.pools.t4.disk", "is not a size", "400Gi"),
    Case(
        "a duration without unit",
        {"pools/t4/pullDeadline": "10"},
        "fleet.pools.t4.pullDeadline",
        "is not a duration",
        "90s",
    ),
    Case(
        "a duration in words",
        {"pools/t4/drainLimit": "two minutes"},
        "fleet.pools.t4.drainLimit",
        "is not a duration",
        "10m",
    ),
    Case(
        "a duration of ages", {"pools/t4/drainLimit": "99999d"}, "fleet.pools.t4.drainLimit", "longer than a year", "2h"
    ),
    Case(
        "keepAlive in words", {"pools/t4/keepAlive": "always"}, "fleet.pools.t4.keepAlive", "is not a duration", "10m"
    ),
    Case(
        "a short digest",
        {"models/qwen3:32b/digest": "abc"},
        'fleet.models["qwen3:32b"].digest',
        "64 hex digits",
        "/api/tags",
    ),
    Case(
        "half of a character in what fills a Modelfile",
        {"models/support-bot/inputs/temperature": "\ud800"},
        "fleet.models.support-bot.modelfile",
        "half of a character",
        "write the whole one",
    ),
    Case(
        "a digest of another kind",
        {"models/qwen3:32b/digest": "md5:" + "0" * 64},
        'fleet.models["qwen3:32b"].digest',
        "64 hex",
        "sha256",
    ),
    Case(
        "a digest on a Modelfile",
        {"models/support-bot/digest": "1" * 64},
        "fleet.models.support-bot.digest",
        "made from its Modelfile",
        "at the model that FROM names",
    ),
    Case(
        "an image with blanks",
        {"pools/t4/image": "ollama latest"},
        "fleet.pools.t4.image",
        "is not a container image",
        "repository:tag",
    ),
    Case(
        "a driver as a fraction",
        {"pools/t4/driver": 580.126},
        "fleet.pools.t4.driver",
        "580.126 is not a driver",
        "in quotes",
    ),
    Case(
        "a driver in words", {"pools/t4/driver": "latest"}, "fleet.pools.t4.driver", "'latest' is not a driver", "R580"
    ),
    Case(
        "a URL without scheme",
        {"sites/rig/url": "rig.example.ts.net"},
        "fleet.sites.rig.url",
        "not an http(s) URL",
        "https://",
    ),
    Case(
        "a URL with credentials",
        {"sites/rig/url": f"https://me:{PASSWORD}@rig.example.ts.net"},
        "fleet.sites.rig.url",
        "carries credentials",
        "siteTokens",
    ),
    Case(
        "credentials without a scheme",
        {"sites/rig/url": f"me:{PASSWORD}@rig.example.ts.net"},
        "fleet.sites.rig.url",
        "carries credentials",
        "siteTokens",
    ),
    Case(
        "a URL with a query",
        {"sites/rig/url": f"https://rig.example.ts.net/?token={PASSWORD}"},
        "fleet.sites.rig.url",
        "more than scheme, host and port",
        "write scheme",
    ),
    Case(
        "a URL with a bad port",
        {"sites/rig/url": "https://rig:99999"},
        "fleet.sites.rig.url",
        "cannot be read",
        "write scheme",
    ),
    Case(
        "a URL with a command",
        {"sites/rig/url": "https://$(id).example.org"},
        "fleet.sites.rig.url",
        "not an http(s) URL",
        "write scheme",
    ),
    Case(
        "a URL with a quote",
        {"sites/rig/url": 'https://rig".example'},
        "fleet.sites.rig.url",
        "not an http(s) URL",
        "write scheme",
    ),
    Case(
        "a public address without TLS",
        {"sites/rig/url": "http://rig.example.com"},
        "fleet.sites.rig.url",
        "without TLS",
        "https://",
    ),
    Case(
        "an endpoint without TLS",
        {"sites/rig": {"endpoints": ["https://a.example.com", "http://8.8.8.8:11434"]}},
        "fleet.sites.rig.endpoints[1]",
        "without TLS",
        "https://",
    ),
    Case(
        "a schedule that is no cron time",
        {"pools/t4/schedule": [{"from": "8:00", "to": "0 18 * * *"}]},
        "fleet.pools.t4.schedule[0].from",
        "'8:00' is not a cron time",
        "five fields",
    ),
    *(
        Case(
            f"a value that no program can be given: {title}",
            {"pools/t4/env": {"OLLAMA_DEBUG": value}},
            "fleet.pools.t4.env",
            "the value of OLLAMA_DEBUG is none that a program can be given",
            "NUL",
        )
        for title, value in (("NUL", "1\0"), ("half a character", "\ud800"), ("a megabyte", "a b " * 2**18))
    ),
    Case(
        "an image with a letter of another alphabet",
        {"pools/t4/image": "ollama/oll\u0430ma:0.32.15"},
        "fleet.pools.t4.image",
        "is not a container image",
        "repository:tag",
    ),
    Case(
        "a version of five thousand digits",
        {"pools/t4/image": f"ollama/ollama:0.0.{'9' * 5000}"},
        "fleet.pools.t4.image",
        "out of bounds",
        "at most 512",
    ),
    Case(
        "a driver in digits of another alphabet",
        {"pools/t4/driver": "R\u0665\u0668\u0660"},
        "fleet.pools.t4.driver",
        "is not a driver",
        "R580",
    ),
)
