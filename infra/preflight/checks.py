"""Every check of `fleet preflight`, in the order in which one would mend what they find."""

from collections.abc import Callable, Iterable, Iterator

from infra.catalogue import Catalogue
from infra.catalogue.types import Gpu
from infra.plan.model import ClusterPlan, FleetPlan, PoolPlan, Quota
from infra.preflight.model import Cloud, Finding, Limit, RefusedError, State

Find = Callable[[str], str | None]
"""Where a program is, as `shutil.which` says."""
HELPFUL = {"gcloud"}
"""A program that one wants at hand, and that `up` itself does not call."""
PROGRAMS = {
    "pulumi": "https://www.pulumi.com/docs/install/, or `make tools`",
    "gcloud": "https://docs.cloud.google.com/sdk/docs/install",
    "gke-gcloud-auth-plugin": "gcloud components install gke-gcloud-auth-plugin",
}
BOOTSTRAP_APIS = ("cloudresourcemanager.googleapis.com", "serviceusage.googleapis.com", "cloudbilling.googleapis.com")
"""What the questions themselves need; the program enables all others."""
PRICE_TOLERANCE = 0.05
QUOTA_PAGE = "https://console.cloud.google.com/iam-admin/quotas"


def check(plan: FleetPlan, catalogue: Catalogue, connect: Callable[[], Cloud], find: Find) -> Iterator[Finding]:
    """All findings, each as it is known; for a fleet without a cluster nobody connects.

    A question that Google does not answer is a finding of its own, and the others are still asked.
    """
    if plan.cluster is None:
        yield Finding(subject="cloud", state=State.OK, message="the fleet has no cluster on Google Cloud")
    else:
        yield from _programs(find)
        yield from _cloud(plan, plan.cluster, catalogue, connect())


def _programs(find: Find) -> Iterator[Finding]:
    for name, remedy in PROGRAMS.items():
        if (path := find(name)) is not None:
            yield Finding(subject=name, state=State.OK, message=path)
        else:
            state = State.DOUBT if name in HELPFUL else State.MISSING
            yield Finding(subject=name, state=state, message="it is not on PATH", remedy=remedy)


def _cloud(plan: FleetPlan, cluster: ClusterPlan, catalogue: Catalogue, cloud: Cloud) -> Iterator[Finding]:
    pools = [pool for pool in plan.pools if pool.nodes is not None]
    asked: list[tuple[str, Callable[[], Iterable[Finding]]]] = [
        ("project", lambda: _project(cluster, cloud)),
        ("billing", lambda: _billing(cluster, cloud)),
        ("APIs", lambda: _apis(cluster, cloud)),
        ("quotas", lambda: _quotas(plan.quotas, cluster, cloud)),
        ("zones", lambda: _zones(pools, cluster, catalogue, cloud)),
        ("NAT", lambda: _nat(cluster, cloud)),
        ("release channel", lambda: _channel(cluster, cloud)),
        ("prices", lambda: _prices(pools, plan, catalogue, cloud)),
    ]
    for subject, question in asked:
        try:
            yield from question()
        except RefusedError as refused:
            yield Finding(
                subject=subject,
                state=State.DOUBT,
                message=f"Google does not say: {refused}",
                remedy=refused.remedy,
            )
    yield Finding(
        subject="stock",
        state=State.UNKNOWN,
        message="no API tells whether a zone has a GPU to give now",
        remedy="name several zones, or a fallback pool",
    )
    if any(pool.driver.mode == "installer" for pool in pools):
        yield Finding(
            subject="drivers",
            state=State.UNKNOWN,
            message="no API tells which driver branches a node image has: the catalogue's dated list was taken",
        )


def _project(cluster: ClusterPlan, cloud: Cloud) -> Iterator[Finding]:
    if cloud.project_is_active(cluster.project):
        yield Finding(subject="project", state=State.OK, message=cluster.project)
    else:
        yield Finding(
            subject="project",
            state=State.MISSING,
            message=f"{cluster.project} is not active",
            remedy="gcloud projects list, and write the right one at gcp:project",
        )


def _billing(cluster: ClusterPlan, cloud: Cloud) -> Iterator[Finding]:
    if cloud.billing_is_on(cluster.project):
        yield Finding(subject="billing", state=State.OK, message="on")
    else:
        yield Finding(
            subject="billing",
            state=State.MISSING,
            message="the project has no billing account",
            remedy=f"gcloud billing projects link {cluster.project} --billing-account=ACCOUNT",
        )


def _apis(cluster: ClusterPlan, cloud: Cloud) -> Iterator[Finding]:
    enabled = cloud.enabled_apis(cluster.project)
    off = [name for name in BOOTSTRAP_APIS if name not in enabled]
    # an existing cluster has what it runs on, and the program enables nothing beside it
    later = [name for name in cluster.apis if name not in enabled]
    if off:
        yield Finding(
            subject="APIs",
            state=State.MISSING,
            message=f"off: {', '.join(off)}",
            remedy=f"gcloud services enable {' '.join(off)} --project {cluster.project}",
        )
    elif cluster.existing and later:
        yield Finding(
            subject="APIs",
            state=State.MISSING,
            message=f"off: {', '.join(later)}",
            remedy=f"gcloud services enable {' '.join(later)} --project {cluster.project}",
        )
    else:
        todo = f"; `up` enables {', '.join(later)}" if later else ""
        yield Finding(subject="APIs", state=State.OK, message=f"on{todo}")


