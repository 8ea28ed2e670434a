"""Ids and computed outputs of Google resources, in Google's own formats."""

# ruff: noqa: A001, A002, ARG001 `id` and `type` are the protocol's words; one signature for every maker

import re
from collections.abc import Callable
from typing import Any

from tests.engine.doubles.provider import Subject, digest
from tests.engine.doubles.values import UNKNOWN, Properties

CLUSTER = "gcp:container/cluster:Cluster"
NODE_POOL = "gcp:container/nodePool:NodePool"
ACCOUNT = "gcp:serviceaccount/account:Account"

_IDS = {
    CLUSTER: "projects/{project}/locations/{location}/clusters/{name}",
    NODE_POOL: "projects/{project}/locations/{location}/clusters/{cluster}/nodePools/{name}",
    ACCOUNT: "projects/{project}/serviceAccounts/{email}",
    "gcp:artifactregistry/repository:Repository": (
        "projects/{project}/locations/{location}/repositories/{repositoryId}"
    ),
    "gcp:compute/address:Address": "projects/{project}/regions/{region}/addresses/{name}",
    "gcp:compute/firewall:Firewall": "projects/{project}/global/firewalls/{name}",
    "gcp:compute/globalAddress:GlobalAddress": "projects/{project}/global/addresses/{name}",
    "gcp:compute/network:Network": "projects/{project}/global/networks/{name}",
    "gcp:compute/router:Router": "projects/{project}/regions/{region}/routers/{name}",
    "gcp:compute/routerNat:RouterNat": "{project}/{region}/{router}/{name}",
    "gcp:compute/subnetwork:Subnetwork": "projects/{project}/regions/{region}/subnetworks/{name}",
    "gcp:projects/iAMMember:IAMMember": "{project}/{role}/{member}",
    "gcp:projects/service:Service": "{project}/{service}",
    "gcp:serviceaccount/iAMMember:IAMMember": "{serviceAccountId}/{role}/{member}",
}

# Types whose `name` the provider makes up where the program gives none.
AUTONAMED = {type for type, form in _IDS.items() if form.endswith("/{name}")}

_NOWHERE = "example-project"


def identify(subject: Subject) -> str:
    """The id that Google gives."""
    return _IDS[subject.type].format_map(_Known(_place(subject)))


def computed(subject: Subject, id: str) -> Properties:
    """Every output beside the inputs that a program may read."""
    place = _place(subject)
    form = _IDS[subject.type]
    echoed: Properties = {
        key: place[key] for key in ("project", "region", "location") if f"{{{key}}}" in form and key in place
    }
    if subject.type.startswith("gcp:compute/"):
        echoed["selfLink"] = f"https://www.googleapis.com/compute/v1/{id}"
        echoed["creationTimestamp"] = "2026-01-01T00:00:00.000-00:00"
    more = _COMPUTED.get(subject.type)
    return {**echoed, **(more(place, id) if more else {})}


class _Known(dict[str, Any]):
    """A place whose missing parts read as unknown: a preview may not know them yet."""

    def __missing__(self, key: str) -> str:
        return UNKNOWN


def _place(subject: Subject) -> dict[str, Any]:
    """The inputs, with project, region and the rest as Google resolves them."""
    place = dict(subject.inputs)
    place.setdefault("project", subject.config.get("project", _NOWHERE))
    place.setdefault("region", subject.config.get("region", "us-central1"))
    if subject.type == NODE_POOL:
        path = re.fullmatch(r"projects/([^/]+)/locations/([^/]+)/clusters/([^/]+)", str(place.get("cluster")))
        if path:
            place["project"], place["location"], place["cluster"] = path.groups()
    place.setdefault("location", subject.config.get("zone", place["region"]))
    if subject.type == ACCOUNT:
        place["email"] = f"{place.get('accountId', UNKNOWN)}@{place['project']}.iam.gserviceaccount.com"
    if subject.type == "gcp:compute/routerNat:RouterNat":
        place["router"] = str(place.get("router")).rsplit("/", 1)[-1]
    return place


def _cluster(place: Properties, id: str) -> Properties:
    mark = digest(id)
    region = re.sub(r"-[a-z]$", "", str(place["location"]))
    version = "1.34.1-gke.1829001"
    address = f"203.0.113.{int(mark[:2], 16) % 254 + 1}"
    return {
        "selfLink": f"https://container.googleapis.com/v1/{id}",
        "endpoint": address,
        "masterAuth": {
            "clusterCaCertificate": "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCg==",
            "clientCertificate": "",
            "clientCertificateConfig": {"issueClientCertificate": False},
        },
        "controlPlaneEndpointsConfig": {
            "dnsEndpointConfig": {"endpoint": f"gke-{mark[:30]}-123456789012.{region}.gke.goog"},
            "ipEndpointsConfig": {"enabled": True},
        },
        "privateClusterConfig": {"publicEndpoint": address, "privateEndpoint": "10.0.0.2"},
        "masterVersion": version,
        "nodeVersion": version,
        "clusterIpv4Cidr": "10.4.0.0/14",
        "servicesIpv4Cidr": "34.118.224.0/20",
        "nodeLocations": [],
        "network": "default",
        "subnetwork": "default",
        "labelFingerprint": mark[:8],
        "operation": "",
        "effectiveLabels": place.get("resourceLabels", {}),
        "pulumiLabels": place.get("resourceLabels", {}),
    }


def _node_pool(place: Properties, id: str) -> Properties:
    zone, mark = place["location"], digest(id)[:8]
    groups = f"https://www.googleapis.com/compute/v1/projects/{place['project']}/zones/{zone}"
    name = f"gke-{place.get('cluster')}-{place.get('name')}-{mark}-grp"
    return {
        "instanceGroupUrls": [f"{groups}/instanceGroupManagers/{name}"],
        "managedInstanceGroupUrls": [f"{groups}/instanceGroups/{name}"],
        "nodeLocations": [zone],
        "version": "1.34.1-gke.1829001",
        "maxPodsPerNode": 110,
        "operation": "",
    }


def _account(place: Properties, id: str) -> Properties:
    email = place["email"]
    return {
        "email": email,
        "member": f"serviceAccount:{email}",
        "name": id,
        "uniqueId": str(int(digest(id)[:16], 16)),
        "displayName": "",
    }


def _address(place: Properties, id: str) -> Properties:
    return {"address": f"198.51.100.{int(digest(id)[:2], 16) % 254 + 1}", "labelFingerprint": ""}


def _network(place: Properties, id: str) -> Properties:
    return {"gatewayIpv4": "", "numericId": str(int(digest(id)[:15], 16)), "mtu": 0}


def _subnetwork(place: Properties, id: str) -> Properties:
    return {"gatewayAddress": "10.0.0.1", "fingerprint": digest(id)[:12], "purpose": "PRIVATE"}


def _member(place: Properties, id: str) -> Properties:
    return {"etag": digest(id)[:12]}


_COMPUTED: dict[str, Callable[[Properties, str], Properties]] = {
    CLUSTER: _cluster,
    NODE_POOL: _node_pool,
    ACCOUNT: _account,
    "gcp:compute/address:Address": _address,
    "gcp:compute/globalAddress:GlobalAddress": _address,
    "gcp:compute/network:Network": _network,
    "gcp:compute/subnetwork:Subnetwork": _subnetwork,
    "gcp:projects/iAMMember:IAMMember": _member,
    "gcp:serviceaccount/iAMMember:IAMMember": _member,
}
