"""What a server must find on its machine: the driver, the cards, and how they reach a container."""

from collections.abc import Iterable, Iterator, Sequence

from infra.catalogue.types import Catalogue, Gpu
from infra.config.model import SiteNode
from infra.plan import compatibility, naming
from infra.plan.draft import Draft
from infra.plan.model import Cards, HostNeeds, Outcome


def of_pool(catalogue: Catalogue, draft: Draft, namespace: str) -> HostNeeds:
    """Of one replica; nothing without a GPU."""
    gpu, image = draft.gpu, draft.runtime.image
    if gpu.compute is None:
        return HostNeeds()
    known = compatibility.find_image(catalogue, image)
    # on GKE the driver's own DaemonSet holds the version against the plan: another one must restart no server
    stated = draft.pool.site is not None and draft.pool.driver not in (None, "host")
    works = [] if stated else list(_works(catalogue, gpu, image))
    return HostNeeds(
        cards=tuple(_cards(gpu, draft.pool.gpus_per_replica)),
        driver=draft.driver.expected if stated and draft.driver.branch is not None else "",
        least_driver=min(works, default=0),
        most_driver=0 if stated else gpu.last_driver or 0,
        modules=(gpu.card.modules if gpu.card else None) or "",
        driver_log=naming.driver_log(namespace) if draft.driver.mode == "container" else "",
        maps_uvm=known is not None and known.maps_uvm,
    )


def of_machine(catalogue: Catalogue, node: SiteNode, pools: Sequence[HostNeeds]) -> HostNeeds:
    """Of a machine that a site describes, with the servers of these pools on it."""
    with_gpu = [needs for needs in pools if needs.cards]
    if not with_gpu:
        return HostNeeds()
    described = ((catalogue.gpus[gpu], node.count(gpu)) for gpu in sorted(node.gpus) if gpu in catalogue.gpus)
    return HostNeeds(
        cards=tuple(cards for gpu, count in described for cards in _cards(gpu, count)),
        driver=max((needs.driver for needs in with_gpu), key=len),
        least_driver=max(needs.least_driver for needs in with_gpu),
        most_driver=min((needs.most_driver for needs in with_gpu if needs.most_driver), default=0),
        modules=next((needs.modules for needs in with_gpu if needs.modules), ""),
        maps_uvm=any(needs.maps_uvm for needs in with_gpu),
    )


def _cards(gpu: Gpu, count: int) -> Iterator[Cards]:
    if gpu.card is not None:
        # a name that nobody has seen, and no id beside it: a wrong guess must not stop a server, so any card counts
        guessed = gpu.card.inferred and not gpu.card.pci
        yield Cards(count=count, title=gpu.title, product=".*" if guessed else gpu.card.product, pci=gpu.card.pci)


def _works(catalogue: Catalogue, gpu: Gpu, image: str) -> Iterable[int]:
    for driver in catalogue.releases.drivers.values():
        if compatibility.judge(catalogue, gpu=gpu, branch=driver.branch, reference=image).outcome is Outcome.WORKS:
            yield driver.branch
