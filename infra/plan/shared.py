"""One machine has one driver: what serves every card in it, where the cards' own defaults differ."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from infra.catalogue.types import Catalogue
from infra.config import place
from infra.plan import compatibility
from infra.plan.draft import Draft
from infra.plan.model import Outcome, SitePlacement
from infra.problem import Problem, warning


@dataclass(frozen=True, kw_only=True)
class Shared:
    """The driver branch of a pool's machine, and the image that works with it on the pool's card."""

    branch: int
    image: str


def settle(
    catalogue: Catalogue, drafts: Mapping[str, Draft], placements: Mapping[str, Sequence[SitePlacement]]
) -> dict[str, Shared]:
    """For pools that share a machine and would each have another driver: one that serves them all, if there is one."""
    settled: dict[str, Shared] = {}
    for names in _machines(drafts, placements):
        if len({drafts[name].driver.branch for name in names}) < 2:
            continue
        found = [choice for branch in _branches(catalogue) if (choice := _with(catalogue, drafts, names, branch))]
        if found:
            # the newest branch among those that leave the most pools with their own image
            settled |= min(found, key=lambda choice: sum(_differs(drafts[name], choice[name]) for name in names))
    return settled


def _machines(
    drafts: Mapping[str, Draft], placements: Mapping[str, Sequence[SitePlacement]]
) -> Iterator[tuple[str, ...]]:
    pools: dict[tuple[str, str], list[str]] = defaultdict(list)
    for name, placed in sorted(placements.items()):
        for one in placed:
            if drafts[name].driver.branch is not None:
                pools[drafts[name].pool.site or "", one.node].append(name)
    for _, names in sorted(pools.items()):
        yield tuple(names)


def _branches(catalogue: Catalogue) -> list[int]:
    return sorted((driver.branch for driver in catalogue.releases.drivers.values()), reverse=True)


def _with(
    catalogue: Catalogue, drafts: Mapping[str, Draft], names: Sequence[str], branch: int
) -> dict[str, Shared] | None:
    chosen: dict[str, Shared] = {}
    for name in names:
        draft = drafts[name]
        if draft.pool.driver not in (None, "host") and draft.driver.branch != branch:
            return None
        image = _image(catalogue, draft, branch)
        if image is None:
            return None
        chosen[name] = Shared(branch=branch, image=image)
    return chosen


def _image(catalogue: Catalogue, draft: Draft, branch: int) -> str | None:
    """The file's image, else the card's own, else any other that some card of the catalogue has for its own."""
    own = draft.gpu.default_image or catalogue.releases.default_image
    others = sorted({gpu.default_image for gpu in catalogue.gpus.values() if gpu.default_image})
    for image in [draft.pool.image] if draft.pool.image else [own, *others]:
        judged = compatibility.judge(catalogue, gpu=draft.gpu, branch=branch, reference=image)
        if judged.outcome is Outcome.WORKS:
            return image
    return None


def _differs(draft: Draft, shared: Shared) -> bool:
    return draft.runtime.image != shared.image


def said(drafts: Mapping[str, Draft], settled: Mapping[str, Shared]) -> Iterator[Problem]:
    """Pools that would have another driver or image in a machine of their own."""
    for name, shared in sorted(settled.items()):
        draft = drafts[name]
        if (shared.branch, shared.image) == (compatibility.default_branch(draft.gpu), draft.gpu.default_image):
            continue
        other = f" with {shared.image}" if shared.image != draft.gpu.default_image else ""
        yield warning(
            place("pools", name, "driver"),
            f"its machine has cards of another kind, and R{shared.branch} is the driver that serves them all{other}",
            "put the cards into different machines, and each gets what is best for it",
        )
