"""Card x driver x Ollama: what is documented, each row with its source, and every outcome there is."""

from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.catalogue import Catalogue, load
from infra.plan import compatibility
from infra.plan.model import Outcome
from tests.unit.conftest import Plan

W, F, C, V, U = Outcome.WORKS, Outcome.FAILS, Outcome.CPU, Outcome.VULKAN, Outcome.UNKNOWN
MATRIX = "NVIDIA's driver and architecture matrix"
COMPAT = "discover/cuda_compat.go of 2026-08-21"
BEFORE = "ollama/ollama#12770: no floor before 0.9.3"
NO_CU11 = "ollama/ollama#10569, #12770"
CLIFF = "ollama/ollama#16415, #16449, #16533"
FORK = "dogkeeper886/ollama37 README.md"
OFFICIAL, K80_IMAGE = "ollama/ollama:", "dogkeeper886/ollama37:v2.1.0"


class Row(NamedTuple):
    gpu: str
    branch: int
    image: str
    outcome: Outcome
    source: str
    vulkan: bool = False


ROWS = (
    # before 0.9.3 old drivers work
    Row("t4", 515, "0.9.2", W, BEFORE),
    Row("m60", 470, "0.9.2", W, BEFORE),
    Row("p100", 450, "0.6.0", W, BEFORE),
    Row("v100", 450, "0.5.13", W, BEFORE),
    Row("a100-40gb", 470, "0.9.2", W, BEFORE),
    # from 0.9.3 on 531 is the floor
    Row("t4", 515, "0.9.3", C, NO_CU11),
    Row("t4", 515, "0.12.5", C, NO_CU11),
    Row("m60", 525, "0.24.0", C, NO_CU11),
    Row("t4", 515, "0.12.5", C, NO_CU11, vulkan=True),
    Row("l4", 525, "0.10.0", C, NO_CU11),
    # R535 works up to 0.24.0
    Row("t4", 535, "0.24.0", W, CLIFF),
    Row("v100", 535, "0.24.0", W, CLIFF),
    Row("m60", 535, "0.24.0", W, CLIFF),
    Row("p4", 535, "0.24.0", W, CLIFF),
    Row("p100", 535, "0.9.3", W, CLIFF),
    Row("m40", 535, "0.23.0", W, CLIFF),
    Row("a100-40gb", 535, "0.24.0", W, CLIFF),
    # 0.30.0 to 0.30.10 below 550 at 7.0 and above: every request fails
    Row("v100", 535, "0.30.0", F, CLIFF),
    Row("v100", 535, "0.30.10", F, CLIFF),
    Row("t4", 535, "0.30.0", F, CLIFF),
    Row("t4", 535, "0.30.5", F, CLIFF),
    Row("l4", 535, "0.30.10", F, CLIFF),
    Row("a100-40gb", 535, "0.30.3", F, CLIFF),
    Row("a100-80gb", 535, "0.30.3", F, CLIFF, vulkan=True),
    # from 0.30.11 below 550: filtered
    Row("t4", 535, "0.30.11", C, COMPAT),
    Row("v100", 535, "0.32.15", C, "ollama/ollama#17290"),
    Row("l4", 535, "0.32.15", C, COMPAT),
    Row("h100", 535, "0.32.15", V, COMPAT, vulkan=True),
    Row("t4", 535, "0.32.15", V, "ollama/ollama#16908", vulkan=True),
    # from 0.30.0 below 570 under compute capability 7.0: filtered
    Row("m60", 535, "0.30.0", C, COMPAT),
    Row("p100", 550, "0.30.0", C, COMPAT),
    Row("p4", 550, "0.32.15", C, COMPAT),
    Row("m40", 550, "0.32.15", C, COMPAT),
    Row("m60", 550, "0.32.15", V, "ollama/ollama#16415", vulkan=True),
    Row("p100", 535, "0.30.0", V, "ollama/ollama#16908", vulkan=True),
    # the drivers to pin
    Row("m60", 580, "0.32.15", W, COMPAT),
    Row("m40", 580, "0.32.15", W, COMPAT),
    Row("p4", 570, "0.32.15", W, COMPAT),
    Row("p100", 580, "0.30.0", W, COMPAT),
    Row("v100", 550, "0.30.0", W, COMPAT),
    Row("v100", 580, "0.32.15", W, COMPAT),
    Row("t4", 550, "0.32.15", W, COMPAT),
    Row("t4", 580, "0.32.15", W, COMPAT),
    Row("l4", 570, "0.32.15", W, COMPAT),
    Row("a100-40gb", 580, "0.32.15", W, COMPAT),
    Row("h200", 580, "0.32.15", W, COMPAT),
    Row("rtx-pro-6000", 580, "0.32.15", W, MATRIX),
    # drivers that left a card behind, or do not know it yet
    Row("m60", 595, "0.32.15", C, MATRIX),
    Row("p100", 595, "0.9.2", C, MATRIX),
    Row("v100", 595, "0.32.15", C, MATRIX),
    Row("t4", 595, "0.32.15", W, MATRIX),
    Row("l4", 470, "0.9.2", C, MATRIX),
    Row("rtx-pro-6000", 550, "0.32.15", C, MATRIX),
    # the K80
    Row("k80", 470, "0.32.15", C, "docs/gpu.mdx: compute capability 5.0"),
    Row("k80", 470, "0.9.2", C, "docs/gpu.mdx"),
    Row("k80", 470, K80_IMAGE, W, FORK),
    Row("k80", 535, K80_IMAGE, C, MATRIX),
    Row("k80", 580, K80_IMAGE, C, MATRIX),
    Row("rtx-pro-6000", 580, K80_IMAGE, C, FORK),
    # boxes of old cards: one driver for all of them
    Row("m60", 470, K80_IMAGE, W, FORK),
    Row("m40", 470, K80_IMAGE, W, FORK),
    Row("p4", 470, K80_IMAGE, W, FORK),
    Row("p100", 470, K80_IMAGE, W, FORK),
    Row("v100", 470, K80_IMAGE, W, FORK),
    Row("t4", 470, K80_IMAGE, W, FORK),
    Row("a100-40gb", 470, K80_IMAGE, W, FORK),
    Row("l4", 525, K80_IMAGE, C, FORK),
    Row("h100", 525, K80_IMAGE, C, FORK),
    Row("m60", 470, "0.32.15", C, COMPAT),
    Row("t4", 470, "0.24.0", C, NO_CU11),
    Row("a100-40gb", 470, "0.12.5", C, NO_CU11),
    # what hosts of one's own are seen with: distributions carry R535, R550, R570 and R580
    Row("p100", 535, "0.24.0", W, CLIFF),
    Row("p100", 535, "0.32.15", C, COMPAT),
    Row("m40", 535, "0.32.15", C, COMPAT),
    Row("v100", 550, "0.32.15", W, COMPAT),
    Row("v100", 570, "0.32.15", W, COMPAT),
    Row("p4", 580, "0.32.15", W, COMPAT),
    Row("m60", 570, "0.32.15", W, COMPAT),
    Row("m40", 570, "0.30.0", W, COMPAT),
    Row("l4", 550, "0.32.15", W, COMPAT),
    Row("a100-80gb", 550, "0.30.11", W, COMPAT),
    Row("h100", 570, "0.32.15", W, COMPAT),
    Row("h200", 535, "0.30.11", C, COMPAT),
    Row("p4", 595, "0.32.15", C, MATRIX),
    Row("m40", 595, "0.24.0", C, MATRIX),
    Row("a100-40gb", 595, "0.32.15", W, MATRIX),
    # versions to avoid
    Row("m60", 580, "0.11.11", F, "ollama/ollama#12316"),
    Row("v100", 580, "0.11.11", F, "ollama/ollama#12332"),
    Row("t4", 580, "0.11.11", W, "ollama/ollama#12316"),
    Row("m60", 580, "0.11.10", W, "ollama/ollama#12316"),
    # what nobody can judge
    Row("t4", 580, "example/ollama:1.2.3", U, "not in the catalogue"),
    Row("t4", 580, "latest", U, "no version"),
    Row("none", 580, "0.32.15", W, "no card, nothing to go wrong"),
)


