"""Every moment of a workload's pods, as the API server saw them: what a look now and then would miss."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from tests.cluster.kube import Kube, Manifest

Moment = Mapping[str, Manifest]
"""The pods of one moment by name."""


@contextmanager
def watched(kube: Kube, workload: Manifest) -> Iterator[list[Moment]]:
    """The list that is yielded holds the first moment; when the block has ended, every later one as well, in order."""
    wanted = workload["spec"]["selector"]["matchLabels"]
    selector = ",".join(f"{key}={value}" for key, value in wanted.items())
    which = ("v1", "Pod", workload["metadata"]["namespace"], selector)
    listed, version = kube.listing(*which)
    moments: list[Moment] = [{pod["metadata"]["name"]: pod for pod in listed}]
    yield moments
    for event, pod in kube.changes(*which, since=version):
        name = pod["metadata"]["name"]
        others = {other: one for other, one in moments[-1].items() if other != name}
        moments.append(others if event == "DELETED" else {**others, name: pod})


def stays(pod: Manifest) -> bool:
    """Whether nobody asked it to leave."""
    return "deletionTimestamp" not in pod["metadata"]


def is_ready(pod: Manifest) -> bool:
    """Whether it gets requests."""
    conditions = pod.get("status", {}).get("conditions", [])
    return stays(pod) and any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


def ready(moments: Sequence[Moment]) -> list[int]:
    """How many pods were ready, moment by moment."""
    return [sum(map(is_ready, pods.values())) for pods in moments]


def there(moments: Sequence[Moment]) -> list[int]:
    """How many pods there were that nobody had asked to leave, moment by moment."""
    return [sum(map(stays, pods.values())) for pods in moments]
