"""The rules miss nothing: whatever is taken out of a program, one of them complains.

Each field of each input, each option, each parent, provider and output is removed from a recording, one at a time. What
may be absent stands in `MAY_BE_ABSENT` with the reason.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import pytest

from infra.recorder import RecordedResource, Recording, Secret
from tests.program.programs import Program
from tests.program.rules import RULES, View, sentence
from tests.program.rules.view import CONFIG_MAP, DAEMON_SET, DEPLOYMENT, SERVICE

STACKS = ("dev", "uncommon", "spot-with-fallback", "four-gpus", "existing-cluster", "home")

MAY_BE_ABSENT = {
    "option version": "the SDK's own version, pinned in requirements.txt",
    "option aliases": "the SDK names older API groups; we have renamed nothing yet",
    "option additionalSecretOutputs": "the SDK's own list for the cluster's credentials",
}


SERVER = "input.spec.template.spec"

FORBIDDEN: dict[str, tuple[str, dict[str, Any]]] = {
    "labels_are_short_enough_for_kubernetes_and_google": (SERVICE, {"input.metadata.labels": {"app": "a" * 64}}),
    "no_two_resources_share_parent_type_and_name": (SERVICE, {"again": True}),
    "no_two_objects_of_the_cluster_share_kind_namespace_and_name": (SERVICE, {"again": True}),
    "no_driver_pod_takes_a_gpu": (
        DAEMON_SET,
        {f"{SERVER}.containers.0.resources.limits": {"nvidia.com/gpu": "1"}},
    ),
    "no_secret_reaches_a_config_map_a_pod_or_an_output_that_is_not_secret": (
        CONFIG_MAP,
        {"input.data.key": Secret("s3cret")},
    ),
    "the_requests_of_the_pods_of_a_node_fit_what_the_node_leaves": (
        DEPLOYMENT,
        {f"{SERVER}.initContainers.0.resources.requests.memory": "900Gi"},
    ),
    "the_router_tolerates_nothing_and_so_never_takes_the_place_of_a_gpu_pod": (
        DEPLOYMENT,
        {f"{SERVER}.tolerations": [{"operator": "Exists"}]},
    ),
}
"""What rules forbid: rule -> (type of a resource, what to add to one of it)."""


@dataclass(frozen=True)
class Removal:
    """A recording from which one thing is missing."""

    what: str
    resource: RecordedResource | None
    recording: Recording


def removals(recording: Recording) -> Iterator[Removal]:
    """The recording without each thing in turn."""
    for index, resource in enumerate(recording.resources):
        before, after = recording.resources[:index], recording.resources[index + 1 :]
        yield Removal("the resource", resource, replace(recording, resources=(*before, *after)))
        for what, changed in _without_one(resource, recording.root):
            yield Removal(what, resource, replace(recording, resources=(*before, changed, *after)))
    for path, outputs in _leaves(recording.stack_outputs, "output"):
        yield Removal(path, None, replace(recording, stack_outputs=outputs))


def _without_one(resource: RecordedResource, root: str) -> Iterator[tuple[str, RecordedResource]]:
    for path, inputs in _leaves(resource.inputs, "input"):
        yield path, replace(resource, inputs=inputs)
    if resource.parent != root:
        yield "parent", replace(resource, parent=root)
    if resource.provider is not None:
        yield "provider", replace(resource, provider=None)
    if resource.registered_outputs is not None:
        yield "register_outputs", replace(resource, registered_outputs=None)
        for path, outputs in _leaves(resource.registered_outputs, "registered"):
            yield path, replace(resource, registered_outputs=outputs)
    yield from _without_an_option(resource)


def _without_an_option(resource: RecordedResource) -> Iterator[tuple[str, RecordedResource]]:
    for option in fields(resource):
        value = getattr(resource, option.name)
        if "option" not in option.metadata or value == option.default:
            continue
        name = f"option {_camel(option.name)}"
        yield name, replace(resource, **{option.name: option.default})
        if isinstance(value, tuple) and len(value) > 1:
            for index in range(len(value)):
                yield f"{name}[{index}]", replace(resource, **{option.name: value[:index] + value[index + 1 :]})
        elif isinstance(value, Mapping) and len(value) > 1:
            for key in value:
                yield (
                    f"{name}.{key}",
                    replace(resource, **{option.name: {other: value[other] for other in value if other != key}}),
                )


def _leaves(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Each leaf's path, and the value without it."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if isinstance(inner, (Mapping, list)) and inner:
                for deeper, changed in _leaves(inner, f"{path}.{key}"):
                    yield deeper, {**value, key: changed}
            else:
                yield f"{path}.{key}", {other: value[other] for other in value if other != key}
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            if isinstance(inner, (Mapping, list)) and inner:
                for deeper, changed in _leaves(inner, f"{path}[{index}]"):
                    yield deeper, [*value[:index], changed, *value[index + 1 :]]
            else:
                yield f"{path}[{index}]", [*value[:index], *value[index + 1 :]]


def _camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(word.capitalize() for word in rest)


def _excused(what: str) -> str | None:
    return next((known for known in MAY_BE_ABSENT if what.startswith(known)), None)


def complains(program: Program, recording: Recording) -> str | None:
    """The sentence of a rule that a recording breaks."""
    view = View(program.plan, recording)
    return next((sentence(rule) for rule in RULES if next(rule(view), None) is not None), None)


@dataclass(frozen=True, kw_only=True)
class Trial:
    """What became of all removals."""

    tried: int
    unnoticed: Mapping[str, list[str]]
    """By stack, what no rule misses."""
    idle: frozenset[str]
    """The rules that no removal breaks."""


@pytest.fixture(scope="module")
def trial(program_of: Callable[[str], Program]) -> Trial:
    """Every removal; a kind of field is tried once."""
    seen: set[tuple[str, str, str]] = set()
    unnoticed: dict[str, list[str]] = {}
    idle = {rule.__name__: rule for rule in RULES}
    for stack in STACKS:
        program = program_of(stack)
        assert complains(program, program.known) is None
        for removal in removals(program.known):
            one = removal.resource
            kind = (one.type if one else "", one.urn.split("::")[2] if one else "", removal.what)
            if kind in seen:
                continue
            seen.add(kind)
            view = View(program.plan, removal.recording)
            # those that never complained first, so that each has its chance
            rules = [*idle.values(), *(rule for rule in RULES if rule.__name__ not in idle)]
            broken = next((rule for rule in rules if next(rule(view), None) is not None), None)
            if broken is None:
                unnoticed.setdefault(stack, []).append(f"{one.name if one else 'stack'}: {removal.what}")
            else:
                idle.pop(broken.__name__, None)
    return Trial(tried=len(seen), unnoticed=unnoticed, idle=frozenset(idle))


def test_whatever_is_removed_some_rule_complains(trial: Trial) -> None:
    missed = [
        f"{stack} {line}"
        for stack, lines in trial.unnoticed.items()
        for line in lines
        if _excused(line.partition(": ")[2]) is None
    ]
    assert not missed, "no rule misses:\n" + "\n".join(missed)
    assert trial.tried > 800


def test_every_excuse_is_still_needed(trial: Trial) -> None:
    used = {_excused(line.partition(": ")[2]) for lines in trial.unnoticed.values() for line in lines}
    assert used - {None} == set(MAY_BE_ABSENT)


def test_a_rule_that_no_removal_breaks_is_one_that_forbids_something(trial: Trial) -> None:
    assert trial.idle == set(FORBIDDEN)


@pytest.mark.parametrize("rule", sorted(FORBIDDEN))
def test_what_is_forbidden_is_noticed(rule: str, dev: Program) -> None:
    type_, changes = FORBIDDEN[rule]
    resources = list(dev.known.resources)
    router = "router" in rule
    index = next(index for index, one in enumerate(resources) if one.type == type_ and ("router" in one.name) == router)
    options = {key: value for key, value in changes.items() if "." not in key and key != "again"}
    inputs = resources[index].inputs
    for path, value in changes.items():
        if "." in path:
            inputs = _with(inputs, path.split(".")[1:], value)
    changed = replace(resources[index], inputs=inputs, **options)
    resources[index : index + 1] = [resources[index], changed] if changes.get("again") else [changed]
    (checked,) = (one for one in RULES if one.__name__ == rule)
    view = View(dev.plan, replace(dev.known, resources=tuple(resources)))
    assert list(checked(view))


def _with(value: Any, path: list[str], new: Any) -> Any:
    if not path:
        return new
    if isinstance(value, list):
        index = int(path[0])
        return [*value[:index], _with(value[index], path[1:], new), *value[index + 1 :]]
    return {**value, path[0]: _with(value.get(path[0], {}), path[1:], new)}