def reference(image: str) -> str:
    return image if "/" in image else OFFICIAL + image


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.gpu} R{row.branch} {row.image} vulkan={row.vulkan}")
def test_a_documented_combination_has_its_documented_outcome(catalogue: Catalogue, row: Row) -> None:
    judged = compatibility.judge(
        catalogue, gpu=catalogue.gpus[row.gpu], branch=row.branch, reference=reference(row.image), vulkan=row.vulkan
    )
    assert judged.outcome is row.outcome, judged
    assert judged.reason or row.outcome is W


def test_the_table_is_long_sourced_and_has_every_outcome() -> None:
    assert len({(*row[:3], row.vulkan) for row in ROWS}) == len(ROWS) >= 80
    assert {row.outcome for row in ROWS} == set(Outcome)
    assert all(row.source for row in ROWS)


@given(
    st.sampled_from(sorted(load().gpus)),
    st.one_of(st.none(), st.integers(300, 700)),
    st.sampled_from(("0.5.0", "0.9.3", "0.30.4", "0.31.0", "0.40.0", "latest", "example/x:1", K80_IMAGE)),
    st.booleans(),
)
@settings(max_examples=200, deadline=None)
def test_any_combination_has_an_outcome_and_a_reason_unless_it_works(
    gpu: str, branch: int | None, image: str, vulkan: bool
) -> None:
    catalogue = load()
    judged = compatibility.judge(
        catalogue, gpu=catalogue.gpus[gpu], branch=branch, reference=reference(image), vulkan=vulkan
    )
    assert bool(judged.reason) is (judged.outcome is not W)
    assert judged.outcome is not V or vulkan


