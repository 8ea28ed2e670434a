"""What the clouds compute: ids and outputs that a resource gets when it is made, synthesised from its inputs.

The values have the form of the real ones and are the same at every run. Addresses are from 203.0.113.0/24,
which is reserved for documentation, so that none of them can be anybody's.
"""

from __future__ import annotations

import base64
import hashlib
import re
import uuid
from collections.abc import Mapping
from typing import Any, Final

CLUSTER_CA: Final = base64.b64encode(b"-----BEGIN CERTIFICATE-----\nrecorded\n-----END CERTIFICATE-----\n").decode()
CLUSTER_ENDPOINT: Final = "203.0.113.10"
ADDRESS: Final = "203.0.113.20"

CLUSTER_SCOPED: Final = frozenset(
    {
        "APIService",
        "ClusterRole",
        "ClusterRoleBinding",
        "CSIDriver",
        "CustomResourceDefinition",
        "IngressClass",
        "MutatingWebhookConfiguration",
        "Namespace",
        "Node",
        "NodePatch",
        "PersistentVolume",
        "PriorityClass",
        "RuntimeClass",
        "StorageClass",
        "ValidatingAdmissionPolicy",
        "ValidatingAdmissionPolicyBinding",
        "ValidatingWebhookConfiguration",
    }
)
"""The kinds of objects that have no namespace; any other kind gets one, as the API server does it."""


def computed(type_: str, name: str, urn: str, inputs: Mapping[str, Any], *, project: str) -> tuple[str, dict[str, Any]]:
    """The id and the computed outputs of a resource; `inputs` are plain values without markers.

    Outputs that the inputs give are to be taken from there; those returned here fill what is left out.
    """
    package, _, rest = type_.partition(":")
    kind = rest.rpartition(":")[2]
    if package == "pulumi":
        return str(uuid.uuid5(uuid.NAMESPACE_URL, urn)), {}
    digest = hashlib.sha256(urn.encode()).hexdigest()
    if package == "kubernetes":
        return _kubernetes(kind, name, digest, urn, inputs)
    if package == "gcp":
        return _gcp(type_, kind, name, digest, inputs, project=str(inputs.get("project") or project))
    if type_ == "random:index/randomPassword:RandomPassword":
        return "none", {"result": digest[: int(inputs.get("length") or 1)]}
    return f"{name}-{digest[:7]}", {}


def named_by(identifier: Any) -> dict[str, str]:
    """What the id of an object on Google Cloud says of its inputs; of one that is only read nothing else does."""
    found = re.fullmatch(
        r"projects/(?P<project>[^/]+)/locations/(?P<location>[^/]+)/[^/]+/(?P<name>[^/]+)", str(identifier)
    )
    return found.groupdict() if found else {}


def _kubernetes(kind: str, name: str, digest: str, urn: str, inputs: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    metadata = inputs.get("metadata") or {}
    named = str(metadata.get("name") or f"{name}-{digest[:8]}")
    outputs: dict[str, Any] = {"metadata": {"name": named, "uid": str(uuid.uuid5(uuid.NAMESPACE_URL, urn))}}
    identifier = named
    if kind not in CLUSTER_SCOPED:
        namespace = str(metadata.get("namespace") or "default")
        outputs["metadata"]["namespace"] = namespace
        identifier = f"{namespace}/{named}"
    if kind == "Service":
        outputs["spec"] = {"clusterIP": "10.96.0.10"}
        if (inputs.get("spec") or {}).get("type") == "LoadBalancer":
            outputs["status"] = {"loadBalancer": {"ingress": [{"ip": ADDRESS}]}}
    return identifier, outputs


def _gcp(
    type_: str, kind: str, name: str, digest: str, inputs: Mapping[str, Any], *, project: str
) -> tuple[str, dict[str, Any]]:
    named = str(inputs.get("name") or f"{name}-{digest[:7]}")
    # A node pool may name its cluster by the full id, which then tells project and location as well.
    cluster = str(inputs.get("cluster") or "")
    location = str(inputs.get("location") or "us-central1")
    match type_:
        case "gcp:container/cluster:Cluster":
            identifier = f"projects/{project}/locations/{location}/clusters/{named}"
            return identifier, {
                "name": named,
                "project": project,
                "location": location,
                "endpoint": CLUSTER_ENDPOINT,
                "selfLink": f"https://container.googleapis.com/v1/{identifier}",
                "masterVersion": "1.34.1-gke.1829001",
                "masterAuth": {"clusterCaCertificate": CLUSTER_CA},
                "controlPlaneEndpointsConfig": {
                    "dnsEndpointConfig": {"endpoint": f"gke-{digest[:20]}-123456789012.{location}.gke.goog"}
                },
            }
        case "gcp:container/nodePool:NodePool":
            parent = cluster if "/" in cluster else f"projects/{project}/locations/{location}/clusters/{cluster}"
            groups = f"https://www.googleapis.com/compute/v1/projects/{project}/zones/{location}"
            return f"{parent}/nodePools/{named}", {
                "name": named,
                "project": project,
                "instanceGroupUrls": [f"{groups}/instanceGroupManagers/gke-{named}-{digest[:8]}-grp"],
                "managedInstanceGroupUrls": [f"{groups}/instanceGroups/gke-{named}-{digest[:8]}-grp"],
            }
        case "gcp:serviceaccount/account:Account":
            email = f"{inputs.get('accountId') or named}@{project}.iam.gserviceaccount.com"
            identifier = f"projects/{project}/serviceAccounts/{email}"
            return identifier, {
                "name": identifier,
                "email": email,
                "member": f"serviceAccount:{email}",
                "uniqueId": str(int(digest[:16], 16)),
                "project": project,
            }
    outputs: dict[str, Any] = {"name": named, "project": project}
    scope = f"regions/{inputs['region']}" if inputs.get("region") else "global"
    plural = kind[:1].lower() + kind[1:] + ("es" if kind.endswith("s") else "s")
    identifier = f"projects/{project}/{scope}/{plural}/{named}"
    if type_.startswith("gcp:compute/"):
        outputs["selfLink"] = f"https://www.googleapis.com/compute/v1/{identifier}"
    if kind in {"Address", "GlobalAddress"}:
        outputs["address"] = ADDRESS
    return identifier, outputs
