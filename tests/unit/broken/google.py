"""The cluster at Google."""

from tests.unit.broken.case import DROP, Case

CASES: tuple[Case, ...] = (
    Case("a K80 on GKE", {"pools/k80/site": DROP}, "fleet.pools.k80.gpu", "ended the K80 on 2024-05-01", "site: NAME"),
    Case(
        "an M60 on GKE", {"pools/m60/site": DROP}, "fleet.pools.m60.gpu", "never sold the M60", "allowWithdrawn: true"
    ),
    Case("a P100 on GKE", {"pools/t4/gpu": "p100"}, "fleet.pools.t4.gpu", "ended the P100 on 2026-09-15", "site: NAME"),
    Case(
        "a withdrawn card that is allowed",
        {"pools/m60/site": DROP, "pools/m60/allowWithdrawn": True},
        "fleet.pools.m60.gpu",
        "Google will refuse",
        "at a site",
        "warning",
    ),
    Case("a card that ends", {}, "fleet.pools.t4.gpu", "ends its support of the T4 on 2027-08-01", "l4", "warning"),
    Case(
        "nothing to allow",
        {"pools/a100/allowWithdrawn": True},
        "fleet.pools.a100.allowWithdrawn",
        "nothing to allow",
        "take it out",
        "warning",
    ),
    Case(
        "a machine without the GPU",
        {"pools/t4/machineType": "a2-highgpu-1g"},
        "fleet.pools.t4.machineType",
        "cannot carry 1 x T4",
        "use one of n1-",
    ),
    Case(
        "an unknown machine",
        {"pools/t4/machineType": "n1-standard-5"},
        "fleet.pools.t4.machineType",
        "does not know the machine type 'n1-standard-5'",
        "n1-standard-4",
    ),
    Case(
        "a machine that is no name",
        {"pools/t4/machineType": "big"},
        "fleet.pools.t4.machineType",
        "is not a machine type",
        "n1-standard-4",
    ),
    Case(
        "a machine that is too small",
        {"pools/t4/machineType": "n1-standard-2"},
        "fleet.pools.t4.machineType",
        "leaves each of 1 replica(s)",
        "use one of n1-standard-4",
    ),
    Case("three T4 on a node", {"pools/t4/gpusPerNode": 3}, "fleet.pools.t4", "no machine with 3 x T4", "1, 2, 4"),
    Case(
        "a replica larger than its node",
        {"pools/t4/gpusPerNode": 1, "pools/t4/gpusPerReplica": 2},
        "fleet.pools.t4.gpusPerReplica",
        "wants 2 GPUs and a node has 1",
        "gpusPerNode: 2",
    ),
    Case(
        "an odd GPU that idles",
        {"pools/t4/gpusPerNode": 4, "pools/t4/gpusPerReplica": 3},
        "fleet.pools.t4.gpusPerNode",
        "stay idle",
        "multiple of 3",
        "warning",
    ),
    Case(
        "half a node that idles",
        {"pools/t4/gpusPerNode": 4},
        "fleet.pools.t4.replicas",
        "the GPUs of 2 more are paid for",
        "maximum of 4",
        "warning",
    ),
    Case(
        "a disk that is too small",
        {"pools/a100/disk": "60Gi"},
        "fleet.pools.a100.disk",
        "a boot disk of 60 GiB leaves",
        "write disk: ",
    ),
    Case(
        "a disk beyond Google's largest",
        {"pools/a100/disk": "100Ti"},
        "fleet.pools.a100.disk",
        "largest disk has 65536 GiB",
        "take disk out",
    ),
    Case(
        "models beyond any disk",
        {"models/mine": {"pools": ["t4"], "vram": "1Gi", "disk": "90000Ti"}},
        "fleet.pools.t4",
        "largest disk has 65536",
        "fewer models",
    ),
    Case(
        "a zone outside the region",
        {"pools/t4/zones": ["europe-west4-a"]},
        "fleet.pools.t4.zones",
        "not in the cluster's region us-central1",
        "us-central1",
    ),
    Case(
        "a zone without the card",
        {"gke/location": "us-central1-b", "pools/v": {"gpu": "p4", "replicas": "0..1"}, "models/tinyllama": ["v"]},
        "fleet.pools.v.gpu",
        "has no P4 in us-central1-b",
        "us-central1-a",
        "warning",
    ),
    Case("the driver of a host on GKE", {"pools/t4/driver": "host"}, "fleet.pools.t4.driver", "no host driver", "R580"),
    Case(
        "a driver container on GKE",
        {"pools/t4/driver": "container"},
        "fleet.pools.t4.driver",
        "for sites",
        "take driver out",
    ),
    Case(
        "Google's driver for a Volta",
        {"pools/t4/gpu": "v100", "pools/t4/driver": "gke"},
        "fleet.pools.t4.driver",
        "leave the V100 behind",
        "write driver: R580",
    ),
    Case(
        "a driver that the installer has not",
        {"pools/t4/driver": "R595"},
        "fleet.pools.t4.driver",
        "offers no R595",
        "R580",
        "warning",
    ),
    Case(
        "an exact driver",
        {"pools/t4/driver": "580.126.09"},
        "fleet.pools.t4.driver",
        "exact version",
        "write driver: R580",
        "warning",
    ),
    Case(
        "an unknown branch",
        {"pools/t4/driver": "R599"},
        "fleet.pools.t4.driver",
        "does not know the driver branch R599",
        "known: R470",
        "warning",
    ),
    *(
        Case(f"a namespace of the cluster's: {name}", {"gke/namespace": name}, "fleet.gke.namespace", "destroy", "own")
        for name in ("default", "kube-system", "gke-managed-system", "gmp-public")
    ),
    *(
        Case(
            f"of a cluster that exists: {key}",
            {"gke/cluster": "shared", f"gke/{key}": value},
            f"fleet.gke.{key}",
            "cluster names one that exists",
            "take it out",
            "warning",
        )
        for key, value in (
            ("network", {"vpc": "a", "subnet": "b", "pods": "c", "services": "d"}),
            ("releaseChannel", "rapid"),
            ("deletionProtection", False),
        )
    ),
)
