"""The Pulumi program: reads the stack's config, decides, and builds the fleet or refuses with every problem at once."""

import json
from pathlib import Path
from typing import Any

import pulumi
from pulumi.runtime.config import is_config_secret

from components import secrets
from components.fleet import Fleet, FleetArgs
from infra import lockfile
from infra import stack as stacks
from infra.plan.build import decide
from infra.plan.door import CHAT_KEY, LOAD_TEST_KEY
from infra.plan.lock import Lock
from infra.plan.model import FleetPlan
from infra.plan.naming import ROUTER
from infra.problem import Problem, Severity, error, has_errors

ROOT = Path(__file__).resolve().parent.parent


def main(folder: Path = ROOT, lock: Lock | None = None) -> None:
    """Registers everything and exports endpoint and public address, kubeconfig, keys, the plan's summary and the
    commands to try.

    Raises pulumi.RunError, which Pulumi shows without a traceback, for a plan with errors.
    """
    plan = plan_of_config(folder, lock)
    for problem in plan.problems:
        if problem.severity is Severity.WARNING:
            pulumi.log.warn(line(problem))
    if has_errors(plan.problems):
        raise pulumi.RunError(refusal(plan.problems))
    given, problems = secrets.read(plan)
    if problems:
        raise pulumi.RunError(refusal(problems))
    fleet = Fleet("fleet", FleetArgs(plan=plan, secrets=given))
    outputs = {
        "endpoint": fleet.endpoint,
        "publicAddress": fleet.address,
        "kubeconfig": fleet.kubeconfig,
        "apiKeys": fleet.api_keys,
        "chat": fleet.chat,
        "siteTokens": fleet.site_tokens or None,
    }
    for name, value in outputs.items():
        if value is not None:
            pulumi.export(name, value)
    pulumi.export("plan", summary(plan))
    pulumi.export("commands", commands(plan))


def plan_of_config(folder: Path, lock: Lock | None = None) -> FleetPlan:
    """The plan of the running stack, with this lock or the one in `folder`.

    Raises pulumi.RunError for a config not to be read.
    """
    if is_config_secret(stacks.KEY):
        raise pulumi.RunError(
            refusal(
                [
                    error(
                        "fleet",
                        "the fleet object is a secret, or holds one (`secure:`)",
                        "take it out: secrets are ollama-fleet:apiKeys, siteTokens and kubeconfigs, keys of their own",
                    )
                ]
            )
        )
    try:
        raw: Any = pulumi.Config("ollama-fleet").require_object("fleet")
        fleet = stacks.extended(raw, folder)
        lock = lockfile.read(folder) if lock is None else lock
    except stacks.UnreadableError as unreadable:
        raise pulumi.RunError(refusal([unreadable.problem])) from None
    except pulumi.ConfigTypeError:
        raise pulumi.RunError(
            refusal([error("fleet", "it is a text", "write a mapping with gke, pools, models, ...")])
        ) from None
    except pulumi.ConfigMissingError:
        raise pulumi.RunError(
            refusal([error(stacks.KEY, "the stack has no such config", "copy Pulumi.dev.yaml to Pulumi.<stack>.yaml")])
        ) from None
    return decide(fleet, stack=pulumi.get_stack(), project=pulumi.Config("gcp").get("project"), lock=lock)


def line(problem: Problem) -> str:
    """A problem on one line."""
    return f"{problem.place}: {problem.message}" + (f" | {problem.remedy}" if problem.remedy else "")


def refusal(problems: list[Problem] | tuple[Problem, ...]) -> str:
    """All errors, each with its remedy below it."""
    errors = [problem for problem in problems if problem.severity is Severity.ERROR]
    shown = "".join(f"\n  {problem.place}: {problem.message}\n      {problem.remedy}" for problem in errors)
    return f"the fleet cannot be built: {len(errors)} error(s); `make plan` shows the whole plan{shown}"


def summary(plan: FleetPlan) -> dict[str, Any]:
    """What an owner asks first: pools, routes, money. Plain values, known at preview."""
    cost = plan.cost
    return {
        "pools": {pool.name: f"{pool.gpu_title}, {pool.replicas.min}..{pool.replicas.max}" for pool in plan.pools},
        "routes": {model.name: list(model.route) for model in plan.models},
        "monthlyUsd": None
        if cost is None
        else {
            "minimum": round(cost.monthly(cost.total.minimum)),
            "maximum": round(cost.monthly(cost.total.maximum)),
            "pricesOf": f"{cost.priced_in}, {cost.date.isoformat()}",
        },
        "warnings": sum(problem.severity is Severity.WARNING for problem in plan.problems),
    }


def commands(plan: FleetPlan) -> list[str]:
    """Three for one shell: get at the cluster and a key, at the door and chat, and see why a pod is not ready."""
    if plan.cluster is None:
        return []
    router = plan.router
    place = f"--location {plan.cluster.location} --project {plan.cluster.project}"
    reach = f"gcloud container clusters get-credentials {plan.cluster.name} {place} --dns-endpoint"
    model = next((model.name for model in plan.models if not model.embedding), "MODEL")
    body = json.dumps({"model": model, "messages": [{"role": "user", "content": "Hello"}]})
    key = next((name for name in router.keys if not _bounded(plan, name)), next(iter(router.keys), None))
    # nothing is known of the name that the certificate is for
    options = [
        *(["--insecure"] if router.settings.tls else []),
        *(['-H "Authorization: Bearer $FLEET_API_KEY"'] if key else []),
    ]
    return [
        f"{reach} && {_export(key)}" if key else reach,
        f"{_url(plan)}; curl {' '.join([*options, '$FLEET_URL/api/chat'])} -d '{body}'",
        f"kubectl -n {plan.namespace} describe pods -l app.kubernetes.io/name=ollama",
    ]


def _export(key: str) -> str:
    read = f'import json, sys; print(json.load(sys.stdin)["{key}"])'
    return f"export FLEET_API_KEY=\"$(pulumi stack output --show-secrets --json apiKeys | python3 -c '{read}')\""


def _bounded(plan: FleetPlan, key: str) -> bool:
    """Whether a key may not ask every model; those of the fleet's own clients are theirs."""
    rule = plan.router.settings.keys.get(key)
    return key in (CHAT_KEY, LOAD_TEST_KEY) if rule is None else bool(rule.models)


def _url(plan: FleetPlan) -> str:
    """Where the door is from here, whatever name leads to it later."""
    settings = plan.router.settings
    scheme, port = ("https", 443) if settings.tls else ("http", 80)
    if settings.expose == "public":
        return f"export FLEET_URL={scheme}://$(pulumi stack output publicAddress)"
    service = f"kubectl -n {plan.namespace} get service {ROUTER}"
    if settings.expose == "internal":
        ip = "{.status.loadBalancer.ingress[0].ip}"
        return f"export FLEET_URL={scheme}://$({service} -o jsonpath='{ip}')"
    local = port + 8000
    forward = f"kubectl -n {plan.namespace} port-forward service/{ROUTER} {local}:{port}"
    return f"{forward} & sleep 2; export FLEET_URL={scheme}://127.0.0.1:{local}"
