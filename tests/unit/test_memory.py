"""GPU memory: the formula against measurements, and what must hold of it for every shape."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench import memory_error
from infra.catalogue import Catalogue, load
from infra.catalogue.types import Shape, SlidingWindow
from infra.plan import memory, placement
from infra.plan.model import Need, Resident, Verdict
from infra.plan.placement import ServerSettings
from tests.unit.conftest import Plan

QUICK = settings(max_examples=100, deadline=None)
FACTS = load().gke.memory
GIB = 2**30

shapes = st.builds(
    Shape,
    layers=st.integers(1, 100),
    heads=st.integers(1, 128),
    kv_heads=st.integers(1, 32),
    head_dim=st.sampled_from((64, 96, 128, 256)),
    embedding=st.integers(64, 20_000),
    vocabulary=st.integers(1000, 300_000),
)
needs = st.builds(
    Need,
    weights=st.integers(0, 80 * GIB),
    kv=st.integers(0, 40 * GIB),
    graph=st.integers(0, 4 * GIB),
    overhead=st.just(457 * 2**20),
)
contexts, parallels = st.integers(1, 300_000), st.integers(1, 64)


def kv(shape: Shape, context: int, parallel: int = 1, kind: str = "f16") -> int:
    return memory.kv_cache(shape, context=context, parallel=parallel, kv_cache=kind, batch=512)


@pytest.mark.parametrize("row", memory_error.rows(), ids=lambda row: f"{row.title} {row.of} x{row.parallel}")
def test_the_formula_is_within_its_stated_error_of_a_measurement(row: memory_error.Row) -> None:
    assert abs(row.error) <= row.bound


def test_the_table_of_measurements_says_what_was_left_out_and_why(capsys: pytest.CaptureFixture[str]) -> None:
    memory_error.main()
    said = capsys.readouterr().out
    assert all(row.title in said for row in memory_error.rows())
    assert all(f"  {title}: {reason}\n" in said for title, reason in memory_error.NOT_COMPARED)


@given(shapes, contexts, parallels, st.integers(2, 5))
@QUICK
def test_a_full_cache_grows_linearly_with_context_and_with_parallel(
    shape: Shape, context: int, parallel: int, times: int
) -> None:
    assert kv(shape, context * times, parallel) == times * kv(shape, context, parallel)
    assert kv(shape, context, parallel * times) == times * kv(shape, context, parallel)


@given(shapes, contexts, parallels, st.data())
@QUICK
def test_a_sliding_cache_is_never_larger_than_a_full_one(
    shape: Shape, context: int, parallel: int, data: st.DataObject
) -> None:
    window = SlidingWindow(layers=data.draw(st.integers(1, shape.layers)), window=data.draw(st.integers(1, 8192)))
    sliding = shape.model_copy(update={"sliding": window})
    assert 0 < kv(sliding, context, parallel) <= kv(shape, context, parallel)


@given(shapes, contexts, parallels)
@QUICK
def test_quantised_caches_take_a_half_and_a_quarter(shape: Shape, context: int, parallel: int) -> None:
    full = kv(shape, context, parallel)
    assert kv(shape, context, parallel, "q8_0") == full // 2
    assert kv(shape, context, parallel, "q4_0") == full // 4


@given(shapes, contexts, parallels)
@QUICK
def test_flash_attention_never_makes_the_graph_larger(shape: Shape, context: int, parallel: int) -> None:
    def graph(*, flash: bool) -> int:
        return memory.graph(shape, context=context, parallel=parallel, flash_attention=flash, batch=512)

    assert graph(flash=True) <= graph(flash=False)


@given(st.integers(1, 8192), parallels)
@QUICK
def test_an_embedding_model_has_no_cache_and_does_not_multiply(context: int, parallel: int) -> None:
    catalogue = load()
    known = placement.Known(name="bge-m3", blob="bge-m3:latest", facts=catalogue.models["bge-m3"], vram=0, disk=0)
    settings_of_many = ServerSettings(parallel=parallel, kv_type="f16", flash_attention=True)
    resident = placement.resident(catalogue, known, context, settings_of_many)
    assert resident.need.kv == 0
    assert resident.parallel == 1


@pytest.mark.parametrize(
    ("model", "kib"),
    [
        ("llama3.2:1b", 32), ("llama3.2:3b", 112), ("llama3.1:8b", 128), ("llama3.3:70b", 320), ("qwen2:1.5b", 28),
        ("qwen2.5:0.5b", 12), ("qwen2.5:7b", 56), ("qwen2.5:14b", 192), ("qwen2.5:32b", 256), ("qwen2.5:72b", 320),
        ("qwen3:8b", 144), ("qwen3:32b", 256), ("qwen3:30b", 96), ("mistral:7b", 128), ("phi3:3.8b", 384),
        ("phi4", 200), ("deepseek-r1:14b", 192), ("moondream:1.8b", 192), ("codellama:13b", 800), ("tinyllama", 22),
        ("granite3.3:8b", 160), ("smollm2:135m", 22.5), ("gemma2:27b", 368), ("llava:13b", 800), ("starcoder2:15b", 80),
        ("deepseek-r1:8b", 144),
    ],
)  # fmt: skip
def test_a_token_takes_the_known_room_in_the_cache(catalogue: Catalogue, model: str, kib: float) -> None:
    assert kv(catalogue.models[model].shape, 1) == kib * 1024


@given(st.lists(needs, max_size=8), st.integers(1, 8), st.integers(1, 100 * GIB))
@QUICK
def test_packing_loses_no_bytes(loaded: list[Need], devices: int, per_device: int) -> None:
    used = memory.pack(loaded, devices=devices, per_device=per_device)
    assert len(used) == devices
    assert sum(used) >= sum(one.device for one in loaded)


@given(st.lists(needs, max_size=8), st.integers(1, 100 * GIB))
@QUICK
def test_on_one_device_packing_is_the_sum(loaded: list[Need], per_device: int) -> None:
    assert memory.pack(loaded, devices=1, per_device=per_device) == [sum(one.device for one in loaded)]


@given(
    st.sampled_from(("llama3.1:8b", "gemma3:12b", "qwen3:32b", "tinyllama")),
    st.lists(needs, max_size=3),
    st.integers(1, 3),
    st.integers(6 * GIB, 80 * GIB),
    st.integers(1, 4),
    st.booleans(),
    st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_the_largest_context_fits_and_no_larger_one_does(
    name: str, beside: list[Need], devices: int, per_device: int, parallel: int, together: bool, flash: bool
) -> None:
    model = load().models[name]
    others = [Resident(model=str(index), context=1, parallel=1, need=one, disk=0) for index, one in enumerate(beside)]

    def resident(context: int) -> Resident:
        need = memory.need(model, FACTS, context=context, parallel=parallel, flash_attention=flash)
        return Resident(model=name, context=context, parallel=parallel, need=need, disk=0)

    def fits(context: int) -> bool:
        judged = memory.judge(
            [*others, resident(context)], FACTS, per_device=per_device, devices=devices, together=together
        )
        return judged.verdict is Verdict.FITS

    found = memory.largest_context(
        model,
        others,
        FACTS,
        per_device=per_device,
        devices=devices,
        together=together,
        resident=resident(8192),
        kv_type="f16",
        flash_attention=flash,
    )
    every = [steps * 1024 for steps in range(1, model.max_context // 1024 + 1)]
    assert found == max((context for context in every if fits(context)), default=0)


def test_taking_turns_counts_the_largest_and_being_together_the_sum() -> None:
    need = Need(weights=GIB, kv=0, graph=0, overhead=0)
    residents = [
        Resident(model=str(index), context=1, parallel=1, need=replace(need, kv=index * GIB), disk=0)
        for index in range(3)
    ]
    together = memory.judge(residents, FACTS, per_device=10 * GIB, devices=1, together=True)
    in_turn = memory.judge(residents, FACTS, per_device=10 * GIB, devices=1, together=False)
    assert (together.used, in_turn.used) == (6 * GIB, 3 * GIB)


@pytest.mark.parametrize(
    ("percent", "verdict"),
    [(85, Verdict.FITS), (86, Verdict.TIGHT), (100, Verdict.TIGHT), (101, Verdict.TOO_LARGE)],
)
def test_a_pool_fits_up_to_85_percent_and_is_refused_above_all(percent: int, verdict: Verdict) -> None:
    need = Need(weights=percent * 2**20, kv=0, graph=0, overhead=0)
    resident = Resident(model="m", context=1, parallel=1, need=need, disk=0)
    assert memory.judge([resident], FACTS, per_device=100 * 2**20, devices=1, together=True).verdict is verdict


def test_a_blob_counts_once_however_many_names_derive_from_it(plan_of: Plan, good: dict) -> None:
    before = plan_of(good).pool("k80")
    for number in range(5):
        good["models"][f"bot-{number}"] = {"pools": ["k80"], "modelfile": f"FROM llama3.2:3b\nSYSTEM {number}\n"}
    after = plan_of(good).pool("k80")
    assert (after.memory.used, after.model_storage) == (before.memory.used, before.model_storage)
    assert sum(one.need.device for one in after.residents) == after.memory.used


def test_the_bare_name_and_its_tag_are_one_blob(plan_of: Plan, good: dict) -> None:
    good["models"]["llama3.2"] = ["k80"]
    residents = {one.model: one.shares for one in plan_of(good).pool("k80").residents}
    assert residents == {"llama3.2": "llama3.2:3b", "llama3.2:3b": None, "support-bot": "llama3.2:3b"}


@pytest.mark.parametrize(
    ("pool", "used", "total"), [("t4", 11.4, 14.6), ("a100", 29.6, 39.4), ("m60", 4.4, 7.4), ("k80", 3.6, 11.2)]
)
def test_the_dev_stack_has_these_memory_figures(
    plan_of: Plan, good: dict, pool: str, used: float, total: float
) -> None:
    judged = plan_of(good).pool(pool).memory
    assert round(judged.used / GIB, 1) == pytest.approx(used, abs=0.06)
    assert round(judged.total / GIB, 1) == total
