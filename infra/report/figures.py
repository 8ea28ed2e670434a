"""What the plan's figures are called: units, money, ranges, verdicts. Said once, for terminal, Markdown and JSON.

Every function returns plain text for people, with no markup and no escapes of its own. Text that came from the file is
passed on as it stands: `visible` and the format's own escaping are the caller's.
"""

from infra.plan.capacity import GIB
from infra.plan.model import FleetPlan, Money
from infra.problem import Problem, Severity


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


def storage(plan: FleetPlan) -> str:
    """What losing a pod downloads again, and what a volume keeps; empty where neither is decided here."""
    own = [pool for pool in plan.pools if pool.site is None and pool.model_storage]
    lost = [f"{pool.name} {ollama_size(pool.model_storage)}" for pool in own if pool.storage == "ephemeral"]
    kept = [f"{pool.name} on {pool.volume_gb} GB" for pool in own if pool.volume_gb]
    parts = [f"a new pod downloads {', '.join(lost)}"] if lost else []
    return "; ".join([*parts, *([f"a volume keeps {', '.join(kept)}"] if kept else [])])


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


def scope(plan: FleetPlan) -> tuple[tuple[str, str], ...]:
    """Quotas, what the plan checked, did not check, and left out of the bill; nothing of it without pools."""
    lines = [("quota", quotas(plan))] if plan.quotas else []
    lines += [("checked", plan.checked), ("not checked", plan.not_checked)] if plan.pools else []
    if plan.cost is not None:
        lines.append(("not counted", plan.cost.not_counted))
    return tuple((title, ", ".join(items)) for title, items in lines if items)
