"""What a real API server lets become of a pool's volume: `fleet diff` says it before `up` meets it."""

from collections.abc import Iterator

import pytest

from infra.change.difference import Change, Verdict
from infra.change.kubernetes import verdict
from infra.plan.build import decide
from infra.plan.model import PoolPlan
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


def volume(size: str, name: str = "models") -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": f"volume-sizes-{name}"},
        "spec": {
            "capacity": {"storage": size},
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": "volume-sizes",
            "csi": {"driver": "none.example.com", "volumeHandle": name},
            "claimRef": {"namespace": "volume-sizes", "name": name},
        },
    }


def claim(size: str, name: str = "models", **spec: object) -> Manifest:
    requests = {"resources": {"requests": {"storage": size}}}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name, "namespace": "volume-sizes"},
        "spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": "volume-sizes", **requests, **spec},
    }


NAMES = {"50G": "models", "100G": "named-100g", "200Gi": "named-200gi"}
"""Of the claims that are made, by their size: a name is not free at once when its claim is gone."""


@pytest.fixture(scope="module")
def api(kube: Kube) -> Iterator[Kube]:
    made = (NAMESPACE, CLASS)
    for one in made:
        kube.apply(one)
    yield kube
    for one in (*(claim(*of) for of in NAMES.items()), *(volume(*of) for of in NAMES.items()), *reversed(made)):
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
    api.apply(claim("50G"))
    for size in ("40G", "60G"):
        assert "immutable after creation except resources.requests" in refusal(api, claim(size))
    api.apply(volume("50G"))
    until(lambda: api.get(claim("50G"))["status"]["phase"] == "Bound", "the claim is bound")
    assert refusal(api, claim("60G")) == ""
    assert says(("spec", "resources", "requests", "storage"), "50G", "60G") is Verdict.IN_PLACE
    assert "can not be less than" in refusal(api, claim("40G"))
    for key, value in (("storageClassName", "other"), ("accessModes", ["ReadWriteMany"])):
        assert "immutable after creation" in refusal(api, claim("50G", **{key: value}))
        assert says(("spec", key), "x", value) is Verdict.REPLACE


def planned(*models: str, **pool: object) -> PoolPlan:
    pools = {"one": {"gpu": "a100-80gb", "storage": "volume", **pool}}
    fleet = {"gke": {"location": "us-central1-a"}, "pools": pools, "models": {name: ["one"] for name in models}}
    return decide(fleet, stack="dev", project="example-project").pool("one")


@pytest.mark.parametrize("kept_at", ["100G", "200Gi"])
def test_models_can_be_taken_out_where_the_file_says_how_large_the_volume_is(api: Kube, kept_at: str) -> None:
    """What `fleet diff` says of a volume that follows its models, and of the key that it names."""
    name = NAMES[kept_at]

    def of(*models: str, size: str = kept_at) -> Manifest:
        return claim(planned(*models, volumeSize=size).volume_request, name)

    api.apply(of("llama3.1:8b", "qwen3:32b"))
    api.apply(volume(kept_at, name))
    until(lambda: api.get(of())["status"]["phase"] == "Bound", "the claim is bound")
    assert api.get(of())["spec"]["resources"]["requests"]["storage"] == kept_at
    assert "can not be less than" in refusal(api, claim(planned("llama3.1:8b").volume_request, name))
    assert refusal(api, of("llama3.1:8b")) == ""
    assert refusal(api, of("llama3.1:8b", size="300Gi")) == ""
