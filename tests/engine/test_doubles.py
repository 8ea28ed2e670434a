"""The harness itself: a small fleet through the real engine, against the doubles."""

import json
from dataclasses import dataclass, replace

import pulumi
import pulumi_gcp as gcp
import pulumi_kubernetes as kubernetes
import pytest

from tests.engine.doubles import plain
from tests.engine.harness import Engine, Stack, UpdateError


@dataclass(frozen=True)
class Small:
    """A program of one cluster, one pool and what runs on it, with the knobs that tests turn."""

    description: str = "first"
    protected: bool = False
    team: str = "ml"
    spot: bool | None = None
    machine: str | None = "n1-standard-4"
    server: str | None = None
    identified: bool = True
    mutable: bool = True
    model: str = "llama3.2:3b"
    selector: str = "t4"
    namespace: bool = True

    def __call__(self) -> None:
        cluster = gcp.container.Cluster(
            "fleet",
            name="fleet",
            location="us-central1-c",
            initial_node_count=1,
            description=self.description,
            deletion_protection=self.protected,
        )
        gcp.container.NodePool(
            "t4",
            name="t4",
            cluster=cluster.id,
            node_config=gcp.container.NodePoolNodeConfigArgs(
                machine_type=self.machine, labels={"ollama-fleet/team": self.team}, spot=self.spot
            ),
        )
        provider = kubernetes.Provider(
            "fleet",
            kubeconfig=(kubeconfig(self.server) if self.server else cluster.endpoint.apply(kubeconfig)),
            cluster_identifier=cluster.id if self.identified else None,
            enable_config_map_mutable=self.mutable,
        )
        opts = pulumi.ResourceOptions(provider=provider)
        name: pulumi.Input[str] = "ollama"
        if self.namespace:
            created = kubernetes.core.v1.Namespace("ollama", metadata={"name": name}, opts=opts)
            name = created.metadata.name
        kubernetes.core.v1.ConfigMap(
            "routes",
            metadata={"name": "routes", "namespace": name},
            data={"routes.toml": self.model},
            opts=opts,
        )
        labels: dict[str, pulumi.Input[str]] = {"pool": self.selector}
        kubernetes.apps.v1.Deployment(
            "server",
            metadata={"name": "server", "namespace": name},
            spec={
                "replicas": 1,
                "selector": {"match_labels": labels},
                "template": {
                    "metadata": {"labels": labels},
                    "spec": {"containers": [{"name": "ollama", "image": "ollama/ollama"}]},
                },
            },
            opts=opts,
        )
        pulumi.export("endpoint", cluster.endpoint)
        pulumi.export("ca", cluster.master_auth.cluster_ca_certificate)


def kubeconfig(server: str) -> str:
    """The least that names a cluster."""
    return json.dumps(
        {
            "clusters": [{"name": "fleet", "cluster": {"server": f"https://{server}"}}],
            "contexts": [{"name": "fleet", "context": {"cluster": "fleet"}}],
            "current-context": "fleet",
        }
    )


EVERYTHING = sorted(["fleet", "t4", "fleet", "ollama", "routes", "server"])


@pytest.fixture
def small(engine: Engine) -> Stack:
    """The small program, applied."""
    return engine.applied(Small())


def test_a_preview_creates_everything_and_does_nothing(engine: Engine) -> None:
    stack = engine(Small())
    assert stack.preview().changes == {"create": EVERYTHING}
    assert stack.google.log == stack.kubernetes.log == []
    assert stack.state() == []


def test_an_up_creates_everything_with_full_outputs(small: Stack) -> None:
    cluster = "projects/example-project/locations/us-central1-c/clusters/fleet"
    assert small.google.ids() == [cluster, f"{cluster}/nodePools/t4"]
    assert small.kubernetes.ids() == ["ollama", "ollama/routes", "ollama/server"]
    assert [one.verb for one in small.google.log] == ["create", "create"]
    assert small.google.find(cluster).outputs["masterAuth"]["clusterCaCertificate"]
    assert small.outputs()["endpoint"].startswith("203.0.113.")
    assert {one.id for one in small.state()} == {*small.google.ids(), *small.kubernetes.ids()}


def test_a_second_up_changes_nothing(small: Stack) -> None:
    done = len(small.google.log), len(small.kubernetes.log)
    assert small.preview().changes == {}
    assert small.up().changes == {}
    assert (len(small.google.log), len(small.kubernetes.log)) == done


def test_a_refresh_changes_nothing(small: Stack) -> None:
    assert set(small.up(refresh=True).changes) <= {"refresh"}


def test_a_label_is_edited_in_place(small: Stack) -> None:
    edited = Small(team="search")
    assert small.preview(edited).changes == {"update": ["t4"]}
    small.up()
    done = small.google.log[-1]
    assert (done.verb, done.name) == ("update", "t4")
    assert done.changed == ("nodeConfig.labels.ollama-fleet/team",)
    pool = small.google.find(small.google.ids("*NodePool")[0])
    assert pool.outputs["nodeConfig"]["labels"] == {"ollama-fleet/team": "search"}


def test_a_pool_that_becomes_spot_is_replaced_and_deleted_first(small: Stack) -> None:
    steps = small.preview(Small(spot=True))
    assert steps.changes == {"replace": ["t4"]}
    assert steps.named("t4").replaced_by == ("nodeConfig.spot",)
    small.up()
    assert [one.verb for one in small.google.operations(type="*NodePool")] == [
        "create",
        "delete",
        "create",
    ]
    assert small.up(Small()).changes == {"replace": ["t4"]}


def test_leaving_out_what_google_fills_in_changes_nothing(small: Stack) -> None:
    assert small.preview(Small(machine=None)).changes == {}


