"""What is left to do at a site, where `up` does nothing."""

from collections.abc import Iterator, Sequence

from infra.change.model import FleetChange


def of_pools(change: FleetChange, pools: Sequence[str]) -> Iterator[str]:
    """For what is new in these pools."""
    plan = change.after
    if plan is None:
        return
    for name in dict.fromkeys(where for pool in pools if (where := plan.pool(pool).site) is not None):
        site = plan.site(name)
        if site.kind == "docker":
            yield f"{name}: apply `fleet compose --site {name}` anew"
        elif site.cluster is None:
            yield f"{name}: pull it there yourself"
        elif not site.cluster.applied:
            yield f"{name}: apply `fleet manifests --site {name}` anew"


def of_removed(change: FleetChange, pool: str) -> Iterator[str]:
    """For a pool that goes: a Compose file that is applied anew stops what it lacks, and kubectl stops nothing."""
    if change.before is None or (name := change.before.pool(pool).site) is None:
        return
    was = next((site for site in change.before.sites if site.name == name), None)
    if was is None or was.kind == "endpoints" or (was.cluster and was.cluster.applied):
        return
    hosts = {machine.name for machine in was.machines if any(server.pool == pool for server in machine.servers)}
    sites = change.after.sites if change.after else ()
    left = {machine.name for site in sites if site.name == name and site.pools for machine in site.machines}
    if hosts and hosts <= left:
        yield f"{name}: apply `fleet compose --site {name}` anew"
    else:
        yield f"{name}: its server runs on until it is stopped there"
