"""What becomes of each resource between two runs of the program: as the engine decides it, without the engine."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from infra.catalogue.replacements import replacements
from infra.change import google, kubernetes
from infra.change.difference import UNKNOWN, Change, Verdict, changes, text, verdict_by
from infra.change.model import Action, PropertyChange, ResourceChange

Inputs = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Registered:
    """One resource as `fleet resources` prints it."""

    urn: str
    type: str
    name: str
    custom: bool
    provider: str | None
    inputs: Inputs
    depends: Mapping[str, Sequence[str]]
    """For each input, the urns of the resources that its value comes from."""
    options: Mapping[str, Any]

    @property
    def read(self) -> bool:
        """Whether the program only reads it."""
        return "readId" in self.options


Program = Mapping[str, Registered]


def program(document: Mapping[str, Any]) -> Program:
    """The resources of `fleet resources` by urn."""
    return {
        one["urn"]: Registered(
            urn=one["urn"],
            type=one["type"],
            name=one["name"],
            custom=one["custom"],
            provider=one["provider"],
            inputs=_plain(one["inputs"]),
            depends=one.get("propertyDependencies", {}),
            options=one["options"],
        )
        for one in document["resources"]
    }


def compare(before: Program, after: Program) -> tuple[ResourceChange, ...]:
    """Every resource that changes, in order of type and name; what stays the same and what is only read is left out."""
    pairs = dict(_pairs(before, after))
    found = {urn: _changed(old, after, after[urn]) for urn, old in pairs.items()}
    _cascade(after, pairs, found)
    matched = {old.urn for old in pairs.values()}
    came = [_whole(new, Action.CREATE) for urn, new in after.items() if urn not in pairs and not new.read]
    went = [
        _whole(old, Action.DELETE)
        for urn, old in before.items()
        if urn not in matched and not old.read and not old.options.get("retainOnDelete")
    ]
    changed = [one for one in found.values() if one is not None]
    return tuple(sorted([*came, *went, *changed], key=lambda one: (one.type, one.name, one.urn)))


def _pairs(before: Program, after: Program) -> Iterator[tuple[str, Registered]]:
    """What stands under each new urn now: the same urn, or one that the new resource names as its alias."""
    taken = set(before) & set(after)
    for urn, new in after.items():
        names = [urn, *(alias for alias in _aliases(new) if alias not in taken)]
        old = next((before[name] for name in names if name in before), None)
        # an object that others own is no former self of a resource
        if old is not None and not (old.read or new.read):
            yield urn, old


def _aliases(resource: Registered) -> Iterator[str]:
    head, _, _ = resource.urn.rpartition("::")
    stem, _, chain = head.rpartition("::")
    parents, dollar, _ = chain.rpartition("$")
    for alias in resource.options.get("aliases", ()):
        if isinstance(alias, str):
            yield alias
        else:
            yield f"{stem}::{parents}{dollar}{alias.get('type', resource.type)}::{alias.get('name', resource.name)}"


def _changed(old: Registered, after: Program, new: Registered) -> ResourceChange | None:
    differing = list(changes(old.inputs, _kept(old.inputs, new)))
    judged = [(one, _verdict(after, old, new, one)) for one in differing]
    real = [(one, verdict) for one, verdict in judged if verdict is not Verdict.NOTHING]
    if not real:
        return None
    properties = tuple(
        PropertyChange(path=text(one.path), before=one.old, after=one.new, replaces=verdict is Verdict.REPLACE)
        for one, verdict in real
    )
    reasons = tuple(one.path for one in properties if one.replaces)
    return ResourceChange(
        urn=new.urn,
        type=new.type,
        name=new.name,
        action=Action.REPLACE if reasons else Action.UPDATE,
        component=not new.custom,
        properties=properties,
        reasons=reasons,
        deletes_first=bool(reasons) and _deletes_first(old, new),
        recreates_nodes=not reasons and any(google.recreates_nodes(new.type, one) for one, _ in real),
        protected=bool(old.options.get("protect")),
    )


def _verdict(after: Program, old: Registered, new: Registered, change: Change) -> Verdict:
    forced = dict.fromkeys(new.options.get("replaceOnChanges", ()), Verdict.REPLACE)
    if forced and ("*" in forced or verdict_by(change, forced) is Verdict.REPLACE):
        return Verdict.REPLACE
    if new.type in replacements().random.types:
        return Verdict.REPLACE
    package = new.type.partition(":")[0]
    if new.type == kubernetes.PROVIDER:
        return kubernetes.provider_verdict(old.inputs, new.inputs, change)
    if package == "kubernetes":
        provider = after.get(new.provider or "")
        return kubernetes.verdict(new.type, new.inputs, provider.inputs if provider else {}, change)
    return google.verdict(new.type, change) if package == "gcp" else Verdict.IN_PLACE


def _deletes_first(old: Registered, new: Registered) -> bool:
    wish = new.options.get("deleteBeforeReplace")
    if wish is not None:
        return bool(wish)
    if new.type.startswith("kubernetes:"):
        return kubernetes.deletes_first(old.inputs, new.inputs)
    return google.deletes_first(old.inputs, new.inputs)


def _cascade(after: Program, pairs: Mapping[str, Registered], found: dict[str, ResourceChange | None]) -> None:
    """What is replaced because something else is: all that a replaced provider manages, and what takes a value from a
    resource that is deleted first, where the engine holds that value unknown."""
    while more := dict(_more(after, pairs, found)):
        for urn, reasons in more.items():
            new, old = after[urn], pairs[urn]
            known = found[urn] or ResourceChange(urn=urn, type=new.type, name=new.name, action=Action.REPLACE)
            found[urn] = replace(
                known,
                action=Action.REPLACE,
                reasons=reasons,
                deletes_first=_deletes_first(old, new),
                recreates_nodes=False,
                protected=bool(old.options.get("protect")),
            )


def _more(
    after: Program, pairs: Mapping[str, Registered], found: Mapping[str, ResourceChange | None]
) -> Iterator[tuple[str, tuple[str, ...]]]:
    """What is drawn in by that which is replaced so far, with the reasons."""
    replaced = {urn for urn, one in found.items() if one is not None and one.action is Action.REPLACE}
    first = {urn for urn in replaced if (one := found[urn]) is not None and one.deletes_first}
    for urn, old in pairs.items():
        if urn in replaced or not after[urn].custom:
            continue
        if (reasons := _drawn(after, old, after[urn], replaced, first)) is not None:
            yield urn, reasons


def _drawn(
    after: Program, old: Registered, new: Registered, replaced: set[str], first: set[str]
) -> tuple[str, ...] | None:
    if new.provider in replaced:
        return (f"its provider {after[new.provider].name} is replaced",)
    unknown = {key: hit for key, urns in new.depends.items() if (hit := next((u for u in urns if u in first), None))}
    found = [
        f"{key} comes from {after[urn].name}, which is deleted first"
        for key, urn in unknown.items()
        for one in changes(old.inputs.get(key), UNKNOWN, (key,))
        if _verdict(after, old, new, one) is Verdict.REPLACE
    ]
    return tuple(found) or None


def _kept(old: Inputs, new: Registered) -> Inputs:
    """The new inputs with what `ignoreChanges` leaves as it was."""
    inputs = new.inputs
    for path in new.options.get("ignoreChanges", ()):
        inputs = _put_back(inputs, old, path.split("."))
    return inputs


def _put_back(new: Any, old: Any, path: Sequence[str]) -> Any:
    if not isinstance(new, Mapping) or not isinstance(old, Mapping):
        return new
    key, *rest = path
    if rest:
        return {**new, key: _put_back(new[key], old.get(key), rest)} if key in new else new
    without = {name: item for name, item in new.items() if name != key}
    return {**without, key: old[key]} if key in old else without


def _whole(resource: Registered, action: Action) -> ResourceChange:
    return ResourceChange(
        urn=resource.urn,
        type=resource.type,
        name=resource.name,
        action=action,
        component=not resource.custom,
        protected=bool(resource.options.get("protect")) and action is Action.DELETE,
    )


def _plain(value: Any) -> Any:
    """Inputs as the engine compares them: without keys that hold null, unknown values as its own mark."""
    if isinstance(value, Mapping):
        if value.get("$unknown") is True and len(value) == 1:
            return UNKNOWN
        return {key: _plain(item) for key, item in value.items() if item is not None}
    return [_plain(item) for item in value] if isinstance(value, list) else value
