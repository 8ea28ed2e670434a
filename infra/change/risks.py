"""What a reviewer must not miss: models without any pool, drivers, protection, quota, an open door."""

from collections.abc import Iterator

from infra.change.model import Action, PoolChange, ResourceChange
from infra.change.pools import meanwhile
from infra.plan.model import FleetPlan
from infra.problem import Problem, has_errors, warning

CLUSTER = "gcp:container/cluster:Cluster"


def risks(
    before: FleetPlan | None,
    after: FleetPlan | None,
    pools: tuple[PoolChange, ...],
    resources: tuple[ResourceChange, ...] | None,
) -> tuple[Problem, ...]:
    """Every risk once, in order of its place."""
    found = list(_resources(resources or ()))
    if resources is None and after is not None and not has_errors(after.problems):
        found.append(
            warning(
                "the resources",
                "they could not be compared: a replacement, or a removal, would not be seen here",
                "mend the base first, or look at make preview",
            )
        )
    if after is None and before is not None:
        found.append(
            warning(
                "the stack's file",
                "it is gone, and with it the only way to change or destroy what stands",
                f"make destroy STACK={before.stack} before it goes",
            )
        )
    if before is not None and after is not None:
        found += [*_served(before, after, pools), *_drivers(pools), *_volumes(before, after)]
        found += [*_cluster(before, after), *_door(before, after)]
    if after is not None:
        found += [*_quota(before, after), *_refused(before, after)]
    return tuple(sorted(set(found)))


def _served(before: FleetPlan, after: FleetPlan, pools: tuple[PoolChange, ...]) -> Iterator[Problem]:
    old = {model.name: model for model in before.models}
    down = {change.name for change in pools if change.down}
    for model in after.models:
        was = old.get(model.name)
        if was is None or not model.route or meanwhile(was, model, pools):
            continue
        reasons = [
            f"{name} is down" if name in down else f"{name} has to fetch it first"
            for name in dict.fromkeys(model.route)
        ]
        yield warning(
            f"fleet.models.{model.name}",
            f"it has no pool for a while: {', '.join(reasons)}",
            "route it to a further pool first, and take that out once the change is done",
        )


def _drivers(pools: tuple[PoolChange, ...]) -> Iterator[Problem]:
    for change in pools:
        if change.driver_changes and not change.moved:
            new = "it comes with the new nodes"
            kept = "a node that runs keeps the loaded one until it is made anew"
            yield warning(
                f"fleet.pools.{change.name}.driver",
                f"another driver: {new if change.nodes is Action.REPLACE else kept}",
                "try it on a pool of its own first",
            )


def _volumes(before: FleetPlan, after: FleetPlan) -> Iterator[Problem]:
    """What Kubernetes refuses of a claim: a smaller size, any other while no pod has bound it, and a larger one where
    the StorageClass allows none, as local-path of k3s (rancher/local-path-provisioner#190, 2026-11-22)."""
    old = {pool.name: pool for pool in before.pools if pool.volume}
    for pool in after.pools:
        was = old.get(pool.name)
        if was is None or pool.volume in (0, was.volume):
            continue
        sizes = f"its volume goes from {was.volume_request} to {pool.volume_request}"
        anew = f"kubectl -n {after.namespace} delete pvc {pool.names.models}, and `pulumi up --refresh`"
        if pool.volume < was.volume:
            message = f"{sizes}: Kubernetes refuses a smaller one, and `up` fails there"
            remedy = (
                f"write volumeSize: {was.volume_request} at the pool, which keeps it as it is; or scale the pool to "
                f"nothing, {anew}: its models are fetched anew"
            )
        elif was.sleeps:
            message = f"{sizes}: Kubernetes refuses that, and `up` fails there, until a first pod has run on it"
            remedy = f"wake the pool once before, or {anew}: nothing is on it yet"
        elif was.site is not None:
            message = (
                f"{sizes}: Kubernetes refuses that, and applying it fails there, unless the StorageClass allows it; "
                "local-path of k3s does not"
            )
            remedy = (
                "there, where volumes have no bound: kubectl patch storageclass local-path -p "
                f"'{{\"allowVolumeExpansion\": true}}'; elsewhere {anew}: its models are fetched anew"
            )
        else:
            continue
        yield warning(f"fleet.pools.{pool.name}.storage", message, remedy)


def _cluster(before: FleetPlan, after: FleetPlan) -> Iterator[Problem]:
    old, new = before.cluster, after.cluster
    if old is not None and new is None:
        yield warning("fleet.gke", "the cluster and all that is in it goes", "move its models first")
    elif old is not None and new is not None and old.deletion_protection and not new.deletion_protection:
        yield warning(
            "fleet.gke.deletionProtection",
            "deletion protection goes off: the next destroy takes the cluster",
            "leave it on unless that is what you want",
        )


def _door(before: FleetPlan, after: FleetPlan) -> Iterator[Problem]:
    old, new = before.router.settings, after.router.settings
    wider = ("cluster", "internal", "public")
    if wider.index(new.expose) > wider.index(old.expose):
        yield warning(
            "fleet.router.expose",
            f"the door opens from {old.expose} to {new.expose}",
            "check who can reach it, and with which keys",
        )
    if (old.auth, new.auth) == ("keys", "none") or (new.insecure_public_access and not old.insecure_public_access):
        yield warning("fleet.router", "requests need no key any more", "leave auth: keys")
    if (old.client_options, new.client_options) == ("refuse", "pass"):
        yield warning(
            "fleet.router.clientOptions",
            "clients may ask for options that the plan's memory does not hold for",
            "leave clientOptions: refuse",
        )


def _quota(before: FleetPlan | None, after: FleetPlan) -> Iterator[Problem]:
    had = {(quota.name, quota.where): quota.needed for quota in before.quotas} if before else {}
    for quota in after.quotas:
        least = had.get((quota.name, quota.where), 0)
        if quota.needed > least:
            yield warning(
                f"quota {quota.name}",
                f"it needs {quota.needed} in {quota.where}, {least} before",
                "ask Google for it before merging: an increase is granted by people",
            )


def _refused(before: FleetPlan | None, after: FleetPlan) -> Iterator[Problem]:
    known = {pool.name for pool in before.pools if pool.google_refuses} if before else set()
    for pool in after.pools:
        if pool.google_refuses and pool.name not in known:
            yield warning(
                f"fleet.pools.{pool.name}", f"Google refuses the {pool.gpu_title} at apply", "put the pool at a site"
            )


def _resources(resources: tuple[ResourceChange, ...]) -> Iterator[Problem]:
    for one in resources:
        taken = one.action in (Action.REPLACE, Action.DELETE)
        if one.protected and taken:
            yield warning(
                one.name,
                f"it is protected, so `up` refuses to {one.action} it",
                "gke: {deletionProtection: false} and an up first, if that is what you want",
            )
        if one.type == CLUSTER and taken:
            yield warning(one.name, "the cluster goes, and with it everything in it", "build a second stack, and move")