def _quotas(quotas: tuple[Quota, ...], cluster: ClusterPlan, cloud: Cloud) -> Iterator[Finding]:
    if not quotas:
        return
    limits = cloud.quotas(cluster.project, cluster.region)
    for quota in quotas:
        yield _quota(quota, limits.get((quota.name, quota.where)))


def _quota(quota: Quota, known: Limit | None) -> Finding:
    subject = f"quota {quota.name}"
    need = f"{quota.needed} needed in {quota.where}"
    remedy = f"ask for {quota.needed} at {QUOTA_PAGE}: an increase is granted by people, within hours or days"
    if known is None:
        return Finding(subject=subject, state=State.UNKNOWN, message=f"{need}; Google lists none", remedy=remedy)
    if known.limit < quota.needed:
        return Finding(subject=subject, state=State.MISSING, message=f"{need}, {known.limit:g} allowed", remedy=remedy)
    if known.free < quota.needed:
        # a fleet that stands already uses its own share of it
        used = f"{need}, {known.limit:g} allowed, {known.usage:g} in use (by this fleet too, where it stands)"
        return Finding(subject=subject, state=State.DOUBT, message=used, remedy=remedy)
    return Finding(subject=subject, state=State.OK, message=f"{need}, {known.free:g} free")


def _zones(pools: list[PoolPlan], cluster: ClusterPlan, catalogue: Catalogue, cloud: Cloud) -> Iterator[Finding]:
    for pool in pools:
        nodes = pool.nodes
        if nodes is None or pool.google_refuses:
            continue
        subject = f"zones of {pool.name}"
        google = catalogue.gpus[pool.gpu].google if pool.gpu in catalogue.gpus else None
        known = cloud.machine_zones(cluster.project, nodes.machine_type)
        if google is not None and google.accelerator is not None:
            known &= cloud.zones_with(cluster.project, google.accelerator)
        wrong = sorted(set(nodes.zones) - known)
        if wrong:
            near = sorted(zone for zone in known if zone.startswith(f"{cluster.region}-"))
            yield Finding(
                subject=subject,
                state=State.MISSING,
                message=f"{', '.join(wrong)} has no {pool.gpu_title} with {nodes.machine_type}",
                remedy=f"zones: [{', '.join(near)}]" if near else "choose another location",
            )
        else:
            yield Finding(subject=subject, state=State.OK, message=", ".join(nodes.zones))


def _nat(cluster: ClusterPlan, cloud: Cloud) -> Iterator[Finding]:
    network = cluster.network
    if cluster.existing or network.create:
        return
    if cloud.nat_of(network.host_project, cluster.region, network.vpc):
        yield Finding(subject="NAT", state=State.OK, message=f"{network.vpc} has one in {cluster.region}")
    else:
        yield Finding(
            subject="NAT",
            state=State.MISSING,
            message=f"{network.vpc} has none in {cluster.region}: nodes without an address reach no model registry",
            remedy=f"gcloud compute routers create nat --network {network.vpc} --region {cluster.region} "
            f"--project {network.host_project}, and a NAT in it",
        )


def _channel(cluster: ClusterPlan, cloud: Cloud) -> Iterator[Finding]:
    if cluster.existing:
        return
    channel = cluster.release_channel.lower()
    version = cloud.channel_version(cluster.project, cluster.location, channel)
    if version is None:
        yield Finding(
            subject="release channel",
            state=State.MISSING,
            message=f"{cluster.location} has no channel {channel}",
            remedy="write another gke.releaseChannel",
        )
    else:
        yield Finding(subject="release channel", state=State.OK, message=f"{channel} is {version}")


def _prices(pools: list[PoolPlan], plan: FleetPlan, catalogue: Catalogue, cloud: Cloud) -> Iterator[Finding]:
    if plan.cost is None:
        return
    known = catalogue.prices[plan.cost.priced_in].gpus
    for gpu in sorted({pool.gpu for pool in pools if pool.gpu in known}):
        for spot in sorted({pool.nodes.spot for pool in pools if pool.gpu == gpu and pool.nodes}):
            ours = known[gpu].spot if spot else known[gpu].on_demand
            title = catalogue.gpus[gpu].title
            live = cloud.gpu_price(plan.cost.region, _sku_words(catalogue.gpus[gpu]), spot=spot)
            subject = f"price of {title}{' spot' * spot}"
            if live is None or ours is None:
                yield Finding(subject=subject, state=State.UNKNOWN, message="not found in the live catalogue")
            elif abs(live - ours) > PRICE_TOLERANCE * ours:
                yield Finding(
                    subject=subject,
                    state=State.DOUBT,
                    message=f"${live:.4f} an hour now, ${ours:.4f} in the plan of {plan.cost.date.isoformat()}",
                    remedy="the plan's figures are off by as much; a newer release has newer prices",
                )
            else:
                yield Finding(subject=subject, state=State.OK, message=f"${live:.4f} an hour")


def _sku_words(gpu: Gpu) -> tuple[str, ...]:
    """How Google's price list names it; memory tells only the 80 GB cards apart."""
    memory = gpu.memory_title.replace(" ", "")
    return (*gpu.title.split(), *((memory,) if memory == "80GB" else ()))
