"""Which quotas of Google Cloud the fleet needs at its maximum, by the names under which one asks for them."""

from collections import Counter
from collections.abc import Sequence

from infra.catalogue.types import Catalogue
from infra.plan.cost import region
from infra.plan.model import ClusterPlan, PoolPlan, Quota

EVERYWHERE = "GPUS_ALL_REGIONS"
SPOT = "PREEMPTIBLE_"
PER_FAMILY = "GPUS_PER_GPU_FAMILY"
"""One quota for all newer GPUs, told apart by a dimension; it has no form of its own for spot."""


def build(catalogue: Catalogue, cluster: ClusterPlan | None, pools: Sequence[PoolPlan]) -> tuple[Quota, ...]:
    """GPUs times the most nodes: in the region by kind, and over all regions. Nothing without GPUs on GKE."""
    if cluster is None:
        return ()
    here = region(cluster.location)
    needs: Counter[tuple[str, str]] = Counter()
    for pool in pools:
        google = catalogue.gpus[pool.gpu].google if pool.gpu in catalogue.gpus else None
        if pool.nodes is None or google is None or google.quota is None:
            continue
        gpus = pool.nodes.maximum * pool.nodes.gpus_per_node
        name = google.quota
        if name == PER_FAMILY:
            name = f"{name} ({pool.gpu_title})"
        elif pool.nodes.spot:
            name = SPOT + name
        needs[name, here] += gpus
        needs[EVERYWHERE, "global"] += gpus
    return tuple(Quota(name=name, where=where, needed=count) for (name, where), count in sorted(needs.items()) if count)
