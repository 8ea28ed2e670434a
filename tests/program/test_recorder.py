"""The recorder itself, on a small program of which every answer is known."""

from __future__ import annotations

import asyncio
import base64
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
from pulumi_gcp.container import Cluster, NodePool, get_cluster, get_cluster_output
from pulumi_gcp.serviceaccount import Account
from pulumi_kubernetes import Provider
from pulumi_kubernetes.apps.v1 import Deployment
from pulumi_kubernetes.core.v1 import Namespace, Secret, Service

from infra.recorder import UNKNOWN, Recording, RecordingError, record, reveal
from infra.recorder import Secret as SecretValue

CLUSTER = "gcp:container/cluster:Cluster"
NODE_POOL = "gcp:container/nodePool:NodePool"
DEPLOYMENT = "kubernetes:apps/v1:Deployment"
COMPONENT = "test:components:Fleet"
POOL = "test:components:Pool"
HERE = Path(__file__).parent
STACK = "urn:pulumi:dev::demo::pulumi:pulumi:Stack::demo-dev"
TOKEN = "plain-text-of-the-token"
CONFIG = {"gcp:project": "example", "demo:size": '{"gpus": 2}', "demo:token": TOKEN}


class Pool(pulumi.ComponentResource):
    def __init__(self, name: str, cluster: Cluster, opts: pulumi.ResourceOptions) -> None:
        super().__init__(POOL, name, None, opts)
        size = pulumi.Config("demo").require_object("size")
        account = Account("nodes", account_id=f"{name}-nodes", opts=pulumi.ResourceOptions(parent=self))
        self.nodes = NodePool(
            "nodes",
            cluster=cluster.name,
            node_count=1,
            node_config={
                "service_account": account.email,
                "guest_accelerators": [{"type": "nvidia-tesla-t4", "count": size["gpus"]}],
            },
            opts=pulumi.ResourceOptions(
                parent=self,
                protect=True,
                ignore_changes=["nodeConfig.taints", "nodeCount"],
                replace_on_changes=["cluster"],
                delete_before_replace=True,
                custom_timeouts=pulumi.CustomTimeouts(create="45m", delete="30m"),
                aliases=[pulumi.Alias(name="old")],
                depends_on=[account],
            ),
        )
        self.register_outputs({"nodes": self.nodes.name})


class Fleet(pulumi.ComponentResource):
    def __init__(self, name: str) -> None:
        super().__init__(COMPONENT, name)
        token = pulumi.Config("demo").require_secret("token")
        self.cluster = Cluster(
            "cluster",
            location="us-central1-c",
            initial_node_count=1,
            opts=pulumi.ResourceOptions(parent=self, additional_secret_outputs=["masterAuth"]),
        )
        kubeconfig = pulumi.Output.all(
            server=self.cluster.control_plane_endpoints_config.dns_endpoint_config.endpoint,
            ca=self.cluster.master_auth.cluster_ca_certificate,
        ).apply(json.dumps)
        provider = Provider(
            "kubernetes",
            kubeconfig=kubeconfig,
            enable_config_map_mutable=True,
            opts=pulumi.ResourceOptions(parent=self),
        )
        pool = Pool("t4", self.cluster, pulumi.ResourceOptions(parent=self, providers=[provider]))
        in_cluster = pulumi.ResourceOptions(parent=pool, deleted_with=self.cluster)
        namespace = Namespace("ollama", opts=in_cluster)
        Secret(
            "keys", metadata={"namespace": namespace.metadata["name"]}, string_data={"token": token}, opts=in_cluster
        )
        Deployment(
            "server",
            metadata={"namespace": namespace.metadata["name"]},
            spec={
                "replicas": 1,
                "selector": {"match_labels": {"app": "server"}},
                "template": {
                    "metadata": {"annotations": {"token": token}},
                    "spec": {"containers": [{"name": "ollama", "image": "ollama/ollama"}]},
                },
            },
            opts=pulumi.ResourceOptions.merge(in_cluster, pulumi.ResourceOptions(depends_on=[pool.nodes])),
        )
        self.kubeconfig = kubeconfig
        self.register_outputs({"cluster": self.cluster.name, "token": token})


