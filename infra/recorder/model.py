"""What a recording of a Pulumi program consists of, and its JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from infra.recorder.values import UNKNOWN, Unknown, jsonable


def _option(default: Any = None) -> Any:
    return field(default=default, metadata={"option": True})


@dataclass(frozen=True, kw_only=True)
class RecordedResource:
    """One resource: the program's request, with what the engine itself hands down from the parent.

    `inputs` and `registered_outputs` are plain JSON values with the provider's camelCase keys, except that a
    secret is a `Secret` and a value that is not yet known is `UNKNOWN`. Lists whose order means nothing are
    sorted.
    """

    urn: str
    """With the whole chain of the parents' types, as the engine makes it."""
    type: str
    name: str
    parent: str
    """The urn of the parent; the stack's for a resource at the top."""
    custom: bool
    """False for a component."""
    remote: bool = False
    """True for a component that a provider builds (a Helm chart): its children are not in the recording."""
    inputs: Mapping[str, Any]
    registered_outputs: Mapping[str, Any] | None = None
    """What was passed to `register_outputs`; None if it was never called."""
    property_dependencies: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """For each input, the urns of the resources that its value comes from."""
    provider: str | None = None
    """The urn of the provider; None for the package's default provider."""

    providers: Mapping[str, str] | None = _option()
    """For a component, the urn of its children's provider by package."""
    depends_on: tuple[str, ...] = _option(())
    """The urns of all that this resource waits for: what it names and what its inputs come from."""
    protect: bool = _option(default=False)
    retain_on_delete: bool = _option(default=False)
    deleted_with: str | None = _option()
    ignore_changes: tuple[str, ...] = _option(())
    replace_on_changes: tuple[str, ...] = _option(())
    replace_with: tuple[str, ...] = _option(())
    replacement_trigger: Any = _option()
    delete_before_replace: bool | None = _option()
    """None leaves it to the provider."""
    custom_timeouts: Mapping[str, str] | None = _option()
    additional_secret_outputs: tuple[str, ...] = _option(())
    hide_diffs: tuple[str, ...] = _option(())
    aliases: tuple[str | Mapping[str, Any], ...] = _option(())
    import_id: str | None = _option()
    read_id: str | Unknown | None = _option()
    """The id of an existing object that the program only reads (`Cluster.get`)."""
    version: str | None = _option()
    plugin_download_url: str | None = _option()

    @property
    def outputs_registered(self) -> bool:
        """Whether the resource called `register_outputs`."""
        return self.registered_outputs is not None

    @property
    def options(self) -> dict[str, Any]:
        """The options that differ from their default, under Pulumi's camelCase names."""
        return {
            _camel(option.name): getattr(self, option.name)
            for option in fields(self)
            if "option" in option.metadata and getattr(self, option.name) != option.default
        }

    def with_registered_outputs(self, outputs: Mapping[str, Any] | None) -> RecordedResource:
        """The same resource after it called `register_outputs` with these; None if it did not."""
        return replace(self, registered_outputs=outputs)

    def without_values(self) -> RecordedResource:
        """The same resource with only the names of its inputs: what a known and an unknown run agree on."""
        read_id = None if self.read_id is None else UNKNOWN
        return replace(self, inputs=dict.fromkeys(self.inputs), registered_outputs=None, read_id=read_id)

    def to_json(self) -> dict[str, Any]:
        """The resource as plain JSON values, in which no secret can be read."""
        value = {
            "urn": self.urn,
            "type": self.type,
            "name": self.name,
            "parent": self.parent,
            "custom": self.custom,
            "provider": self.provider,
            "options": jsonable(self.options),
            "inputs": jsonable(self.inputs),
            "propertyDependencies": {key: list(urns) for key, urns in self.property_dependencies.items() if urns},
        }
        if not self.custom:
            value["outputs"] = jsonable(self.registered_outputs)
        return value


@dataclass(frozen=True, kw_only=True)
class Recording:
    """All that one run of a program registered. Two runs of the same program with the same config are equal."""

    project: str
    stack: str
    root: str
    """The urn of the stack."""
    resources: tuple[RecordedResource, ...]
    """Sorted by urn, the stack itself left out."""
    stack_outputs: Mapping[str, Any]
    """What the program exported; a secret is a `Secret`."""
    messages: tuple[tuple[str, str], ...] = ()
    """What the program logged, as (severity, message), debug left out."""

    def of_type(self, type_: str) -> tuple[RecordedResource, ...]:
        """The resources of this type token, sorted by urn."""
        return tuple(resource for resource in self.resources if resource.type == type_)

    def one(self, type_: str, name: str | None = None) -> RecordedResource:
        """The only resource of this type, or of this type and name; `LookupError` if there is not exactly one."""
        found = [resource for resource in self.of_type(type_) if name in {None, resource.name}]
        if len(found) != 1:
            wanted = type_ if name is None else f"{type_} named {name}"
            have = ", ".join(resource.name for resource in self.of_type(type_)) or "none"
            raise LookupError(f"{len(found)} resources are {wanted}; of this type there are: {have}")
        return found[0]

    def by_urn(self, urn: str) -> RecordedResource:
        """The resource with this urn; `LookupError` if there is none."""
        for resource in self.resources:
            if resource.urn == urn:
                return resource
        raise LookupError(f"no resource has the urn {urn}")

    def children(self, parent: RecordedResource | None = None) -> tuple[RecordedResource, ...]:
        """The direct children of a resource; without one, the resources at the top of the stack."""
        urn = self.root if parent is None else parent.urn
        return tuple(resource for resource in self.resources if resource.parent == urn)

    @property
    def components_without_outputs(self) -> tuple[RecordedResource, ...]:
        """The components that never called `register_outputs`; Pulumi shows such a one as still being created."""
        return tuple(
            resource
            for resource in self.resources
            if not resource.custom and not resource.remote and not resource.outputs_registered
        )

    def to_json(self) -> str:
        """The recording as JSON text with a newline at its end; no secret can be read in it."""
        value = {
            "project": self.project,
            "stack": self.stack,
            "resources": [resource.to_json() for resource in self.resources],
            "outputs": jsonable(self.stack_outputs),
        }
        return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def _camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(word.capitalize() for word in rest)
