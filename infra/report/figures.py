"""What the plan's figures are called: units, money, ranges, verdicts. Said once, for terminal, Markdown and JSON.

Every function returns plain text for people, with no markup and no escapes of its own. Text that came from the file is
passed on as it stands: `visible` and the format's own escaping are the caller's.
"""

import re

from infra.plan.capacity import GIB
from infra.plan.model import CostPlan, FleetPlan, Money, PoolPlan
from infra.problem import Problem, Severity

MINUTE = 60
_POOL = re.compile(r"fleet\.pools\.([a-z0-9-]+)")


def gib(size: int) -> str:
    """Bytes in GiB with one decimal, without the unit."""
    return f"{size / GIB:.1f}"


def ollama_size(size: int) -> str:
    """Bytes as Ollama prints them (SIZE in `ollama ps`): decimal units, cut and not rounded from 10 on.

    https://github.com/ollama/ollama/blob/main/format/bytes.go
    """
    for factor, unit in ((10**12, "TB"), (10**9, "GB"), (10**6, "MB"), (10**3, "KB")):
        if size >= factor:
            value = size / factor
            return f"{int(value)} {unit}" if value >= 10 or value == int(value) else f"{value:.1f} {unit}"
    return f"{size} B"


def span(least: str, most: str, joint: str = "..") -> str:
    """A range, or the one value where both ends read the same."""
    return least if least == most else f"{least}{joint}{most}"


def monthly(plan: FleetPlan, hourly: Money, joint: str = "..") -> str:
    """USD per month, whole, at minimum and maximum: `132..2,556`."""
    least, most = (plan.cost.monthly(end) if plan.cost else 0 for end in (hourly.minimum, hourly.maximum))
    return span(f"{least:,.0f}", f"{most:,.0f}", joint)


def per_hour(hourly: Money, joint: str = "..") -> str:
    """USD per hour at minimum and maximum: `0.18..3.50`."""
    return span(f"{hourly.minimum:,.2f}", f"{hourly.maximum:,.2f}", joint)


def an_hour(plan: FleetPlan) -> str:
    """What the figures per hour are of: with schedules no hour costs the lower one."""
    return "an hour" + (", the lower on average" if any(pool.scaling.kept for pool in plan.pools) else "")


def prices(plan: FleetPlan) -> str:
    """Where and when the prices were taken; empty without a bill."""
    if plan.cost is None:
        return ""
    own = plan.cost.region == plan.cost.priced_in
    other = "" if own else f" (the catalogue has none of {plan.cost.region})"
    return f"prices {plan.cost.priced_in}{other}, {plan.cost.date.isoformat()}"


def cluster(plan: FleetPlan) -> str:
    """The cluster in a line; empty without one."""
    if (one := plan.cluster) is None:
        return ""
    kind = "existing, only pools are added" if one.existing else "new"
    return (
        f"{one.name} ({kind}) in {one.location}, project {one.project}, router exposed: {plan.router.settings.expose}"
    )


def door(plan: FleetPlan) -> str:
    """Where a fleet without a cluster is asked, and what sets that up; empty with one."""
    if plan.cluster is not None or (where := plan.router.settings.site) is None:
        return ""
    site = next((one for one in plan.sites if one.name == where), None)
    if site is None or not (site.machines or site.cluster):
        return ""
    if site.machines:
        machine = f" --node {site.machines[0].name}" if len(site.machines) > 1 else ""
        return f"{site.address} on {site.machines[0].name}, by `fleet compose --site {where}{machine}`"
    return f"at site {where}, by `fleet manifests --site {where}`"


def gpus(plan: FleetPlan) -> str:
    """Whose GPUs are read, and why the others' are not; empty where the file does not ask for it."""
    exporter = plan.monitoring.gpus if plan.monitoring else None
    if exporter is None:
        return ""
    why: dict[str, list[str]] = {}
    for pool, reason in exporter.left_out.items():
        why.setdefault(reason, []).append(pool)
    read = [f"{' '.join(exporter.pools)}: by a privileged pod on each node"] if exporter.pools else []
    return "; ".join([*read, *(f"not of {' '.join(pools)}: {reason}" for reason, pools in why.items())])


def storage(plan: FleetPlan) -> str:
    """What losing a pod downloads again, and what a volume keeps; empty where neither is decided here."""
    own = [pool for pool in plan.pools if pool.site is None and pool.model_storage]
    lost = [f"{pool.name} {ollama_size(pool.model_storage)}" for pool in own if pool.storage == "ephemeral"]
    kept = [f"{pool.name} on {pool.volume_request}" for pool in own if pool.volume]
    parts = [f"a new pod downloads {', '.join(lost)}"] if lost else []
    return "; ".join([*parts, *([f"a volume keeps {', '.join(kept)}"] if kept else [])])


def scaling(plan: FleetPlan) -> str:
    """What each pool's replicas follow; empty where none changes."""
    words: dict[str, list[str]] = {}
    for pool in plan.pools:
        if pool.replicas.scales and pool.scaling.by != "fixed":
            words.setdefault(_followed(pool), []).append(pool.name)
    return "; ".join(f"{' '.join(names)}: {text}" for text, names in words.items())