def program() -> None:
    fleet = Fleet("fleet")
    pulumi.export("kubeconfig", fleet.kubeconfig)
    pulumi.export("endpoint", fleet.cluster.endpoint)
    pulumi.log.warn("prices are of last month")


def run(**options: Any) -> Recording:
    return record(program, project="demo", stack="dev", config=CONFIG, secret_keys=["demo:token"], **options)


def small(body: Any, **options: Any) -> Recording:
    return record(body, project="demo", stack="dev", **options)


@pytest.fixture(scope="module")
def recording() -> Recording:
    return run()


@pytest.fixture(scope="module")
def unknown() -> Recording:
    return run(known=False)


# What is recorded


def test_every_resource_is_recorded_with_the_whole_chain_of_its_parents_types(recording: Recording) -> None:
    chain = f"urn:pulumi:dev::demo::{COMPONENT}"
    assert [resource.urn for resource in recording.resources] == sorted(
        [
            f"{chain}::fleet",
            f"{chain}${CLUSTER}::cluster",
            f"{chain}$pulumi:providers:kubernetes::kubernetes",
            f"{chain}${POOL}::t4",
            f"{chain}${POOL}$gcp:serviceaccount/account:Account::nodes",
            f"{chain}${POOL}${NODE_POOL}::nodes",
            f"{chain}${POOL}$kubernetes:core/v1:Namespace::ollama",
            f"{chain}${POOL}$kubernetes:core/v1:Secret::keys",
            f"{chain}${POOL}${DEPLOYMENT}::server",
        ]
    )


def test_each_resource_names_its_parent_and_the_top_names_the_stack(recording: Recording) -> None:
    fleet = recording.one(COMPONENT)
    assert fleet.parent == recording.root == STACK
    assert recording.children() == (fleet,)
    assert recording.by_urn(recording.one(NODE_POOL).parent) == recording.one(POOL)
    assert recording.one(NODE_POOL) in recording.children(recording.one(POOL))


def test_a_resource_names_the_provider_that_it_inherits_through_its_component(recording: Recording) -> None:
    provider = recording.one("pulumi:providers:kubernetes").urn
    assert recording.one(DEPLOYMENT).provider == provider
    assert recording.one(POOL).providers == {"kubernetes": provider}


def test_a_resource_without_a_provider_of_ours_names_none(recording: Recording) -> None:
    assert recording.one(NODE_POOL).provider is None


def test_components_and_custom_resources_are_told_apart(recording: Recording) -> None:
    assert {resource.type for resource in recording.resources if not resource.custom} == {COMPONENT, POOL}


def test_the_options_of_a_resource_are_recorded(recording: Recording) -> None:
    nodes = recording.one(NODE_POOL, "nodes")
    assert nodes.protect is True
    assert nodes.ignore_changes == ("nodeConfig.taints", "nodeCount")
    assert nodes.replace_on_changes == ("cluster",)
    assert nodes.delete_before_replace is True
    assert nodes.custom_timeouts == {"create": "45m", "delete": "30m"}
    assert nodes.aliases == ({"name": "old"},)
    assert nodes.retain_on_delete is False
    assert recording.one(DEPLOYMENT).deleted_with == recording.one(CLUSTER).urn
    assert "masterAuth" in recording.one(CLUSTER).additional_secret_outputs


def test_only_options_that_were_set_are_listed(recording: Recording) -> None:
    namespace = recording.one("kubernetes:core/v1:Namespace")
    assert namespace.options == {"deletedWith": recording.one(CLUSTER).urn, "version": namespace.version}


def test_dependencies_are_the_named_ones_and_those_of_the_inputs(recording: Recording) -> None:
    nodes, server = recording.one(NODE_POOL), recording.one(DEPLOYMENT)
    account = recording.one("gcp:serviceaccount/account:Account").urn
    assert nodes.depends_on == tuple(sorted([recording.one(CLUSTER).urn, account]))
    assert nodes.property_dependencies["cluster"] == (recording.one(CLUSTER).urn,)
    assert nodes.property_dependencies["nodeConfig"] == (account,)
    assert nodes.urn in server.depends_on
    assert recording.one("kubernetes:core/v1:Namespace").urn in server.depends_on


