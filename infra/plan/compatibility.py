"""Which driver and which Ollama image go with a card, and what becomes of it if they do not."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from infra.catalogue.types import Catalogue, DriverFloor, Gpu, Image
from infra.config import Pool, place
from infra.plan import asked
from infra.plan.model import DriverPlan, Outcome, Runtime
from infra.problem import Problem, error, warning

TURING = (7, 5)


def numbers(version: str) -> tuple[int, ...]:
    """A version for comparison: `0.9.3` < `0.30.0`."""
    return tuple(int(part) for part in version.split("."))


def repository(image: str) -> str:
    """The image without tag, digest and the registries that everybody leaves out."""
    name = image.partition("@")[0]
    if ":" in name.rsplit("/", 1)[-1]:
        name = name.rpartition(":")[0]
    return name.removeprefix("docker.io/")


def find_image(catalogue: Catalogue, reference: str) -> Image | None:
    """The catalogue's entry for an image; a mirror is known by its last two path parts, as in host/ollama/ollama."""
    name = repository(reference)
    return next(
        (image for known, image in catalogue.releases.images.items() if name == known or name.endswith(f"/{known}")),
        None,
    )


def image_version(image: Image | None, reference: str) -> str | None:
    """The Ollama version that a reference stands for: its tag's, or the fork's own."""
    if image is not None and not image.official:
        return image.version
    tag = re.search(r":v?(\d+\.\d+\.\d+)(?:-[\w.]+)?(?:@|$)", reference)
    return tag[1] if tag else None


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """An outcome, and in words what brings it about."""

    outcome: Outcome
    reason: str = ""


def _applies(floor: DriverFloor, version: tuple[int, ...], compute: tuple[int, int]) -> bool:
    return (
        version >= numbers(floor.since)
        and (floor.until is None or version < numbers(floor.until))
        and (floor.compute_from is None or compute >= numbers(floor.compute_from))
        and (floor.compute_below is None or compute < numbers(floor.compute_below))
    )


def judge(catalogue: Catalogue, *, gpu: Gpu, branch: int | None, reference: str, vulkan: bool = False) -> Judgement:
    """What becomes of `gpu` with a driver of `branch` and the image `reference`.

    `vulkan` says whether the server leaves OLLAMA_VULKAN on; our pods turn it off, so that a filtered card is seen.
    """
    if gpu.compute is None:
        return Judgement(outcome=Outcome.WORKS)
    if stranger := _driver_does_not_know(gpu, branch):
        return Judgement(outcome=Outcome.CPU, reason=stranger)
    image = find_image(catalogue, reference)
    if image is None:
        return Judgement(
            outcome=Outcome.UNKNOWN, reason=f"the catalogue does not know the image {repository(reference)}"
        )
    if stranger := _image_does_not_know(image, gpu, reference):
        return Judgement(outcome=Outcome.CPU, reason=stranger)
    if image.drivers:
        if branch is not None and branch not in image.drivers:
            wanted = ", ".join(f"R{driver}" for driver in image.drivers)
            return Judgement(outcome=Outcome.CPU, reason=f"{repository(reference)} works with driver {wanted} only")
        return Judgement(outcome=Outcome.WORKS)
    version = image_version(image, reference)
    if version is None:
        return Judgement(outcome=Outcome.UNKNOWN, reason="the image's tag names no version")
    return _against_floors(catalogue, version, gpu.compute_capability, branch, vulkan=vulkan)


def _driver_does_not_know(gpu: Gpu, branch: int | None) -> str:
    if branch is not None and gpu.last_driver is not None and branch > gpu.last_driver:
        return f"driver R{branch} no longer knows the {gpu.title}: R{gpu.last_driver} was its last"
    if branch is not None and gpu.first_driver is not None and branch < gpu.first_driver:
        return f"driver R{branch} does not know the {gpu.title} yet: R{gpu.first_driver} is its first"
    return ""


def _image_does_not_know(image: Image, gpu: Gpu, reference: str) -> str:
    name = repository(reference)
    for variant, hardware in image.variants.items():
        if re.search(rf"[:-]{variant}(@|$)", reference):
            return f"the variant {variant} of {name} is for {hardware}"
    bound = f"compute capability {gpu.compute}, which the {gpu.title} has"
    if gpu.compute_capability < numbers(image.minimum_compute):
        return f"{name} begins at {image.minimum_compute}, above {bound}"
    if image.maximum_compute is not None and gpu.compute_capability > numbers(image.maximum_compute):
        return f"{name} ends at {image.maximum_compute}, below {bound}"
    return ""


