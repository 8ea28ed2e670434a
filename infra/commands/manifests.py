"""`fleet manifests`: every Kubernetes object as `kubectl apply` takes it. No account."""

import argparse
import json
import shlex
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from infra.commands import common
from infra.config.references import one_of
from infra.config.types import shown
from infra.plan.model import SiteCluster, SitePlan
from infra.plan.naming import POOL_LABEL, ROUTER_KEYS
from infra.problem import error, has_errors
from infra.stack import UnreadableError
from infra.yaml_text import yaml_text

if TYPE_CHECKING:
    from infra.recorder import Recording

HELP = "YAML: every Kubernetes object that the program makes; secrets are placeholders"
HELM = "kubernetes:helm.sh/"
ORDER = (
    "Namespace",
    "PriorityClass",
    "ResourceQuota",
    "ServiceAccount",
    "ConfigMap",
    "Secret",
    "PersistentVolumeClaim",
)
"""What others need comes first; the rest by kind and name."""
PLACEHOLDER = "<secret>"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `fleet manifests`."""
    common.add_stack_option(parser)
    parser.add_argument("--site", metavar="NAME", help="what stands at this Kubernetes site, for kubectl")


def run(arguments: argparse.Namespace) -> int:
    """0, or 1 for a plan with errors."""
    from infra.commands import recorded

    if arguments.site is not None:
        return _site(arguments)
    try:
        common.write(render(recorded.recording(arguments)))
    except recorded.RefusedError as refused:
        return common.say_errors(refused.problems)
    return common.OK


def _site(arguments: argparse.Namespace) -> int:
    from infra.commands import recorded

    stack = common.read_stack(arguments)
    plan = common.plan_of(stack)
    if has_errors(plan.problems):
        return common.say_errors(plan.problems)
    sites = {site.name: site.cluster for site in plan.sites if site.cluster is not None}
    if (cluster := sites.get(arguments.site)) is None:
        kinds = {site.name: site.kind for site in plan.sites}
        if (kind := kinds.get(arguments.site)) == "docker":
            raise UnreadableError(
                error("--site", f"{arguments.site} is a site of {kind}", f"fleet compose --site {arguments.site}")
            )
        raise UnreadableError(
            error(
                "--site",
                f"there is no Kubernetes site {shown(arguments.site)}",
                one_of(arguments.site, frozenset(sites), "sites with kubernetes"),
            )
        )
    first = "".join(f"# {line}".rstrip() + "\n" for line in site_commands(plan.site(arguments.site), cluster))
    common.write(first + render(recorded.of_site(stack.name, plan, plan.site(arguments.site), cluster)))
    return common.OK


def site_commands(site: SitePlan, cluster: SiteCluster) -> Iterator[str]:
    """What to type before and after applying a site's objects, and to take them away; labels of others stay."""
    from infra.compose.text import certificate

    kubectl = f"kubectl --context {shlex.quote(cluster.context)}" if cluster.context else "kubectl"
    inside = f"{kubectl} -n {cluster.namespace}"
    yield f"fleet manifests --site {site.name} | {kubectl} apply --server-side --field-manager=ollama-fleet -f -"
    door = cluster.door
    if door is not None and (door.settings.tls or door.keys):
        yield "once, in a folder that nobody else reads; a certificate and keys that are there already serve as well:"
    if door is not None and door.settings.tls:
        if site.hosts:
            yield certificate(site.hosts)
        yield f"{inside} create secret tls {door.settings.tls} --cert=tls.crt --key=tls.key"
    if door is not None and door.keys:
        yield from (f"openssl rand -hex 24 > key-{key}" for key in door.keys)
        digests = " ".join(
            f"--from-literal={key}=$(tr -d '\\n' < key-{key} | sha256sum | cut -c 1-64)" for key in door.keys
        )
        yield f"{inside} create secret generic {ROUTER_KEYS} {digests}"
    alone = {node: pools[0] for node, pools in cluster.nodes.items() if len(pools) == 1}
    if alone:
        yield "so that nothing else stands on these nodes:"
    for node, pool in alone.items():
        yield f"{kubectl} taint nodes {node} {POOL_LABEL}={pool}:NoSchedule"
    yield "to take it all away (never `delete -f` with this file: it names your nodes):"
    yield f"{kubectl} delete namespace {cluster.namespace} {cluster.driver_namespace} --ignore-not-found"
    for node, pools in cluster.nodes.items():
        yield f"{kubectl} label nodes {node} {' '.join(f'{POOL_LABEL}-{pool}-' for pool in pools)}"


def render(recording: "Recording") -> str:
    """The objects as one YAML stream, in an order in which they can be applied."""
    return "".join(f"# {line}\n" for line in charts(recording)) + yaml_text(objects(recording))


def objects(recording: "Recording") -> list[dict[str, Any]]:
    """Every Kubernetes object of a recording."""
    return sorted(_objects(recording), key=_rank)


def charts(recording: "Recording") -> Iterator[str]:
    """The commands that install what comes by Helm, before the objects that need it."""
    for resource in recording.resources:
        if resource.type.startswith(HELM):
            its = _without_secrets(resource.inputs)
            given = (f"{key}={json.dumps(value)}" for key, value in sorted(its["values"].items()))
            values = " ".join(f"--set-json {shlex.quote(one)}" for one in given)
            yield (
                f"helm upgrade --install {its['name']} {its['chart']} --repo {its['repositoryOpts']['repo']} "
                f"--version {its['version']} --namespace {its['namespace']} --create-namespace {values}"
            )


def _objects(recording: "Recording") -> Iterator[dict[str, Any]]:
    for resource in recording.resources:
        if resource.type.startswith("kubernetes:") and not resource.type.startswith(HELM):
            yield _without_secrets(resource.inputs)


def _rank(manifest: Mapping[str, Any]) -> tuple[int, str, str, str]:
    kind, metadata = manifest["kind"], manifest["metadata"]
    place = ORDER.index(kind) if kind in ORDER else len(ORDER)
    return (place, kind, metadata.get("namespace", ""), metadata["name"])


def _without_secrets(value: Any) -> Any:
    from infra.recorder import Secret, reveal

    if isinstance(value, Secret):
        inner = reveal(value)
        return dict.fromkeys(inner, PLACEHOLDER) if isinstance(inner, dict) else PLACEHOLDER
    if isinstance(value, Mapping):
        return {key: _without_secrets(inner) for key, inner in value.items()}
    return [_without_secrets(inner) for inner in value] if isinstance(value, (list, tuple)) else value