def test_the_sources_of_an_input_are_sorted() -> None:
    def body() -> None:
        clusters = [Cluster(f"cluster-{index}") for index in range(9)]
        Namespace("all", metadata={"annotations": {cluster._name: cluster.endpoint for cluster in clusters}})

    sources = small(body).one("kubernetes:core/v1:Namespace").property_dependencies["metadata"]
    assert len(sources) == 9
    assert list(sources) == sorted(sources)


def test_what_a_component_hands_down_reaches_its_children_as_in_the_engine() -> None:
    def body() -> None:
        cluster = Cluster("cluster")
        opts = pulumi.ResourceOptions(protect=True, retain_on_delete=True, deleted_with=cluster)
        parent = pulumi.ComponentResource("test:components:Parent", "parent", None, opts)
        Namespace("inherits", opts=pulumi.ResourceOptions(parent=parent))
        Namespace("refuses", opts=pulumi.ResourceOptions(parent=parent, protect=False, retain_on_delete=False))

    recording = small(body)
    inherits = recording.one("kubernetes:core/v1:Namespace", "inherits")
    refuses = recording.one("kubernetes:core/v1:Namespace", "refuses")
    assert (inherits.protect, inherits.retain_on_delete) == (True, True)
    assert inherits.deleted_with == recording.one(CLUSTER).urn
    assert (refuses.protect, refuses.retain_on_delete) == (False, False)


def test_inputs_have_the_providers_names_and_whole_numbers(recording: Recording) -> None:
    inputs = recording.one(NODE_POOL).inputs
    assert inputs["nodeConfig"]["guestAccelerators"] == [{"type": "nvidia-tesla-t4", "count": 2}]
    assert type(inputs["nodeCount"]) is int


def test_configuration_reaches_the_program(recording: Recording) -> None:
    assert recording.one(NODE_POOL).inputs["nodeConfig"]["guestAccelerators"][0]["count"] == 2
    assert recording.one(NODE_POOL).inputs["nodeConfig"]["serviceAccount"] == "t4-nodes@example.iam.gserviceaccount.com"


def test_messages_of_the_program_are_kept_and_not_printed(capfd: pytest.CaptureFixture[str]) -> None:
    assert run().messages == (("warning", "prices are of last month"),)
    assert capfd.readouterr() == ("", "")


# Registered outputs


def test_registered_outputs_of_components_and_the_stack_are_recorded(recording: Recording) -> None:
    assert recording.one(POOL).registered_outputs == {"nodes": recording.one(POOL).registered_outputs["nodes"]}  # type: ignore[index]
    assert reveal(recording.one(COMPONENT).registered_outputs)["token"] == TOKEN
    assert recording.stack_outputs["endpoint"] == "203.0.113.10"
    assert recording.components_without_outputs == ()


def test_a_component_that_never_registers_its_outputs_is_found() -> None:
    recording = small(lambda: pulumi.ComponentResource("test:components:Silent", "silent") and None)
    assert [component.name for component in recording.components_without_outputs] == ["silent"]
    assert not recording.one("test:components:Silent").outputs_registered


def test_a_component_that_registers_no_outputs_at_all_counts_as_registered() -> None:
    def body() -> None:
        pulumi.ComponentResource("test:components:Empty", "empty").register_outputs({})

    assert small(body).one("test:components:Empty").registered_outputs == {}


def test_a_component_that_a_provider_builds_is_not_expected_to_register_outputs() -> None:
    recording = small(lambda: pulumi.ComponentResource("test:charts:Chart", "chart", {}, None, remote=True) and None)
    assert recording.one("test:charts:Chart").remote
    assert recording.components_without_outputs == ()


# Secrets


def test_secrets_are_marked_and_can_be_revealed(recording: Recording) -> None:
    annotations = recording.one(DEPLOYMENT).inputs["spec"]["template"]["metadata"]["annotations"]
    assert annotations["token"] == SecretValue(TOKEN)
    assert reveal(annotations) == {"token": TOKEN}
    assert reveal(recording.one("kubernetes:core/v1:Secret").inputs["stringData"]) == {"token": TOKEN}


