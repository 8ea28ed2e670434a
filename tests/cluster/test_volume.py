"""What a real API server lets become of a pool's volume: `fleet diff` says it before `up` meets it."""

from collections.abc import Iterator

import pytest

from infra.change.difference import Change, Verdict
from infra.change.kubernetes import verdict
from tests.cluster.kube import Kube, Manifest, RefusedError, until

CLAIM = "kubernetes:core/v1:PersistentVolumeClaim"
NAMESPACE: Manifest = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "volume-sizes"}}
CLASS: Manifest = {
    "apiVersion": "storage.k8s.io/v1",
    "kind": "StorageClass",
    "metadata": {"name": "volume-sizes"},
    "provisioner": "example.com/none",
    # as GKE's own classes
    "allowVolumeExpansion": True,
    "volumeBindingMode": "WaitForFirstConsumer",
}
VOLUME: Manifest = {
    "apiVersion": "v1",
    "kind": "PersistentVolume",
    "metadata": {"name": "volume-sizes"},
    "spec": {
        "capacity": {"storage": "50G"},
        "accessModes": ["ReadWriteOnce"],
        "storageClassName": "volume-sizes",
        "csi": {"driver": "none.example.com", "volumeHandle": "none"},
        "claimRef": {"namespace": "volume-sizes", "name": "models"},
    },
}


def claim(size: str, **spec: object) -> Manifest:
    requests = {"resources": {"requests": {"storage": size}}}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "models", "namespace": "volume-sizes"},
        "spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": "volume-sizes", **requests, **spec},
    }


@pytest.fixture
def api(kube: Kube) -> Iterator[Kube]:
    made = (NAMESPACE, CLASS, claim("50G"))
    for one in made:
        kube.apply(one)
    yield kube
    for one in (*reversed(made), VOLUME):
        kube.delete(one)


def refusal(api: Kube, manifest: Manifest) -> str:
    try:
        api.apply(manifest, dry_run=True)
    except RefusedError as refused:
        return str(refused)
    return ""


def says(path: tuple[str, ...], old: object, new: object) -> Verdict:
    return verdict(CLAIM, {}, {}, Change(path, old, new))


def test_a_volume_grows_in_place_once_a_pod_has_bound_it_and_nothing_else_of_it_may_change(api: Kube) -> None:
    for size in ("40G", "60G"):
        assert "immutable after creation except resources.requests" in refusal(api, claim(size))
    api.apply(VOLUME)
    until(lambda: api.get(claim("50G"))["status"]["phase"] == "Bound", "the claim is bound")
    assert refusal(api, claim("60G")) == ""
    assert says(("spec", "resources", "requests", "storage"), "50G", "60G") is Verdict.IN_PLACE
    assert "can not be less than" in refusal(api, claim("40G"))
    for key, value in (("storageClassName", "other"), ("accessModes", ["ReadWriteMany"])):
        assert "immutable after creation" in refusal(api, claim("50G", **{key: value}))
        assert says(("spec", key), "x", value) is Verdict.REPLACE