def test_a_replaced_cluster_takes_all_that_stands_on_it_along(small: Stack) -> None:
    steps = small.preview(Small(description="second"))
    assert steps.named("fleet", "Cluster").replaced_by == ("description",)
    # Its id is unknown until it is there again, and an unknown cluster replaces a pool.
    assert "t4" in steps.ops("replace")


def test_a_mutable_config_map_is_edited_in_place(small: Stack) -> None:
    steps = small.up(Small(model="gemma3:4b"))
    assert steps.changes == {"update": ["routes"]}
    assert small.kubernetes.log[-1].changed == ('data["routes.toml"]',)
    found = small.kubernetes.find("ollama/routes")
    assert plain(found.outputs)["data"] == {"routes.toml": "gemma3:4b"}


def test_an_immutable_config_map_is_replaced(engine: Engine) -> None:
    stack = engine(Small(mutable=False))
    stack.up()
    assert stack.up(Small(mutable=False, model="gemma3:4b")).changes == {"replace": ["routes"]}


def test_a_deployment_with_another_selector_is_replaced(small: Stack) -> None:
    steps = small.preview(Small(selector="a100"))
    assert steps.changes == {"replace": ["server"]}
    assert steps.named("server").replaced_by == ("spec.selector.matchLabels.pool",)


def test_an_identified_cluster_may_move_to_another_address(small: Stack) -> None:
    assert small.up(Small(server="fleet.example.com")).changes == {"update": ["fleet"]}


def test_another_address_replaces_all_objects_without_an_identifier(engine: Engine) -> None:
    first = Small(server="one.example.com", identified=False)
    stack = engine(first)
    stack.up()
    steps = stack.preview(replace(first, server="two.example.com"))
    assert steps.changes == {"replace": ["fleet", "ollama", "routes", "server"]}


def test_a_create_that_fails_half_way_is_resumed(engine: Engine) -> None:
    stack = engine(Small())
    stack.google.fail("create", "t4", message="Insufficient quota: NVIDIA_T4_GPUS")
    with pytest.raises(UpdateError, match="NVIDIA_T4_GPUS"):
        stack.up()
    assert stack.google.ids("*Cluster")
    assert not stack.google.ids("*NodePool")
    assert "t4" in stack.up().ops("create")
    assert len(stack.google.operations("create", "*Cluster")) == 1
    assert stack.up().changes == {}


def test_an_object_that_does_not_become_ready_is_kept_and_updated(engine: Engine) -> None:
    stack = engine(Small())
    stack.kubernetes.fail("create", "server", message="0 out of 1 replicas", after=True)
    with pytest.raises(UpdateError, match="0 out of 1 replicas"):
        stack.up()
    assert "ollama/server" in stack.kubernetes.ids()
    assert stack.up().changes == {"update": ["server"]}
    assert stack.up().changes == {}


def test_an_object_before_its_namespace_is_refused(engine: Engine) -> None:
    stack = engine(Small(namespace=False))
    assert stack.preview().errors == []
    with pytest.raises(UpdateError, match='namespaces "ollama" not found'):
        stack.up()


def test_an_object_that_exists_is_refused(engine: Engine) -> None:
    def twice() -> None:
        for name in "ab":
            kubernetes.core.v1.ConfigMap(name, metadata={"name": "same"}, data={})

    with pytest.raises(UpdateError, match='configmaps "same" already exists'):
        engine(twice).up()


def test_an_object_without_a_name_keeps_the_one_it_got(engine: Engine) -> None:
    def unnamed() -> None:
        kubernetes.core.v1.ConfigMap("map", data={"a": "b"})

    stack = engine(unnamed)
    stack.up()
    (found,) = stack.kubernetes.ids()
    assert found.startswith("default/map-")
    assert len(found) == len("default/map-") + 8
    assert stack.up().changes == {}


def test_a_secret_stays_one_in_the_state(engine: Engine) -> None:
    def keys() -> None:
        key = pulumi.Config("test").require_secret("key")
        kubernetes.core.v1.ConfigMap("map", data={"key": key})

    stack = engine(keys, secrets={"test:key": "hunter2"})
    stack.up()
    (found,) = stack.kubernetes.existing.values()
    assert plain(found.outputs)["data"] == {"key": "hunter2"}
    assert "hunter2" not in json.dumps(stack.checkpoint()["resources"])


def test_a_destroy_leaves_nothing(small: Stack) -> None:
    assert small.destroy().changes == {"delete": EVERYTHING}
    assert small.state() == []
    assert small.google.ids() == small.kubernetes.ids() == []


def test_a_protected_cluster_refuses_to_be_destroyed(engine: Engine) -> None:
    stack = engine(Small(protected=True))
    stack.up()
    with pytest.raises(UpdateError, match="deletion_protection is set to true"):
        stack.destroy()
    assert stack.google.ids("*Cluster")
    stack.up(Small(protected=False))
    stack.destroy()
    assert stack.google.ids() == []


def test_other_packages_get_a_generic_double(engine: Engine) -> None:
    def password() -> None:
        class Password(pulumi.CustomResource):
            result: pulumi.Output[str]

        made = Password("random:index/randomPassword:RandomPassword", "key", {"length": 9})
        pulumi.export("length", made.id)

    stack = engine(password, others=("random",))
    stack.others["random"].inject({"result": "x" * 9}, type="random:*")
    stack.up()
    assert stack.state()[0].outputs["result"] == "x" * 9


def test_a_type_without_facts_is_refused_by_name(engine: Engine) -> None:
    def unknown() -> None:
        gcp.redis.Instance("cache", memory_size_gb=1)

    with pytest.raises(UpdateError, match=r"does not know gcp:redis/instance:Instance"):
        engine(unknown).preview()
