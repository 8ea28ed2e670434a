"""Orders the steps from a file to its plan. It holds no rule of its own."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

from infra.catalogue import Catalogue, load
from infra.config import FleetConfig, parse, tidy
from infra.plan import (
    clients,
    cluster,
    cost,
    door,
    future,
    modelfile,
    models,
    monitoring,
    naming,
    nodes,
    placement,
    pools,
    prepared,
    proposal,
    quota,
    router,
    scaling,
    shared,
    site_plans,
    sites,
    sources,
    volume,
)
from infra.plan.draft import Draft
from infra.plan.inputs import Inputs
from infra.plan.lock import Lock, apply
from infra.plan.model import FleetPlan, PoolPlan, SitePlacement
from infra.problem import Problem

Decision = TypeVar("Decision")


def decide(
    fleet: object,
    *,
    stack: str,
    project: str | None,
    catalogue: Catalogue | None = None,
    lock: Lock | None = None,
) -> FleetPlan:
    """The plan of a fleet object as YAML or Pulumi hands it over, and of what was locked for it.

    It has every problem of reading it. Never raises: of a file that cannot be understood the plan is empty but for
    its problems.
    """
    parsed = parse(fleet)
    config = parsed.config or FleetConfig()
    return build(config, stack=stack, project=project, problems=parsed.problems, catalogue=catalogue, lock=lock)


def build(
    config: FleetConfig,
    *,
    stack: str,
    project: str | None,
    problems: tuple[Problem, ...] = (),
    catalogue: Catalogue | None = None,
    lock: Lock | None = None,
) -> FleetPlan:
    """The plan of a file and of what was locked for it.

    `problems` are those of reading it; the plan carries them with its own, errors first. Never raises for anything that
    a file can say: what cannot be decided is a problem, and the rest is decided.
    """
    catalogue, config = apply(catalogue or load(), config, lock or Lock())
    found = _Found(problems)
    derived = found.of(modelfile.derive(config))
    known = found.of(placement.know(catalogue, config, derived))
    contexts = found.of(placement.contexts(catalogue, config, known))
    inputs = Inputs(catalogue=catalogue, config=config, known=known, contexts=contexts, derived=derived)
    placed = found.of(_placed(inputs))
    namespace = cluster.namespace(config)
    planned = found.of(_planned(placed, namespace))
    found.add(prepared.check(planned), naming.check(config), proposal.check(placed.inputs, placed.drafts))
    found.add(sources.check(config, derived), volume.check(config, planned), door.check(config), future.check(config))

    cluster_plan = found.of(cluster.build(catalogue, config, stack=stack, project=project, pools=planned))
    model_plans = found.of(models.build(placed.inputs, planned))
    alias_plans = models.aliases(config)
    router_plan = router.build(catalogue, config, known, model_plans, alias_plans, planned)
    at_sites = found.of(
        site_plans.build(
            site_plans.Decided(
                catalogue=catalogue,
                config=config,
                known=known,
                models=model_plans,
                aliases=alias_plans,
                pools=planned,
                router=router_plan,
                namespace=namespace,
            )
        )
    )
    bill = found.of(cost.build(catalogue, config, cluster_plan, planned))
    found.add(cluster.check(config, cluster_plan), clients.check(config, cluster_plan))
    found.add(scaling.check(catalogue, config, planned, model_plans))
    found.add(router.check(config, router_plan), router.missing(model_plans, planned))
    checked, not_checked = future.scope(config, planned)
    return FleetPlan(
        stack=stack,
        cluster=cluster_plan,
        pools=tuple(planned),
        models=model_plans,
        aliases=alias_plans,
        namespace=namespace,
        router=router_plan,
        cost=bill,
        wake_minutes=(catalogue.gke.wake.minimum_minutes, catalogue.gke.wake.maximum_minutes),
        keda=scaling.keda(catalogue, config, planned),
        certificates=config.proxy.ca or "" if config.proxy else "",
        monitoring=monitoring.build(catalogue, config, planned, bill),
        chat=clients.chat(catalogue, config, model_plans, namespace),
        load_test=clients.load_test(catalogue, config),
        problems=tidy(found.problems),
        sites=at_sites,
        quotas=quota.build(catalogue, cluster_plan, planned),
        checked=checked,
        not_checked=not_checked,
    )


class _Found:
    """The problems of all steps so far."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = list(problems)

    def of(self, step: tuple[Decision, Iterable[Problem]]) -> Decision:
        """What a step decided, without its problems."""
        decision, problems = step
        self.problems += problems
        return decision

    def add(self, *checks: Iterable[Problem]) -> None:
        """Those of steps that only look."""
        for check in checks:
            self.problems += check


@dataclass(frozen=True, kw_only=True)
class _Placed:
    """The drafts, the machines of those at sites, and what both were decided from."""

    inputs: Inputs
    drafts: Mapping[str, Draft]
    at_sites: Mapping[str, tuple[SitePlacement, ...]]


def _placed(inputs: Inputs) -> tuple[_Placed, list[Problem]]:
    """Where pools share a machine and its driver, all over again with what they agree on."""
    placed, problems = _distributed(inputs)
    settled = shared.settle(inputs.catalogue, placed.drafts, placed.at_sites)
    if not settled:
        return placed, problems
    placed, problems = _distributed(replace(inputs, shared=settled))
    return placed, [*problems, *shared.said(placed.drafts, settled)]


def _distributed(inputs: Inputs) -> tuple[_Placed, list[Problem]]:
    routed = placement.routed(inputs.config, inputs.known)
    drafts: dict[str, Draft] = {}
    problems: list[Problem] = []
    for name in sorted(inputs.config.pools):
        draft, found = pools.draft(inputs, name, routed[name])
        problems += found
        if draft is not None:
            drafts[name] = draft
    at_sites = {name: draft for name, draft in drafts.items() if draft.pool.site}
    placements, found = sites.distribute(inputs.catalogue, inputs.config, at_sites)
    return _Placed(inputs=inputs, drafts=drafts, at_sites=placements), [*problems, *found]


def _planned(placed: _Placed, namespace: str) -> tuple[list[PoolPlan], list[Problem]]:
    """The drafts with their machines."""
    catalogue, config = placed.inputs.catalogue, placed.inputs.config
    planned: list[PoolPlan] = []
    problems: list[Problem] = []
    for name, draft in placed.drafts.items():
        machines = None
        if draft.pool.site is None and config.gke is not None:
            machines, found = nodes.nodes(catalogue, config, name, draft.pool, draft.gpu, draft.load)
            problems += found
        planned.append(pools.finish(placed.inputs, draft, machines, placed.at_sites.get(name, ()), namespace))
    return planned, problems
