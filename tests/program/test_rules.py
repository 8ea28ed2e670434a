"""Every program obeys every rule, and a preview says the same as the deployment."""

from collections.abc import Mapping
from typing import Any

import pytest

from infra.recorder import UNKNOWN, Secret
from tests.program.programs import Program
from tests.program.rules import RULES, Rule, View, sentence
from tests.program.rules.tree import nothing_but_the_fleet_hangs_off_the_stack
from tests.program.rules.view import PROVIDER


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_every_program_obeys(rule: Rule, each: Program) -> None:
    complaints = list(rule(View(each.plan, each.known)))
    assert not complaints, f"{sentence(rule)}: " + "; ".join(complaints)


def test_a_preview_registers_the_same_resources_with_the_same_options(each: Program) -> None:
    assert [one.without_values() for one in each.unknown.resources] == [
        one.without_values() for one in each.known.resources
    ]
    assert each.unknown.stack_outputs.keys() == each.known.stack_outputs.keys()
    assert not list(nothing_but_the_fleet_hangs_off_the_stack(View(each.plan, each.unknown)))


def test_a_preview_shows_the_same_values_wherever_they_do_not_come_from_another_resource(each: Program) -> None:
    for known, unknown in zip(each.known.resources, each.unknown.resources, strict=True):
        for key, value in unknown.inputs.items():
            holes = list(_holes(known.inputs[key], value, f"{known.name}.{key}"))
            assert not holes or unknown.property_dependencies.get(key), holes


def test_a_preview_tells_name_and_size_of_everything(each: Program) -> None:
    for resource in each.unknown.resources:
        metadata = resource.inputs.get("metadata")
        if isinstance(metadata, Mapping):
            assert metadata["name"] is not UNKNOWN
        if resource.type == "gcp:container/nodePool:NodePool":
            assert UNKNOWN not in (resource.inputs["name"], resource.inputs["nodeConfig"]["machineType"])


def test_no_value_of_a_provider_or_credential_is_readable_in_either_run(each: Program) -> None:
    for recording in (each.known, each.unknown):
        assert "gke-gcloud-auth-plugin" not in recording.to_json()
        assert all(isinstance(one.inputs["kubeconfig"], Secret) for one in recording.of_type(PROVIDER))


def test_the_plan_s_summary_and_commands_are_known_in_a_preview(each: Program) -> None:
    for output in ("plan", "commands"):
        assert each.unknown.stack_outputs[output] == each.known.stack_outputs[output]


def _holes(known: Any, unknown: Any, path: str) -> Any:
    """The places that only the deployment knows; fails where the two differ otherwise."""
    if unknown is UNKNOWN or (isinstance(unknown, Secret) and unknown.value is UNKNOWN):
        yield path
    elif isinstance(unknown, Mapping):
        assert unknown.keys() == known.keys(), path
        for key, value in unknown.items():
            yield from _holes(known[key], value, f"{path}.{key}")
    elif isinstance(unknown, list):
        assert len(unknown) == len(known), path
        for index, value in enumerate(unknown):
            yield from _holes(known[index], value, f"{path}.{index}")
    else:
        assert unknown == known, path