def _followed(pool: PoolPlan) -> str:
    scaling = pool.scaling
    load = {
        "inFlight": f"a replica for {scaling.target} request{'s' * (scaling.target != 1)} in flight",
        "utilization": f"CPU and memory at {scaling.target} %",
        "fixed": "",
    }[scaling.by]
    windows = "".join(
        f", {window.replicas} from {window.start!r} to {window.end!r} {window.timezone}" for window in scaling.windows
    )
    up, down = duration(scaling.up_after), duration(scaling.down_after)
    every = "a minute" if scaling.up_every == MINUTE else f"every {duration(scaling.up_every)}"
    return f"{load}, one more {every} after {up}, fewer after {down}{windows}"


def scheduled(plan: FleetPlan) -> str:
    """What schedules keep up, for how long and for how much; empty where none does."""
    return "; ".join(f"{pool.name} {kept(pool)}" for pool in plan.pools if pool.scaling.kept)


def kept(pool: PoolPlan) -> str:
    """`1 replica for 217 hours of a month, at least $120`; `nothing` without a schedule."""
    levels = pool.scaling.kept
    parts = [f"{one.replicas} replica{'s' * (one.replicas != 1)} for {one.hours:.4g}" for one in levels]
    money = [one.monthly for one in levels if one.monthly is not None]
    costs = f", at least ${sum(money):,.0f}" if len(money) == len(levels) else ""
    return f"{', '.join(parts)} hours of a month{costs}" if levels else "nothing"


def sleeping(plan: FleetPlan) -> str:
    """What each pool saves asleep, what a wake costs, how long a request waits; empty where none sleeps."""
    parts = []
    for pool in plan.pools:
        if (sleep := pool.scaling.sleep) is None:
            continue
        money = ""
        if sleep.saved_hourly is not None and sleep.wake_cost is not None and plan.cost is not None:
            money = f"saves ${sleep.saved_hourly * sleep.hours:,.0f} a month, ${sleep.wake_cost:,.2f} a wake, "
        waits = (
            "the next pool answers meanwhile"
            if sleep.wake == "fallback"
            else f"waits {duration(sleep.hold_for)} at most"
        )
        parts.append(
            f"{pool.name} {money}pays in gaps above {sleep.billed_minutes:.0f} min, "
            f"wakes in about {duration(sleep.starts_within)}, {waits}"
        )
    return "; ".join(parts)


def duration(seconds: int) -> str:
    """`30 s`, `10 min`, `1.5 h`."""
    if seconds < 120:
        return f"{seconds} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.3g} h"


def base(plan: FleetPlan, joint: str = "..") -> str:
    """What stands without any pool, item by item with USD per month; empty where nothing does."""
    lines = [line for line in plan.cost.lines if line.pool is None] if plan.cost else []
    return ", ".join(f"{line.title} {monthly(plan, line.hourly, joint)}" for line in lines)


def of(plan: FleetPlan, severity: Severity) -> tuple[Problem, ...]:
    """The plan's problems of one severity, in its order."""
    return tuple(problem for problem in plan.problems if problem.severity is severity)


def verdict(plan: FleetPlan) -> str:
    """`0 errors, 1 warning`."""
    counts = ((len(of(plan, severity)), severity) for severity in Severity)
    return ", ".join(f"{count} {severity}{'s' * (count != 1)}" for count, severity in counts)


def quotas(plan: FleetPlan) -> tuple[str, ...]:
    """What Google has to grant, by its own names: `NVIDIA_T4_GPUS 2 in us-central1`."""
    return tuple(f"{quota.name} {quota.needed} in {quota.where}" for quota in plan.quotas)


def facts(plan: FleetPlan) -> tuple[tuple[str, str], ...]:
    """What stands below the tables, each text with its title; it is empty where there is nothing to say."""
    return (
        ("refused", refused(plan)),
        ("storage", storage(plan)),
        ("scaling", scaling(plan)),
        ("schedule", scheduled(plan)),
        ("asleep", sleeping(plan)),
        ("cluster", cluster(plan)),
        ("door", door(plan)),
        ("GPU figures", gpus(plan)),
        *scope(plan),
    )


def refused(plan: FleetPlan) -> str:
    """Pools with errors that the plan is without: its routes and its money would be others with them."""
    errors = (one.place for one in plan.problems if one.severity is Severity.ERROR)
    named = {found[1] for place in errors if (found := _POOL.match(place))}
    missing = sorted(named - {pool.name for pool in plan.pools})
    return f"{', '.join(missing)}: in no route and no sum above, see the errors" if missing else ""


def scope(plan: FleetPlan) -> tuple[tuple[str, str], ...]:
    """Quotas, what the plan checked, did not check, and left out of the bill; nothing of it without pools."""
    lines = [("quota", quotas(plan))] if plan.quotas else []
    lines += [("checked", plan.checked), ("not checked", plan.not_checked)] if plan.pools else []
    if plan.cost is not None:
        lines.append(("not counted", plan.cost.not_counted))
        lines.append(("budget", _budget(plan.cost)))
    return tuple((title, ", ".join(items)) for title, items in lines if items)


def _budget(cost: CostPlan) -> tuple[str, ...]:
    if cost.budget is None:
        return ()
    least, most = cost.monthly(cost.total.minimum), cost.monthly(cost.total.maximum)
    kept = "kept" if most <= cost.budget else "kept at the minimum only" if least <= cost.budget else "not kept"
    return (f"{kept}: {span(f'{least:,.0f}', f'{most:,.0f}')} of {cost.budget:,.0f} USD a month",)
