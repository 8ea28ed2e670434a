"""Labels, annotations, taints and tolerations, said once: nodes, pods, Services and policies have to agree on them."""

from pulumi_kubernetes.core.v1 import TolerationArgs

from infra.plan.naming import POOL_LABEL, ROUTER

POOL = POOL_LABEL
GPU_TAINT = "nvidia.com/gpu"
GPU_TAINT_VALUE = "present"
MANAGED_BY = {"app.kubernetes.io/managed-by": "ollama-fleet"}
NO_WAIT = {"pulumi.com/skipAwait": "true"}
"""An annotation: `up` goes on without waiting until the object is ready."""


def of_site(pool: str) -> str:
    """The key on nodes of a site, where one node may have several pools."""
    return f"{POOL}-{pool}"


def node(pool: str, site: str | None) -> dict[str, str]:
    """What the nodes of a pool are chosen by."""
    return {POOL: pool} if site is None else {of_site(pool): "true"}


def server(pool: str) -> dict[str, str]:
    """What the pods of a pool's Ollama are known by."""
    return {"app.kubernetes.io/name": "ollama", POOL: pool}


def router() -> dict[str, str]:
    """What the router's pods are known by."""
    return {"app.kubernetes.io/name": ROUTER}


def client(name: str) -> dict[str, str]:
    """What the pods of one of the fleet's own clients are known by."""
    return {"app.kubernetes.io/name": name}


def tolerations(pool: str, *, gpu: bool) -> list[TolerationArgs]:
    """What lets a pod onto the nodes of `pool` and no other's."""
    own = TolerationArgs(key=POOL, operator="Equal", value=pool, effect="NoSchedule")
    # GKE adds this one to pods that ask for a GPU; elsewhere nobody does
    any_gpu = TolerationArgs(key=GPU_TAINT, operator="Exists", effect="NoSchedule")
    return [own, any_gpu] if gpu else [own]
