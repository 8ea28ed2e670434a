"""What the recorder writes down of a program: resources, options, outputs, secrets."""

from __future__ import annotations

import base64
import json

import pulumi
import pytest
from pulumi_gcp.container import Cluster
from pulumi_kubernetes.core.v1 import Namespace, Service

from infra.recorder import UNKNOWN, Recording, reveal
from infra.recorder import Secret as SecretValue
from tests.program.demo import CLUSTER, COMPONENT, DEPLOYMENT, NODE_POOL, POOL, STACK, TOKEN, run, small


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


def test_one_says_what_there_is_when_it_does_not_find_exactly_one(recording: Recording) -> None:
    with pytest.raises(LookupError, match="there are: nodes"):
        recording.one(NODE_POOL, "other")
    with pytest.raises(LookupError, match="no resource has the urn"):
        recording.by_urn("urn:pulumi:other")
