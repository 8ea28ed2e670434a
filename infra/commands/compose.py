"""`fleet compose`: a Docker Compose file for a machine of a Docker site. No account."""

import argparse

from infra.commands import common
from infra.config import place
from infra.config.references import one_of
from infra.config.types import shown
from infra.plan.model import FleetPlan, Machine, SitePlan
from infra.problem import error, has_errors
from infra.stack import UnreadableError

HELP = "a Docker Compose file for a machine of a Docker site; nothing secret is in it"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `fleet compose`."""
    common.add_stack_option(parser)
    parser.add_argument("--site", metavar="NAME", help="a site with docker; default: the only one")
    parser.add_argument("--node", metavar="NAME", help="one of its machines; default: the only one")


def run(arguments: argparse.Namespace) -> int:
    """0, or 1 for a plan with errors."""
    plan = common.plan_of(common.read_stack(arguments))
    if has_errors(hindrances := common.but_for_money(plan)):
        return common.say_errors(hindrances)
    from infra.compose import render

    site = _site(plan, arguments.site)
    common.write(render(plan, site, _machine(site, arguments.node)))
    return common.OK


def _site(plan: FleetPlan, wish: str | None) -> SitePlan:
    sites = {site.name: site for site in plan.sites if site.kind == "docker"}
    if wish is None and len(sites) == 1:
        return next(iter(sites.values()))
    if wish in sites:
        return sites[wish]
    if not sites:
        raise UnreadableError(error(place("sites"), "the file has no Docker site", "write docker: {} at one"))
    kinds = {site.name: site.kind for site in plan.sites}
    cause = f"{wish} is a site of {kinds[wish]}" if wish in kinds else f"there is no site {shown(wish)}"
    raise UnreadableError(
        error(
            "--site", cause if wish else "there are several Docker sites", one_of(wish or "", frozenset(sites), "sites")
        )
    )


def _machine(site: SitePlan, wish: str | None) -> Machine:
    machines = {machine.name: machine for machine in site.machines}
    if not machines:
        raise UnreadableError(
            error(
                place("sites", site.name, "nodes"),
                "the site's machines are not described, so there is no telling what runs where",
                "fleet discover, on the machine, prints its lines",
            )
        )
    if wish is None and len(machines) == 1:
        return next(iter(machines.values()))
    if wish in machines:
        return machines[wish]
    cause = f"there is no machine {shown(wish)} with pools" if wish else f"site {site.name} has several: name one"
    raise UnreadableError(error("--node", cause, one_of(wish or "", frozenset(machines), "machines")))