def _against_floors(
    catalogue: Catalogue, version: str, compute: tuple[int, int], branch: int | None, *, vulkan: bool
) -> Judgement:
    releases = catalogue.releases
    for avoid in releases.avoid:
        if version == avoid.version and (avoid.compute_below is None or compute < numbers(avoid.compute_below)):
            return Judgement(outcome=Outcome.FAILS, reason=f"Ollama {version} is broken on this card: {avoid.reason}")
    if branch is None:
        return Judgement(outcome=Outcome.WORKS)
    missed = [
        floor for floor in releases.floors if branch < floor.driver and _applies(floor, numbers(version), compute)
    ]
    if not missed:
        return Judgement(outcome=Outcome.WORKS)
    # a request that fails tells its reader more than a slow one, so it is named first
    floor = max(missed, key=lambda missed_floor: (missed_floor.outcome == "fails", missed_floor.driver))
    reason = (
        f"driver R{branch} is below R{floor.driver}, which Ollama {version} needs for "
        f"compute capability {compute[0]}.{compute[1]}"
    )
    if floor.outcome == "fails":
        return Judgement(outcome=Outcome.FAILS, reason=reason)
    slowly = vulkan and numbers(version) >= numbers(releases.vulkan_since)
    return Judgement(outcome=Outcome.VULKAN if slowly else Outcome.CPU, reason=reason)


def driver_floor(catalogue: Catalogue, gpu: Gpu, image: Image | None, reference: str) -> tuple[int, str] | None:
    """The highest floor that holds for an image on a card, and since which Ollama it does."""
    version = image_version(image, reference)
    if gpu.compute is None or image is None or not image.official or version is None:
        return None
    floors = [one for one in catalogue.releases.floors if _applies(one, numbers(version), gpu.compute_capability)]
    highest = max(floors, key=lambda floor: floor.driver, default=None)
    return (highest.driver, highest.since) if highest else None


def driver(catalogue: Catalogue, pool: Pool, gpu: Gpu) -> DriverPlan:
    """The driver of a pool: the file's word, else the card's own default; at sites what the host has."""
    if gpu.compute is None:
        return DriverPlan(mode="none")
    wish = pool.driver or ("host" if pool.site else gpu.default_driver or "host")
    images = catalogue.gke.images
    if wish == "gke":
        return DriverPlan(
            mode="gke",
            branch=max(branch.branch for branch in catalogue.releases.drivers.values() if branch.on_cos),
            image=images["driver_cos"],
            pause_image=images["pause"],
            verifier=asked.DRIVER_VERIFIER,
            pause=asked.DRIVER_PAUSE,
        )
    if wish in ("host", "container"):
        mode: Literal["host", "container"] = "host" if wish == "host" else "container"
        return DriverPlan(mode=mode, branch=default_branch(gpu), assumed=mode == "host")
    exact = wish if "." in wish else None
    # Google has Ubuntu manifests for a few exact versions only; everything else goes on Container-Optimized OS
    ubuntu = exact is not None and any(exact == branch.on_ubuntu for branch in catalogue.releases.drivers.values())
    return DriverPlan(
        mode="host" if pool.site else "installer",
        branch=_branch(wish),
        exact=exact,
        operating_system="ubuntu" if ubuntu else "cos",
        image=images["driver_ubuntu" if ubuntu else "driver_cos"],
        pause_image=images["pause"],
        installer=asked.DRIVER_INSTALLER,
        verifier=asked.DRIVER_VERIFIER,
        pause=asked.DRIVER_PAUSE,
        pinned=exact is not None,
    )


def default_branch(gpu: Gpu) -> int | None:
    """The driver branch that a card has where nothing else is said."""
    return _branch(gpu.default_driver or "")


def _branch(text: str) -> int | None:
    match = re.match(r"R?(\d{3})", text)
    return int(match[1]) if match else None


def runtime(
    catalogue: Catalogue, pool: Pool, gpu: Gpu, branch: int | None, *, theirs: bool = False
) -> tuple[Runtime, Judgement]:
    """The image of a pool and how it stands with its card and driver; `theirs`: a server that somebody else runs."""
    reference = pool.image or gpu.default_image or catalogue.releases.default_image
    image = find_image(catalogue, reference)
    # our servers turn Vulkan off; theirs have it as Ollama comes
    judgement = judge(catalogue, gpu=gpu, branch=branch, reference=reference, vulkan=theirs)
    return (
        Runtime(
            image=reference,
            version=image_version(image, reference),
            official=image is not None and image.official,
            outcome=judgement.outcome,
            missing_routes=image.missing_routes if image else (),
            assumed=theirs and pool.image is None,
            driver_floor=driver_floor(catalogue, gpu, image, reference),
        ),
        judgement,
    )


def flash_attention(catalogue: Catalogue, pool: Pool, gpu: Gpu, image: str) -> bool:
    """Whether the pool's server uses it: what the file says, else wherever card and image can."""
    if pool.flash_attention is not None:
        return pool.flash_attention
    known = find_image(catalogue, image)
    return gpu.flash_attention and (known is None or known.flash_attention)


