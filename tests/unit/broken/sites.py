"""Machines outside Google Cloud."""

from tests.unit.broken.case import DROP, Case

NOT_BUILT = (
    (
        "sites/rig/nodes/rig-1",
        {"gpus": {"k80": 2}, "memory": "64Gi", "disk": "400Gi", "cpus": 8},
        "fleet.sites.rig.nodes.rig-1.cpus",
    ),
    (
        "sites/rig/nodes/rig-1",
        {"gpus": {"k80": 2}, "memory": "64Gi", "disk": "400Gi", "os": "ubuntu22.04"},
        "fleet.sites.rig.nodes.rig-1.os",
    ),
)
"""Keys that parse and that nothing acts on, defaults in so many words included: (path, value, place)."""

CASES: tuple[Case, ...] = (
    Case(
        "a site of two kinds",
        {"sites/rig/endpoints": ["https://a.example.com"]},
        "fleet.sites.rig",
        "exactly one of",
        "docker: {}",
    ),
    Case("a site of no kind", {"sites/rig/docker": DROP}, "fleet.sites.rig", "exactly one of", "docker: {}"),
    Case("a site without url", {"sites/rig/url": DROP}, "fleet.sites.rig.url", "url is missing", "add url"),
    Case(
        "endpoints with machines",
        {"sites/rig/docker": DROP, "sites/rig/endpoints": ["https://a.example.com"]},
        "fleet.sites.rig",
        "no nodes and no url",
        "keep endpoints",
    ),
    Case(
        "two drivers in one machine",
        {
            "pools/l4": {"gpu": "l4", "site": "rig"},
            "models/tinyllama": ["l4"],
            "sites/rig/nodes/rig-1": {"gpus": {"k80": [0, 1], "l4": [2]}, "memory": "64Gi", "disk": "400Gi"},
        },
        "fleet.sites.rig.nodes.rig-1",
        "driver R470 for pool k80 and R580 for pool l4, and a machine has one driver",
        "put the cards into different machines",
    ),
    Case(
        "two flavours of kernel modules in one machine",
        {
            "pools/pro": {"gpu": "rtx-pro-6000", "site": "rig"},
            "models/tinyllama": ["pro"],
            "sites/rig/nodes/rig-2": {"gpus": {"m60": [0, 1], "rtx-pro-6000": [2]}, "memory": "64Gi", "disk": "400Gi"},
        },
        "fleet.sites.rig.nodes.rig-2",
        "the open ones for pool pro and the proprietary ones for pool m60",
        "put the cards into different machines",
    ),
    Case(
        "cards of two kinds, and nobody says which is which",
        {"sites/rig/nodes": {"pc": {"gpus": {"k80": 2, "m60": 2}, "memory": "64Gi", "disk": "400Gi"}}},
        "fleet.sites.rig.nodes.pc.gpus",
        "the file does not say which is which",
        "nvidia-smi -L",
    ),
    Case(
        "a GPU that stands twice",
        {"sites/rig/nodes/rig-1/gpus": {"k80": [0, 0]}},
        "fleet.sites.rig.nodes.rig-1.gpus.k80",
        "a GPU stands twice",
        "nvidia-smi -L",
    ),
    Case(
        "a GPU by a name that it has not",
        {"sites/rig/nodes/rig-1/gpus": {"k80": ["first"]}},
        "fleet.sites.rig.nodes.rig-1.gpus.k80",
        "is not a number of GPUs",
        "GPU-UUID",
    ),
    Case(
        "a pool spread over two Docker machines",
        {
            "pools/k80/replicas": 3,
            "sites/rig/nodes/rig-3": {"gpus": {"k80": 2}, "memory": "64Gi", "disk": "400Gi"},
        },
        "fleet.pools.k80.replicas",
        "rig-1 and rig-3, and each machine of a Docker site is set up by itself",
        "a pool for each machine",
    ),
    Case(
        "a machine whose name is no host",
        {
            "sites/rig/nodes": {
                "rig-2": {"gpus": {"m60": 2}, "memory": "64Gi", "disk": "400Gi"},
                "the_attic": {"gpus": {"k80": 2}, "memory": "64Gi", "disk": "400Gi"},
            }
        },
        "fleet.sites.rig.nodes.the_attic",
        "no host name",
        "name the machine",
    ),
    Case(
        "a machine whose name ends a comment",
        {"sites/rig/nodes": {"pc\nservices: {}": {"gpus": {"k80": 2}, "memory": "64Gi", "disk": "400Gi"}}},
        'fleet.sites.rig.nodes["..."]',
        "is not the name of a machine",
        "letters, digits, - and .",
        alone=False,
    ),
    Case(
        "a machine whose name is a command",
        {"sites/rig/nodes": {"$(id)": {"gpus": {"k80": 2}, "memory": "64Gi", "disk": "400Gi"}}},
        'fleet.sites.rig.nodes["$(id)"]',
        "is not the name of a machine",
        "letters, digits, - and .",
        alone=False,
    ),
    Case(
        "a pool that is called like a replica of another",
        {
            "pools/k80/replicas": 2,
            "pools/k80-1": {"gpu": "none", "site": "rig"},
            "models/nomic-embed-text": ["k80-1"],
        },
        "fleet.pools.k80-1",
        "its name ollama-k80-1 is that of a replica of pool k80",
        "name the pool differently",
    ),
    Case(
        "two sites with one context",
        {
            "sites/one": {"kubernetes": {"context": "default", "apply": "pulumi"}, "url": "https://one.example.org"},
            "sites/two": {"kubernetes": {"context": "default", "apply": "pulumi"}, "url": "https://two.example.org"},
        },
        "fleet.sites.two.kubernetes.context",
        "site one has the context 'default' too",
        "ollama-fleet:kubeconfigs.SITE",
        severity="warning",
        alone=False,
    ),
    Case(
        "a site that is the fleet's own cluster",
        {
            "sites/one": {
                "kubernetes": {"context": "gke_example-project_us-central1-c_ollama-fleet-dev"},
                "url": "https://one.example.org",
            }
        },
        "fleet.sites.one.kubernetes.context",
        "is the fleet's own GKE cluster",
        "take the site out",
    ),
    Case(
        "a driver container at a Docker site",
        {"pools/m60/driver": "container"},
        "fleet.pools.m60.driver",
        "is set up at Kubernetes sites, and rig is a site of docker",
        "install R580 on the machine itself",
    ),
    Case(
        "a driver container on a system that nobody names",
        {
            "pools/m60": {"gpu": "m60", "site": "rack", "driver": "container"},
            "sites/rack": {
                "kubernetes": {},
                "url": "https://rack.example.org",
                "nodes": {"rack-1": {"gpus": {"m60": 2}, "memory": "64Gi", "disk": "400Gi"}},
            },
        },
        "fleet.sites.rack.kubernetes.os",
        "nobody says what these machines run",
        "ubuntu22.04",
    ),
    Case(
        "a driver container on machines that nobody names",
        {
            "pools/m60": {"gpu": "m60", "site": "rack", "driver": "container"},
            "sites/rack": {"kubernetes": {"os": "ubuntu22.04"}, "url": "https://rack.example.org"},
        },
        "fleet.pools.m60.driver",
        "it names none with this card",
        "describe them under fleet.sites.rack.nodes",
    ),
    Case(
        "a system in words",
        {"sites/rack": {"kubernetes": {"os": "Ubuntu 22.04"}, "url": "https://rack.example.org"}},
        "fleet.sites.rack.kubernetes.os",
        "the name of a system",
        "such as ubuntu22.04",
    ),
    Case(
        "a machine without memory",
        {"sites/rig/nodes/rig-1/memory": DROP},
        "fleet.sites.rig.nodes.rig-1.memory",
        "memory is missing",
        "such as 64Gi",
    ),
    Case(
        "a size without a unit",
        {"sites/rig/nodes/rig-1/memory": 64},
        "fleet.sites.rig.nodes.rig-1.memory",
        "without a unit",
        "400Gi",
    ),
    Case(
        "a GPU that is sold in two sizes",
        {"pools/t4/gpu": "a100"},
        "fleet.pools.t4.gpu",
        "no GPU 'a100'",
        "did you mean a100-40gb or a100-80gb?",
    ),
    Case("spot at a site", {"pools/k80/spot": True}, "fleet.pools.k80.spot", "for pools on GKE", "take spot out"),
    Case(
        "a machine type at a site",
        {"pools/k80/machineType": "n1-standard-4"},
        "fleet.pools.k80.machineType",
        "for pools on GKE",
        "take machineType out",
    ),
    Case("a disk at a site", {"pools/k80/disk": "100Gi"}, "fleet.pools.k80.disk", "for pools on GKE", "take disk out"),
    Case(
        "zones at a site",
        {"pools/k80/zones": ["us-central1-a"]},
        "fleet.pools.k80.zones",
        "for pools on GKE",
        "take zones out",
    ),
    Case("Google's driver at a site", {"pools/m60/driver": "gke"}, "fleet.pools.m60.driver", "Google's own", "host"),
    Case(
        "a pool at a site that scales",
        {"pools/k80/replicas": "0..1"},
        "fleet.pools.k80.replicas",
        "only pools on GKE scale",
        "one number",
    ),
    Case(
        "scaling at a site",
        {"pools/k80/scaling": "inFlight"},
        "fleet.pools.k80.scaling",
        "only pools on GKE scale",
        "take scaling out",
    ),
    Case(
        "too many replicas for a site",
        {"pools/k80/replicas": 3},
        "fleet.pools.k80.replicas",
        "no room for 1 of 3",
        "fewer replicas",
    ),
    Case(
        "too little memory at a site",
        {"sites/rig/nodes/rig-1/memory": "1Gi"},
        "fleet.pools.k80.replicas",
        "1 GiB of memory left",
        "fewer replicas",
    ),
    Case(
        "too little disk at a site",
        {"sites/rig/nodes/rig-1/disk": "2Gi"},
        "fleet.pools.k80.replicas",
        "GiB of disk left",
        "fewer replicas",
    ),
    Case(
        "a site without machines",
        {"sites/rig/nodes": DROP},
        "fleet.sites.rig.nodes",
        "memory and disk of k80, m60 are not checked",
        "add nodes: {MACHINE: {gpus: {k80: 1, m60: 1}",
        "warning",
    ),
    *(
        Case(f"not built yet: {place}", {path: value}, place, "not acted on", "leave it for later", "warning")
        for path, value, place in NOT_BUILT
    ),
    Case(
        "two pools on the same servers",
        {
            "sites/lab": {"endpoints": ["https://a.example.com"]},
            "pools/l4": {"gpu": "l4", "site": "lab"},
            "pools/v100": {"gpu": "v100", "site": "lab"},
            "models/mistral:7b": ["l4", "v100"],
        },
        "fleet.sites.lab.endpoints",
        "pools l4, v100 send to the same servers",
        "one pool",
        "warning",
    ),
    Case(
        "models at endpoints",
        {
            "sites/lab": {"endpoints": ["https://a.example.com"]},
            "pools/l4": {"gpu": "l4", "site": "lab", "keepAlive": "5m"},
            "models/mistral:7b": ["l4"],
        },
        "fleet.sites.lab.endpoints",
        "nothing is pulled or made",
        "pull them there",
        "warning",
    ),
    Case(
        "a key of our servers at endpoints",
        {
            "sites/lab": {"endpoints": ["https://a.example.com"]},
            "pools/l4": {"gpu": "l4", "site": "lab", "keepAlive": "5m"},
            "models/mistral:7b": ["l4"],
        },
        "fleet.pools.l4.keepAlive",
        "endpoints are not",
        "take it out",
        "warning",
    ),
    Case(
        "a context that ends its line",
        {"sites/rig": {"kubernetes": {"context": "a\nkind: Evil"}, "url": "https://rig.example.org"}},
        "fleet.sites.rig.kubernetes.context",
        "is not",
        "get-contexts",
        alone=False,
    ),
    Case(
        "a machine as no cluster calls one",
        {
            "sites/rig": {
                "kubernetes": {"context": "rig"},
                "url": "https://rig.example.org",
                "nodes": {
                    "Rig_1": {"gpus": {"k80": 2}, "memory": "64Gi", "disk": "400Gi"},
                    "rig-2": {"gpus": {"m60": 2}, "memory": "32Gi", "disk": "400Gi"},
                },
            }
        },
        "fleet.sites.rig.nodes.Rig_1",
        "no node of a Kubernetes cluster is called Rig_1",
        "kubectl get nodes",
        alone=False,
    ),
)
