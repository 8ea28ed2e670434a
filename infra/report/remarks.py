"""A model in words: what it needs, and what its users will notice. Plain text, as in infra.report.figures."""

from collections.abc import Mapping

from infra.plan.model import FleetPlan, ModelPlan, PoolPlan, Resident, Verdict
from infra.report.figures import gib, ollama_size, span

STRAINED = {Verdict.TIGHT: "tight on", Verdict.TOO_LARGE: "more than fits on"}


def resident(plan: FleetPlan, model: ModelPlan) -> Resident | None:
    """The model as it stands on the first pool of its route."""
    first = _first(plan, model)
    return first.resident(model.name) if first else None


def needs(model: ModelPlan) -> str:
    """What the device shows for a model: `6.3 GiB`; `+0` where it shares what is loaded already."""
    return "+0" if model.shares else f"{gib(model.need)} GiB"


def size(plan: FleetPlan, model: ModelPlan) -> str:
    """What `ollama ps` shows for a model, on the first pool of its route."""
    one = resident(plan, model)
    return "+0" if model.shares else ollama_size(one.need.size) if one else ""


def remarks(plan: FleetPlan, model: ModelPlan) -> tuple[str, ...]:
    """What a user of the model will notice, the weightiest first."""
    first = _first(plan, model)
    found = []
    if first is not None and first.sleeps:
        found.append(_instead(plan, model, first) or asleep(plan, first))
    if model.shares:
        found.append(f"shares {model.shares}")
    if first is not None and first.takes_turns:
        found.append(f"takes turns on {first.name}")
    pools = [pool for name in model.route if (pool := _pool(plan, name)) is not None]
    found += [f"{STRAINED[pool.memory.verdict]} {pool.name}" for pool in pools if pool.memory.verdict in STRAINED]
    if not model.known:
        found.append("as the file says")
    return tuple(found)


def asleep(plan: FleetPlan, pool: PoolPlan) -> str:
    """How long a request waits for a sleeping pool, and what such a wake costs."""
    sleep = pool.scaling.sleep
    most = max(plan.wake_minutes[1], sleep.starts_within / 60 if sleep else 0)
    wake = span(f"{plan.wake_minutes[0]:g}", f"{most:.0f}", "-")
    cost = sleep.wake_cost if sleep else None
    return f"asleep: first answer after {wake} min" + (f", ${cost:,.2f} a wake" if cost else "")


def _instead(plan: FleetPlan, model: ModelPlan, first: PoolPlan) -> str:
    """Which pool answers while the first one wakes; empty where requests wait."""
    others = (_pool(plan, name) for name in model.route[1:])
    up = next((pool.name for pool in others if pool is not None and not pool.sleeps), None)
    at_once = first.scaling.sleep is not None and first.scaling.sleep.wake == "fallback"
    return f"{up} answers while {first.name} wakes" if up and at_once else ""


def _pool(plan: FleetPlan, name: str) -> PoolPlan | None:
    try:
        return plan.pool(name)
    except KeyError:
        return None


def _first(plan: FleetPlan, model: ModelPlan) -> PoolPlan | None:
    return _pool(plan, model.route[0]) if model.route else None


def alias(targets: Mapping[str, int]) -> str:
    """What an alias stands for, a split in per cent, the largest share first."""
    total = sum(targets.values())
    if len(targets) < 2:
        return f"stands for {next(iter(targets), 'nothing')}"
    parts = sorted(targets.items(), key=lambda item: (-item[1], item[0]))
    return "splits " + ", ".join(f"{100 * weight / total:.3g} % {name}" for name, weight in parts)