def test_an_output_that_is_declared_secret_stays_secret_on_its_way(recording: Recording) -> None:
    kubeconfig = recording.stack_outputs["kubeconfig"]
    assert isinstance(kubeconfig, SecretValue)
    assert isinstance(recording.one("pulumi:providers:kubernetes").inputs["kubeconfig"], SecretValue)


def test_no_secret_can_be_read_in_json_or_in_a_repr(recording: Recording, unknown: Recording) -> None:
    for text in (recording.to_json(), unknown.to_json(), repr(recording), repr(unknown)):
        assert TOKEN not in text
        assert base64.b64encode(TOKEN.encode()).decode() not in text
    assert json.loads(recording.to_json())["outputs"]["kubeconfig"] == {"$secret": True}


# Known and unknown outputs


def test_known_outputs_have_the_form_of_the_real_ones(recording: Recording) -> None:
    kubeconfig = json.loads(reveal(recording.stack_outputs["kubeconfig"]))
    assert kubeconfig["server"].endswith(".us-central1-c.gke.goog")
    assert base64.b64decode(kubeconfig["ca"]).startswith(b"-----BEGIN CERTIFICATE-----")
    assert recording.one(DEPLOYMENT).inputs["metadata"]["namespace"].startswith("ollama-")


def test_a_load_balancer_has_an_address_and_a_named_object_keeps_its_name() -> None:
    def body() -> None:
        service = Service("router", metadata={"name": "door", "namespace": "ollama"}, spec={"type": "LoadBalancer"})
        pulumi.export("address", service.status.load_balancer.ingress[0].ip)
        pulumi.export("name", service.metadata.name)
        pulumi.export("id", service.id)

    assert small(body).stack_outputs == {"address": "203.0.113.20", "name": "door", "id": "ollama/door"}


def test_an_input_that_is_secret_as_a_whole_is_echoed_as_it_is() -> None:
    def body() -> None:
        pulumi.export("name", Namespace("one", metadata=pulumi.Output.secret({"name": "hidden"})).metadata.name)

    assert small(body).stack_outputs == {"name": SecretValue("hidden")}


def test_an_unknown_run_registers_the_same_resources_with_the_same_options(
    recording: Recording, unknown: Recording
) -> None:
    assert [r.without_values() for r in unknown.resources] == [r.without_values() for r in recording.resources]


def test_an_unknown_run_knows_no_output_of_any_resource(unknown: Recording) -> None:
    assert unknown.one(DEPLOYMENT).inputs["metadata"]["namespace"] is UNKNOWN
    assert unknown.one(NODE_POOL).inputs["cluster"] is UNKNOWN
    assert unknown.stack_outputs["endpoint"] is UNKNOWN


def test_an_unknown_run_is_a_preview() -> None:
    seen: list[bool] = []
    small(lambda: seen.append(pulumi.runtime.is_dry_run()), known=False)
    small(lambda: seen.append(pulumi.runtime.is_dry_run()))
    assert seen == [True, False]


def test_a_resource_made_in_an_apply_is_missing_from_the_unknown_run() -> None:
    def body() -> None:
        Cluster("cluster").endpoint.apply(lambda _: Namespace("hidden") and None)

    assert len(small(body).resources) == 2
    assert len(small(body, known=False).resources) == 1


# The same at every run


def test_two_runs_give_byte_identical_json(recording: Recording, unknown: Recording) -> None:
    assert run().to_json() == recording.to_json()
    assert run(known=False).to_json() == unknown.to_json()
    assert run() == recording


def test_two_processes_with_different_hash_seeds_give_byte_identical_json(recording: Recording) -> None:
    script = textwrap.dedent("""
        import sys
        import test_recorder
        sys.stdout.write(test_recorder.run().to_json())
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


def test_one_says_what_there_is_when_it_does_not_find_exactly_one(recording: Recording) -> None:
    with pytest.raises(LookupError, match="there are: nodes"):
        recording.one(NODE_POOL, "other")
    with pytest.raises(LookupError, match="no resource has the urn"):
        recording.by_urn("urn:pulumi:other")
