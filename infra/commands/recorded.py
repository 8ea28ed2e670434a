"""The program of a stack, run without engine or account, for the commands that show what it registers."""

import argparse
import json
import os
from collections.abc import Mapping
from functools import partial
from typing import Any

from infra import stack as stacks
from infra.commands import common
from infra.loading import loading
from infra.plan.lock import Lock
from infra.plan.model import FleetPlan, SiteCluster, SitePlan
from infra.problem import Problem, has_errors
from infra.recorder import Recording, record

PROJECT = "ollama-fleet"
API_KEYS = "ollama-fleet:apiKeys"


class RefusedError(Exception):
    """The plan has errors, so there is no program to run."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("the plan has errors")
        self.problems = problems


def recording(arguments: argparse.Namespace) -> Recording:
    """What the program of the chosen stack registers. Raises RefusedError and UnreadableError."""
    return of_stack(common.read_stack(arguments))


def of_stack(stack: stacks.Stack) -> Recording:
    """What the program registers for a stack that was read. Raises RefusedError."""
    problems = common.plan_of(stack).problems
    if has_errors(problems):
        raise RefusedError(problems)
    return of(stack)


def of(stack: stacks.Stack, lock: Lock | None = None) -> Recording:
    """What the program of a stack registers whose plan has no errors; `lock` in place of the one beside the file."""
    settings, secret_keys = _settings(stack.settings)
    # the SDK of Kubernetes reads these for a provider's arguments; a recording is the same on every machine
    for name in [name for name in os.environ if name.startswith("PULUMI_K8S_")]:
        del os.environ[name]
    with loading():
        from components.program import main

        return record(
            partial(main, stack.path.parent, lock),
            project=PROJECT,
            stack=stack.name,
            config={**settings, stacks.KEY: json.dumps(stack.fleet)},
            secret_keys=secret_keys,
        )


def of_site(stack: str, plan: FleetPlan, site: SitePlan, cluster: SiteCluster) -> Recording:
    """What stands at a Kubernetes site, but for its Secrets, which whoever applies it makes."""
    with loading():
        from components.kubernetes_site import KubernetesSite, KubernetesSiteArgs

        def build() -> None:
            KubernetesSite(f"{site.name}-site", KubernetesSiteArgs(plan=plan, site=site, cluster=cluster, keys=None))

        return record(build, project=PROJECT, stack=stack)


def _settings(settings: Mapping[str, Any]) -> tuple[dict[str, str], list[str]]:
    """The stack's other keys as the engine would hand them over; an encrypted one is known to be a secret, no more."""
    plain: dict[str, str] = {}
    secret_keys = []
    for key, value in settings.items():
        if isinstance(value, dict) and set(value) == {"secure"}:
            # of keys that are secret as a whole not even the names are known: as if none were set
            if key != API_KEYS:
                plain[key] = "encrypted"
                secret_keys.append(key)
        elif isinstance(value, dict) and any(isinstance(one, dict) and "secure" in one for one in value.values()):
            plain[key] = json.dumps({name: f"encrypted-{len(name)}-{name:-<16}" for name in value})
            secret_keys.append(key)
        else:
            plain[key] = value if isinstance(value, str) else json.dumps(value)
    return plain, secret_keys