def check(
    catalogue: Catalogue, name: str, pool: Pool, gpu: Gpu, plan: DriverPlan, run: Runtime, judgement: Judgement
) -> Iterator[Problem]:
    """Problems of card, driver, image and their options."""
    yield from _check_outcome(catalogue, name, gpu, run, judgement)
    yield from _check_driver(catalogue, name, pool, gpu, plan)
    image = find_image(catalogue, run.image)
    unable = ""
    if not gpu.flash_attention:
        unable = f"the {gpu.title} (compute capability {gpu.compute}) cannot do it, which needs 6.0"
    elif image is not None and not image.flash_attention:
        unable = f"{repository(run.image)} cannot do it"
    if pool.flash_attention and unable:
        yield error(
            place("pools", name, "flashAttention"), f"flash attention is on, and {unable}", "take flashAttention out"
        )
    if pool.kv_cache != "f16" and (unable or pool.flash_attention is False):
        yield error(
            place("pools", name, "kvCache"),
            f"a {pool.kv_cache} cache needs flash attention, and {unable or 'it is off on this pool'}",
            "write kvCache: f16" if unable else "write kvCache: f16, or take flashAttention: false out",
        )


def _check_outcome(catalogue: Catalogue, name: str, gpu: Gpu, run: Runtime, judgement: Judgement) -> Iterator[Problem]:
    where = place("pools", name, "driver" if "driver" in judgement.reason else "image")
    if judgement.outcome is Outcome.UNKNOWN:
        yield warning(
            place("pools", name, "image"),
            f"card x driver x image is not checked: {judgement.reason}",
            "watch the pod's log for library=CUDA, or use an image of the catalogue",
        )
    elif judgement.outcome is not Outcome.WORKS:
        good = gpu.default_image or catalogue.releases.default_image
        best = f"driver {gpu.default_driver} with {good}" if gpu.default_driver else good
        yield error(where, f"{run.image} {judgement.outcome}: {judgement.reason}", f"use {best}")
    image = find_image(catalogue, run.image)
    if image is not None and not image.official:
        yield warning(
            place("pools", name, "image"),
            f"{run.image} is a community image, not the official one" + (f": {image.note}" if image.note else ""),
            "a newer card runs the official image"
            if gpu.default_image
            else f"the {gpu.title} itself runs {catalogue.releases.default_image} with driver {gpu.default_driver}",
        )
    old = gpu.compute is not None and gpu.compute_capability < TURING
    verified = catalogue.releases.verified_until
    if image is not None and image.official and old and run.version and numbers(run.version) > numbers(verified):
        yield warning(
            place("pools", name, "image"),
            f"Ollama's support of the {gpu.title} was verified in its source up to {verified}, not in {run.version}",
            f"use ollama/ollama:{verified}, or try it on this pool first",
        )


def _check_driver(catalogue: Catalogue, name: str, pool: Pool, gpu: Gpu, plan: DriverPlan) -> Iterator[Problem]:
    here = place("pools", name, "driver")
    if plan.mode == "gke" and pool.site is None and gpu.compute_capability < TURING:
        yield error(
            here,
            f"Google's own LATEST driver will leave the {gpu.title} behind: R580 is the last branch for it",
            f"write driver: {gpu.default_driver}",
        )
    if plan.mode == "container" and pool.site is None:
        yield error(
            here, "NVIDIA's driver container is for sites; on GKE the node image has an installer", "take driver out"
        )
    if plan.mode == "host" and pool.site is None:
        yield error(
            here, "a GKE node comes without a driver, so there is no host driver", "write a branch such as R580, or gke"
        )
    if plan.mode != "installer" or plan.branch is None:
        return
    branch = catalogue.releases.drivers.get(f"R{plan.branch}")
    if branch is None:
        known = ", ".join(sorted(catalogue.releases.drivers))
        yield warning(
            here, f"the catalogue does not know the driver branch R{plan.branch}: not checked", f"known: {known}"
        )
    elif plan.operating_system == "cos" and not branch.on_cos:
        yield warning(
            here,
            f"Google's installer offers no R{plan.branch} on the Container-Optimized OS of current GKE versions",
            f"use a branch that it offers: {offered}" if (offered := _offered(catalogue, gpu)) else "put it at a site",
        )
    if plan.pinned and pool.driver is not None:
        yield warning(
            here,
            f"{plan.exact} is an exact version: a later node image may not carry it, so node upgrades are held back",
            f"write driver: R{plan.branch} to follow the branch",
        )


def _offered(catalogue: Catalogue, gpu: Gpu) -> str:
    branches = [
        f"R{d.branch}"
        for d in catalogue.releases.drivers.values()
        if d.on_cos and (gpu.last_driver is None or d.branch <= gpu.last_driver)
    ]
    return ", ".join(sorted(branches))
