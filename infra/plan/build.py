"""Orders the steps from a file to its plan. It holds no rule of its own."""

from collections.abc import Mapping
from dataclasses import replace

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
from infra.plan.lock import Lock, apply
from infra.plan.model import FleetPlan, SitePlacement
from infra.problem import Problem


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
    found: list[Problem] = list(problems)

    derived, more = modelfile.derive(config)
    found += more
    known, more = placement.know(catalogue, config, derived)
    found += more
    contexts, more = placement.contexts(catalogue, config, known)
    found += more
    inputs = pools.Inputs(catalogue=catalogue, config=config, known=known, contexts=contexts, derived=derived)

    drafts, placements, more = _placed(inputs)
    if settled := shared.settle(catalogue, drafts, placements):
        inputs = replace(inputs, shared=settled)
        drafts, placements, more = _placed(inputs)
        more += shared.said(drafts, settled)
    found += more
    namespace = cluster.namespace(config)
    planned = []
    for name, draft in drafts.items():
        machines = None
        if draft.pool.site is None and config.gke is not None:
            machines, more = nodes.nodes(catalogue, config, name, draft.pool, draft.gpu, draft.load)
            found += more
        planned.append(pools.finish(inputs, draft, machines, placements.get(name, ()), namespace))

    found += pools.check(planned)
    found += naming.check(config)
    found += proposal.check(inputs, drafts)
    found += sources.check(config, derived)
    found += volume.check(config, planned)
    found += door.check(config)
    found += future.check(config)
    cluster_plan, more = cluster.build(catalogue, config, stack=stack, project=project, pools=planned)
    found += more
    found += cluster.check(config, cluster_plan)
    model_plans, more = models.build(inputs, planned)
    found += more
    found += scaling.check(catalogue, config, planned, model_plans)
    alias_plans = models.aliases(config)
    router_plan = router.build(catalogue, config, known, model_plans, alias_plans, planned)
    found += router.check(config, router_plan)
    found += router.missing(model_plans, planned)
    at_sites, more = site_plans.build(
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
    found += more
    bill, more = cost.build(catalogue, config, cluster_plan, planned)
    found += more
    found += clients.check(config, cluster_plan)
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
        problems=tidy(found),
        sites=at_sites,
        quotas=quota.build(catalogue, cluster_plan, planned),
        checked=checked,
        not_checked=not_checked,
    )


def _placed(
    inputs: pools.Inputs,
) -> tuple[Mapping[str, Draft], Mapping[str, tuple[SitePlacement, ...]], list[Problem]]:
    """The drafts, and the machines of those at sites."""
    drafts, problems = _drafts(inputs)
    at_sites = {name: draft for name, draft in drafts.items() if draft.pool.site}
    placements, more = sites.distribute(inputs.catalogue, inputs.config, at_sites)
    return drafts, placements, [*problems, *more]


def _drafts(inputs: pools.Inputs) -> tuple[Mapping[str, Draft], list[Problem]]:
    routed = placement.routed(inputs.config, inputs.known)
    drafts: dict[str, Draft] = {}
    problems: list[Problem] = []
    for name in sorted(inputs.config.pools):
        draft, found = pools.draft(inputs, name, routed[name])
        problems += found
        if draft is not None:
            drafts[name] = draft
    return drafts, problems
