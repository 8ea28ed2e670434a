"""A run of the recorder: the same each time, without a trace, and how it fails."""

from __future__ import annotations

import asyncio
import gc
import json
import subprocess
import sys
import textwrap
import threading
from pathlib import Path
from typing import Any

import pulumi
import pytest
from pulumi.runtime.settings import SETTINGS
from pulumi_gcp.container import Cluster, get_cluster, get_cluster_output
from pulumi_kubernetes.core.v1 import Namespace, Service

from infra.recorder import UNKNOWN, Recording, RecordingError
from tests.program.demo import CLUSTER, NODE_POOL, program, run, small

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def recording() -> Recording:
    return run()


@pytest.fixture(scope="module")
def unknown() -> Recording:
    return run(known=False)


# The same at every run


def test_two_runs_give_byte_identical_json(recording: Recording, unknown: Recording) -> None:
    assert run().to_json() == recording.to_json()
    assert run(known=False).to_json() == unknown.to_json()
    assert run() == recording


def test_two_processes_with_different_hash_seeds_give_byte_identical_json(recording: Recording) -> None:
    script = textwrap.dedent("""
        import sys
        import demo
        sys.stdout.write(demo.run().to_json())
    """)
    for seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", script],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": f"{HERE.parent.parent}:{HERE}"},
            capture_output=True,
            check=True,
        )
        assert done.stdout.decode() == recording.to_json()


def test_json_ends_with_a_newline_and_holds_what_the_contract_names(recording: Recording) -> None:
    text = recording.to_json()
    assert text.endswith("}\n")
    (nodes,) = [entry for entry in json.loads(text)["resources"] if entry["type"] == NODE_POOL]
    assert set(nodes) == {
        "urn",
        "type",
        "name",
        "parent",
        "custom",
        "provider",
        "options",
        "inputs",
        "propertyDependencies",
    }
    assert nodes["options"]["customTimeouts"] == {"create": "45m", "delete": "30m"}


def test_a_run_leaves_no_trace_in_the_process() -> None:
    threads = threading.active_count()
    before = (SETTINGS.project, SETTINGS.stack, SETTINGS.dry_run, SETTINGS.monitor, pulumi.Config("demo").get("size"))
    run(known=False)
    after = (SETTINGS.project, SETTINGS.stack, SETTINGS.dry_run, SETTINGS.monitor, pulumi.Config("demo").get("size"))
    assert after == before
    assert pulumi.runtime.get_root_resource() is None
    assert threading.active_count() == threads


def test_a_run_knows_nothing_of_the_configuration_of_the_run_before() -> None:
    run()
    with pytest.raises(pulumi.ConfigMissingError):
        small(program)


def test_a_program_and_all_its_calls_run_in_the_callers_thread() -> None:
    threads = set()

    def answer(_: object) -> dict[str, Any]:
        threads.add(threading.current_thread())
        return {}

    def body() -> None:
        get_cluster_output(name=Namespace("one").metadata.name).apply(lambda _: threads.add(threading.current_thread()))

    small(body, invokes={"gcp:container/getCluster:getCluster": answer})
    assert threads == {threading.current_thread()}


def test_threads_can_record_side_by_side(recording: Recording) -> None:
    results: list[str] = []
    threads = [threading.Thread(target=lambda: results.append(run().to_json())) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [recording.to_json()] * 3


# What is refused, and what fails


def test_an_unexpected_provider_function_raises_with_its_name() -> None:
    with pytest.raises(RecordingError, match="gcp:container/getCluster:getCluster"):
        small(lambda: get_cluster(name="shared", location="us-central1") and None)


def test_a_method_of_a_resource_raises_with_its_name() -> None:
    with pytest.raises(RecordingError, match="test:index:Thing/method"):
        small(lambda: pulumi.runtime.call("test:index:Thing/method", {}) and None)


def test_an_expected_provider_function_is_answered() -> None:
    def body() -> None:
        pulumi.export("endpoint", get_cluster(name="shared", location="us-central1").endpoint)

    answer = {"gcp:container/getCluster:getCluster": lambda args: {"endpoint": f"{args['name']}.example"}}
    assert small(body, invokes=answer).stack_outputs == {"endpoint": "shared.example"}


def test_an_existing_object_is_recorded_as_read() -> None:
    def body() -> None:
        identifier = "projects/example/locations/us-central1/clusters/shared"
        pulumi.export("endpoint", Cluster.get("shared", identifier).endpoint)

    recording = small(body)
    assert recording.one(CLUSTER).read_id == "projects/example/locations/us-central1/clusters/shared"
    assert recording.stack_outputs["endpoint"] == "203.0.113.10"
    assert small(body, known=False).stack_outputs["endpoint"] is UNKNOWN


def test_an_object_that_is_read_by_an_id_of_another_is_the_same_in_an_unknown_run() -> None:
    def body() -> None:
        namespace = Namespace("one")
        pulumi.export("id", namespace.id)
        Service.get("door", namespace.id)

    known, unknown = small(body), small(body, known=False)
    assert known.one("kubernetes:core/v1:Service").read_id == known.stack_outputs["id"]
    assert unknown.one("kubernetes:core/v1:Service").read_id is UNKNOWN
    assert [r.without_values() for r in known.resources] == [r.without_values() for r in unknown.resources]


def test_two_resources_with_one_urn_are_refused() -> None:
    def body() -> None:
        Namespace("twice")
        Namespace("twice")

    with pytest.raises(RecordingError, match="kubernetes:core/v1:Namespace::twice"):
        small(body)


def test_an_exception_of_the_program_surfaces_with_its_message() -> None:
    def body() -> None:
        Namespace("before")
        raise pulumi.RunError("fleet.pools.t4: no such machine")

    with pytest.raises(pulumi.RunError, match=r"^fleet\.pools\.t4: no such machine$"):
        small(body)


@pytest.mark.parametrize("used", [False, True])
def test_an_exception_in_an_apply_surfaces(used: bool) -> None:
    def fail(_: object) -> str:
        raise ValueError("in the apply")

    def body() -> None:
        value = Namespace("before").metadata.name.apply(fail)
        if used:
            Namespace("after", metadata={"name": value})

    with pytest.raises(ValueError, match="in the apply"):
        small(body)


def test_a_failed_assertion_in_an_apply_fails_the_test_that_holds_it() -> None:
    def body() -> None:
        def check(name: str) -> None:
            assert name == "another"

        Namespace("one", metadata={"name": "one"}).metadata.name.apply(check)

    with pytest.raises(AssertionError):
        small(body)


def test_a_failed_run_prints_nothing_and_leaves_the_next_one_alone(
    capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture, recording: Recording
) -> None:
    def body() -> None:
        cluster = Cluster("cluster")
        for index in range(5):
            cluster.endpoint.apply(lambda _: str(1 / 0))
            Namespace(f"n{index}", metadata={"name": cluster.endpoint.apply(lambda _: str(1 / 0))})

    with pytest.raises(ZeroDivisionError):
        small(body)
    gc.collect()  # asyncio complains of an exception that nobody asked for when its task is collected
    assert capfd.readouterr() == ("", "")
    assert caplog.messages == []
    assert run() == recording


def test_transforms_which_a_recording_would_not_run_are_refused() -> None:
    def body() -> None:
        Namespace("one", opts=pulumi.ResourceOptions(transforms=[lambda _: None]))

    with pytest.raises(Exception, match="does not support transforms"):
        small(body)


def test_an_asynchronous_program_is_awaited() -> None:
    async def body() -> None:
        await asyncio.sleep(0)
        Namespace("late")

    assert [resource.name for resource in small(body).resources] == ["late"]
