"""GPU memory of models: weights + KV cache + graph + what the device adds. Constants in catalogue/gke.toml [memory].

The formula and its measured error are in docs/memory.md; tests/unit/test_memory.py holds it against measurements.
"""

from collections.abc import Sequence
from dataclasses import replace

from infra.catalogue.types import MemoryFacts, Model, Shape
from infra.plan.model import GpuMemory, Need, Resident, Verdict

MIB = 2**20
BYTES_PER_ELEMENT = {"f16": 2.0, "q8_0": 1.0, "q4_0": 0.5}


def kv_cache(shape: Shape, *, context: int, parallel: int, kv_cache: str, batch: int) -> int:
    """Bytes of K and V. A sliding layer keeps its window for each parallel request and one batch, never more than
    a full layer would."""
    per_layer_token = 2 * shape.kv_heads * shape.head_dim * BYTES_PER_ELEMENT[kv_cache]
    tokens = context * parallel
    sliding = shape.sliding.layers if shape.sliding else 0
    window = min(tokens, shape.sliding.window * parallel + batch) if shape.sliding else 0
    return int(per_layer_token * ((shape.layers - sliding) * tokens + sliding * window))


def graph(shape: Shape, *, context: int, parallel: int, flash_attention: bool, batch: int) -> int:
    """Bytes of the compute graph. Without flash attention the attention scores grow with the context."""
    output = 4 * batch * (shape.embedding + shape.vocabulary)
    if flash_attention:
        return output
    attention = 4 * batch * (1 + 4 * shape.embedding + context * parallel * (1 + shape.heads))
    return max(attention, output)


def need(
    model: Model, facts: MemoryFacts, *, context: int, parallel: int, kv_type: str = "f16", flash_attention: bool = True
) -> Need:
    """What one loaded model takes on one device. An encoder has no KV cache."""
    embedding = model.kind == "embedding"
    return Need(
        weights=int(model.size_gb * 10**9),
        kv=0
        if embedding
        else kv_cache(model.shape, context=context, parallel=parallel, kv_cache=kv_type, batch=facts.batch),
        graph=graph(
            model.shape,
            context=min(context, model.max_context),
            parallel=parallel,
            flash_attention=flash_attention or embedding,
            batch=facts.batch,
        ),
        overhead=facts.overhead_mib_per_gpu * MIB,
    )


def pack(needs: Sequence[Need], *, devices: int, per_device: int) -> list[int]:
    """Bytes on each device when models are loaded from the largest to the smallest, each on the emptiest device.

    A model that no single device has room for is split over all of them, as Ollama does it: its graph and overhead
    then stand on each.
    """
    used = [0] * devices
    for one in sorted(needs, key=lambda need: need.device, reverse=True):
        emptiest = used.index(min(used))
        if devices > 1 and used[emptiest] + one.device > per_device:
            each = -(-(one.weights + one.kv) // devices) + one.graph + one.overhead
            used = [taken + each for taken in used]
        else:
            used[emptiest] += one.device
    return used


def judge(
    residents: Sequence[Resident], facts: MemoryFacts, *, per_device: int, devices: int, together: bool
) -> GpuMemory:
    """How the residents of one replica stand against its devices.

    With `together` all are loaded at once; otherwise they take turns, and the largest one counts.
    """
    needs = [resident.need for resident in residents if resident.shares is None]
    if together:
        used = pack(needs, devices=devices, per_device=per_device)
    else:
        turns = (pack([one], devices=devices, per_device=per_device) for one in needs)
        used = max(turns, key=max, default=[0] * devices)
    busiest = max(used)
    if per_device == 0:
        verdict = Verdict.UNKNOWN
    elif busiest > per_device:
        verdict = Verdict.TOO_LARGE
    elif busiest > facts.fits_up_to * per_device:
        verdict = Verdict.TIGHT
    else:
        verdict = Verdict.FITS
    return GpuMemory(devices=devices, per_device=per_device, used=sum(used), verdict=verdict, busiest=busiest)


def largest_context(
    model: Model,
    others: Sequence[Resident],
    facts: MemoryFacts,
    *,
    per_device: int,
    devices: int,
    together: bool,
    resident: Resident,
    kv_type: str,
    flash_attention: bool,
) -> int:
    """The largest context, in steps of 1,024, at which `model` fits beside `others` without being tight; 0: none."""

    def fits(context: int) -> bool:
        candidate = replace(
            resident,
            need=need(
                model,
                facts,
                context=context,
                parallel=resident.parallel,
                kv_type=kv_type,
                flash_attention=flash_attention,
            ),
        )
        memory = judge([*others, candidate], facts, per_device=per_device, devices=devices, together=together)
        return memory.verdict is Verdict.FITS

    low, high = 0, max(1, model.max_context // 1024)
    if devices > 1:
        # a larger context may be the one that is split over the devices and fits, so bisection could miss it
        return next((steps * 1024 for steps in range(high, 0, -1) if fits(steps * 1024)), 0)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(middle * 1024) else (low, middle - 1)
    return low * 1024
