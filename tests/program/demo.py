"""A small program of which every answer of the recorder is known."""

from __future__ import annotations

import json
from typing import Any

import pulumi
from pulumi_gcp.container import Cluster, NodePool
from pulumi_gcp.serviceaccount import Account
from pulumi_kubernetes import Provider
from pulumi_kubernetes.apps.v1 import Deployment
from pulumi_kubernetes.core.v1 import Namespace, Secret

from infra.recorder import Recording, record

CLUSTER = "gcp:container/cluster:Cluster"
NODE_POOL = "gcp:container/nodePool:NodePool"
DEPLOYMENT = "kubernetes:apps/v1:Deployment"
COMPONENT = "test:components:Fleet"
POOL = "test:components:Pool"
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
    """The program's recording."""
    return record(program, project="demo", stack="dev", config=CONFIG, secret_keys=["demo:token"], **options)


def small(body: Any, **options: Any) -> Recording:
    """The recording of another program, in a stack without configuration."""
    return record(body, project="demo", stack="dev", **options)
