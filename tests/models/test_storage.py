"""What a disk holds: full before a pull ends, and shared by two pods of one node."""

import hashlib

import pytest

from infra.plan.model import Prepared
from tests.models.pod import Pod, wait_until
from tests.models.registry import Registry

TINY, LARGE = "library/tiny:latest", "library/large:latest"
DEADLINE, DISK_FULL = 19, 15


def pulled(name: str, source: str, digest: str | None = None) -> Prepared:
    return Prepared(name=name, action="pull", source=source, digest=digest)


@pytest.mark.parametrize("small_disk", ["600k"], indirect=True)
def test_a_disk_that_fills_leaves_the_models_that_were_whole(
    pod: Pod, registry: Registry, weights: bytes, small_disk: tuple[str, ...]
) -> None:
    """The disk is 90 % full with the first model; the second one does not fit behind it."""
    tiny = pulled("tiny", registry.source(TINY), registry.publish(TINY, weights))
    other = pulled("large", registry.source(LARGE), registry.publish(LARGE, bytes(300_000)))
    pod.mount(tiny, other)
    kept = pod.root / "kept"
    pod.within = (*small_disk, "sh", "-c", f'"$@"; code=$?; cp -r "$OLLAMA_MODELS" {kept}; exit $code', "sh")
    run = pod.init()
    assert run.code == DISK_FULL, run.output
    assert run.message.startswith(f"disk full at {pod.store}")
    assert registry.source(LARGE).removeprefix("http://") in run.message
    blob = kept / "blobs" / f"sha256-{hashlib.sha256(weights).hexdigest()}"
    assert blob.read_bytes() == weights
    assert (kept / "manifests/registry.ollama.ai/library/tiny/latest").read_bytes() == registry.manifests[TINY]


@pytest.mark.parametrize("small_disk", ["600k"], indirect=True)
def test_removing_a_model_frees_a_disk_without_a_byte_left(
    pod: Pod, registry: Registry, weights: bytes, small_disk: tuple[str, ...]
) -> None:
    pod.mount(pulled("tiny", registry.source(TINY), registry.publish(TINY, weights)))
    kept, nothing = pod.root / "kept", pod.root / "nothing"
    nothing.mkdir()
    (nothing / "models.tsv").touch()
    steps = (
        '"$@" || exit',
        'head -c 1000000 /dev/zero >"$OLLAMA_MODELS/filling"',
        f'FLEET_MODELS={nothing} "$@"; code=$?',
        f'ls "$OLLAMA_MODELS/blobs" >{kept}; exit $code',
    )
    pod.within = (*small_disk, "sh", "-c", "\n".join(steps), "sh")
    run = pod.init()
    assert run.code == 0, run.output
    assert "No space left" in run.output
    assert kept.read_text() == ""


@pytest.mark.parametrize("small_disk", ["2m"], indirect=True)
def test_a_pull_that_cannot_fit_is_ended_before_the_disk_is_full(
    pod: Pod, registry: Registry, small_disk: tuple[str, ...]
) -> None:
    large = bytes(8_000_000)
    registry.publish(LARGE, large)
    registry.stalled.add(f"sha256:{hashlib.sha256(large).hexdigest()}")
    registry.stalls_after = 100_000
    pod.mount(pulled("large", registry.source(LARGE)))
    pod.within = small_disk
    run = pod.init()
    assert run.code == DISK_FULL, run.output
    assert "large:latest still needs 7 MB and " in run.message
    assert "MB are free" in run.message


def test_of_two_pods_that_share_a_store_one_waits_and_downloads_nothing(
    pod: Pod, registry: Registry, weights: bytes
) -> None:
    tiny = pulled("tiny", registry.source(TINY), registry.publish(TINY, weights))
    blob = f"sha256:{hashlib.sha256(weights).hexdigest()}"
    registry.stalled.add(blob)
    second = Pod(pod.root.parent / "second", pod.ollama)
    second.store = pod.store
    for one in (pod, second):
        one.mount(tiny)
    with pod.running("init") as first:
        wait_until(lambda: registry.bytes_sent > 0, 20, first)
        with second.running("init") as other:
            wait_until(lambda: "another pod writes to" in other.output, 10, other)
            requests = len(registry.requests)
            impatient = Pod(pod.root.parent / "third", pod.ollama)
            impatient.store = pod.store
            impatient.mount(tiny)
            late = impatient.init(PULL_DEADLINE="1")
            assert late.code == DEADLINE, late.output
            assert "another pod still writes to" in late.message
            assert len(registry.requests) == requests
            # the first one goes: the kernel lets go of its lock, and what has come is taken up
            registry.stalled.clear()
            registry.forget_requests()
            first.stop()
            assert other.process.wait(30) == 0, other.output
    assert registry.bytes_sent < len(weights) + 2000
    with second.serving() as server:
        assert server.chat("tiny")["done"]