@pytest.mark.parametrize("gpu", sorted(load().gpus))
def test_every_card_works_by_its_own_defaults(catalogue: Catalogue, gpu: str) -> None:
    card = catalogue.gpus[gpu]
    branch = int(card.default_driver.removeprefix("R")[:3]) if card.default_driver else None
    image = card.default_image or catalogue.releases.default_image
    assert compatibility.judge(catalogue, gpu=card, branch=branch, reference=image).outcome is W


@pytest.mark.parametrize(
    ("image", "version"),
    [
        ("ollama/ollama:0.32.15", "0.32.15"),
        ("ollama/ollama:v0.32.15", "0.32.15"),
        ("ollama/ollama:0.30.0-rc2", "0.30.0"),
        ("docker.io/ollama/ollama:0.9.2", "0.9.2"),
        ("mirror.example:5000/ollama/ollama:0.24.0", "0.24.0"),
        ("ollama/ollama", None),
        ("ollama/ollama:latest", None),
        ("mirror.example:5000/ollama/ollama", None),
        ("ollama/ollama:0.32.15@sha256:" + "0" * 64, "0.32.15"),
    ],
)
def test_the_version_is_read_from_the_tag(catalogue: Catalogue, image: str, version: str | None) -> None:
    found = compatibility.find_image(catalogue, image)
    assert found is catalogue.releases.images["ollama/ollama"]
    assert compatibility.image_version(found, image) == version


def test_our_servers_turn_vulkan_off_and_name_their_own_settings(plan_of: Plan, good: dict) -> None:
    good["pools"]["t4"]["env"] = {"OLLAMA_DEBUG": "1"}
    pool = plan_of(good).pool("t4")
    assert pool.environment["OLLAMA_VULKAN"] == "0"
    assert pool.environment["OLLAMA_DEBUG"] == "1"


@pytest.mark.parametrize(
    ("driver", "request_", "expected", "system", "pinned"),
    [
        (None, "R580", "580.", "cos", False),
        ("R570", "R570", "570.", "cos", False),
        (570, "R570", "570.", "cos", False),
        ("580.126.09", "580.126.09", "580.126.09", "cos", True),
        ("550.90.12", "550.90.12", "550.90.12", "ubuntu", True),
    ],
)
def test_the_file_chooses_branch_or_exact_driver(
    plan_of: Plan, good: dict, driver: object, request_: str, expected: str, system: str, pinned: bool
) -> None:
    good["pools"]["t4"] |= {"driver": driver} if driver else {}
    plan = plan_of(good)
    found = plan.pool("t4").driver
    assert (found.mode, found.request, found.expected) == ("installer", request_, expected)
    assert (found.operating_system, found.pinned) == (system, pinned)
    assert plan.cluster is not None
    assert (plan.cluster.pinned_drivers_since is not None) is pinned


def test_the_k80_has_its_community_image_its_driver_and_no_flash_attention(plan_of: Plan, good: dict) -> None:
    pool = plan_of(good).pool("k80")
    assert (pool.runtime.image, pool.runtime.official) == (K80_IMAGE, False)
    assert pool.driver.branch == 470
    assert pool.environment["OLLAMA_FLASH_ATTENTION"] == "0"
    assert "/v1/responses" in pool.runtime.missing_routes
