"""Every moment of a workload's pods, as the API server saw them: what a look now and then would miss."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from tests.cluster.kube import Kube, Manifest

Moment = Mapping[str, Manifest]
"""The pods, or the ReplicaSets, of one moment by name."""
PODS = ("v1", "Pod")
REPLICA_SETS = ("apps/v1", "ReplicaSet")


@contextmanager
def watched(kube: Kube, workload: Manifest, of: tuple[str, str] = PODS) -> Iterator[list[Moment]]:
    """The list that is yielded holds the first moment; when the block has ended, every later one as well, in order."""
    wanted = workload["spec"]["selector"]["matchLabels"]
    selector = ",".join(f"{key}={value}" for key, value in wanted.items())
    which = (*of, workload["metadata"]["namespace"], selector)
    listed, version = kube.listing(*which)
    moments: list[Moment] = [{one["metadata"]["name"]: one for one in listed}]
    yield moments
    for event, one in kube.changes(*which, since=version):
        name = one["metadata"]["name"]
        others = {other: known for other, known in moments[-1].items() if other != name}
        moments.append(others if event == "DELETED" else {**others, name: one})


def stays(pod: Manifest) -> bool:
    """Whether nobody asked it to leave."""
    return "deletionTimestamp" not in pod["metadata"]


def condition(pod: Manifest, kind: str) -> Manifest:
    """A condition of a pod; empty while it has none."""
    found: list[Manifest] = pod.get("status", {}).get("conditions", [])
    return next((one for one in found if one["type"] == kind), {})


def is_ready(pod: Manifest) -> bool:
    """Whether it gets requests."""
    return stays(pod) and condition(pod, "Ready").get("status") == "True"


def ready(moments: Sequence[Moment]) -> list[int]:
    """How many pods were ready, moment by moment."""
    return [sum(map(is_ready, pods.values())) for pods in moments]


def there(moments: Sequence[Moment]) -> list[int]:
    """How many pods there were that nobody had asked to leave, moment by moment."""
    return [sum(map(stays, pods.values())) for pods in moments]


def asked_for(moments: Sequence[Moment]) -> list[int]:
    """How many pods the ReplicaSets asked for, moment by moment. Their pods follow, each set's for itself: the one that
    grows may make its pod before the one that shrinks has told its own to leave."""
    return [sum(one["spec"]["replicas"] for one in sets.values()) for sets in moments]
