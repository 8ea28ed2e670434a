"""Turns plain values (from YAML or from Pulumi's JSON) into a FleetConfig, with every problem at its place."""

import types
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from infra.config import references
from infra.config.model import FleetConfig
from infra.config.places import ROOT, path
from infra.config.types import shown, without_secrets
from infra.problem import Problem, error

NAMED = ("pools", "models", "aliases", "sites")
"""Sections of named entries: a broken one is left out alone, and the others are still judged."""

EXPECTED = {
    "bool_type": ("true or false", "write true or false, without quotes"),
    "int_type": ("a whole number", "write a whole number, without quotes"),
    "int_parsing": ("a whole number", "write a whole number, without quotes"),
    "int_from_float": ("a whole number", "write a whole number, without a fraction"),
    "float_type": ("a number", "write a number, without quotes"),
    "float_parsing": ("a number", "write a number, without quotes"),
    "finite_number": ("a finite number", "write a number, without quotes"),
    "string_type": ("text", "write it in quotes"),
    "dict_type": ("a mapping", "write key: value pairs below it{}"),
    "model_type": ("a mapping", "write key: value pairs below it{}"),
    "model_attributes_type": ("a mapping", "write key: value pairs below it{}"),
    "tuple_type": ("a list", "write it in brackets, for instance [a, b]"),
}

NAMED_FOR_INSTANCE = {
    "pools": "t4: {gpu: t4}",
    "models": "llama3.1:8b: [t4]",
    "aliases": "chat: llama3.1:8b",
    "sites": "rig: {docker: {}}",
}

BOUNDS = {
    "greater_than": "a number above {}",
    "greater_than_equal": "{} or more",
    "less_than": "a number below {}",
    "less_than_equal": "{} or less",
    "string_too_long": "at most {} characters",
    "string_too_short": "at least {} character(s)",
}


@dataclass(frozen=True, kw_only=True)
class Parsed:
    """The outcome of reading one file.

    `config` holds all that could be understood: entries with errors are left out of it, so that the plan can still
    judge the others. It is None only where nothing could be.
    """

    config: FleetConfig | None
    problems: tuple[Problem, ...]


def parse(raw: object) -> Parsed:
    """Read the value of `ollama-fleet:fleet`. Never raises: whatever it is given, problems come back."""
    if not isinstance(raw, Mapping):
        return Parsed(
            config=None,
            problems=(
                error(ROOT, f"the fleet is {shown(raw)}, not a mapping", "write gke, pools, models, ... below it"),
            ),
        )
    secrets = [
        error(
            path(where),
            "a secret stands inside the fleet object, which every reader of the file and of the plan sees",
            "take it out: secrets are ollama-fleet:apiKeys, siteTokens and kubeconfigs, "
            "set with `pulumi config set --secret`",
        )
        for where in _secure_values(raw)
    ]
    if secrets:
        return Parsed(config=None, problems=tuple(secrets))
    config: FleetConfig | None
    details: list[ErrorDetails] = []
    try:
        config = FleetConfig.model_validate(raw)
    except ValidationError as refused:
        details = refused.errors(include_url=False, include_input=False)
        config = _without_broken(raw, details)
    problems = [_problem(raw, detail) for detail in details]
    if config is not None and not any(section in raw and not isinstance(raw[section], Mapping) for section in NAMED):
        # a section that is no mapping has no names, and every reference to them would be one more error
        problems += references.check(config, known=_names(raw))
    return Parsed(config=config, problems=tidy(problems))


def tidy(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """Errors first, then by place, none twice, and nothing in them that could be a secret."""
    return tuple(
        sorted(
            {
                replace(
                    problem,
                    place=without_secrets(problem.place),
                    message=without_secrets(problem.message),
                    remedy=without_secrets(problem.remedy),
                )
                for problem in problems
            }
        )
    )


def _secure_values(value: object, where: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Places of Pulumi's `secure: v1:...` mappings."""
    if isinstance(value, Mapping):
        if set(value) == {"secure"} and isinstance(value["secure"], str):
            yield where
            return
        for key, inner in value.items():
            yield from _secure_values(inner, (*where, str(key)))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _secure_values(inner, (*where, index))


def _names(raw: Mapping[str, Any]) -> dict[str, frozenset[str]]:
    """The names that the file declares in each section, broken entries too; under "" the sections themselves."""
    return {"": frozenset(str(section) for section, value in raw.items() if value is not None)} | {
        section: frozenset(str(name) for name in entries)
        if isinstance(entries := raw.get(section), Mapping)
        else frozenset()
        for section in NAMED
    }


def _without_broken(raw: Mapping[str, Any], details: Sequence[ErrorDetails]) -> FleetConfig | None:
    """The config less the entries that were refused."""
    kept = {key: dict(value) if key in NAMED and isinstance(value, Mapping) else value for key, value in raw.items()}
    for detail in details:
        section, *rest = detail["loc"] or ("",)
        if section == "gke":
            # without the cluster there is no price to hold against it
            kept.pop("budget", None)
        if section in NAMED and rest and isinstance(kept.get(str(section)), dict):
            kept[str(section)].pop(rest[0], None)
        else:
            kept.pop(str(section), None)
    try:
        return FleetConfig.model_validate(kept)
    except ValidationError:
        return None


def _problem(raw: Mapping[str, Any], detail: ErrorDetails) -> Problem:
    location = [part for part in detail["loc"] if part != "[key]"]
    value = location[-1] if "[key]" in detail["loc"] else _value(raw, location)
    context = detail.get("ctx", {})
    match detail["type"]:
        case "fleet":
            message, remedy = context["message"], context["remedy"]
        case "extra_forbidden":
            message, remedy = _unknown_key(location)
        case "missing":
            message = f"the key {location[-1]} is missing"
            remedy = f"add {location[-1]}: {_meaning(location)}".rstrip(": ")
        case "literal_error":
            message = f"{shown(value)} is not one of {context['expected']}"
            remedy = f"write {context['expected']}"
        case kind if kind in BOUNDS:
            word, bound = BOUNDS[kind], next(iter(context.values()))
            message = f"{shown(value)} is out of bounds"
            remedy = f"write {word.format(bound)}"
        case "string_pattern_mismatch":
            message = f"{shown(value)} does not have the form that is wanted here"
            remedy = _meaning(location) or "use lower-case letters, digits and -"
        case kind if kind in EXPECTED:
            what, remedy = EXPECTED[kind]
            remedy = remedy.format(_pairs(location, named=kind == "dict_type"))
            message = f"{shown(value)} is not {what}"
        case _:
            message = f"{shown(value)} is refused: {detail['msg'][:1].lower()}{detail['msg'][1:]}"
            remedy = _meaning(location) or "see `fleet schema` for what may stand here"
    return error(path(_as_written(raw, location)), message, remedy)


def _value(raw: object, location: Sequence[str | int]) -> object:
    for part in location:
        indexed = isinstance(raw, list) and isinstance(part, int) and part < len(raw)
        if indexed or (isinstance(raw, Mapping) and part in raw):
            raw = raw[part]  # type: ignore[index]
        # else a short form: a list given for a model stands for its pools, `0..2` for min and max
    return raw


def _as_written(raw: object, location: Sequence[str | int]) -> list[str | int]:
    """The place without the keys that a short form leaves out: `[t4]` has no `pools`, a split no `targets`."""
    written: list[str | int] = []
    for index, part in enumerate(location):
        if isinstance(raw, Mapping):
            if location[0] == "aliases" and index == 2 and part not in raw:
                continue
            written.append(part)
            raw = raw.get(part)
        elif isinstance(part, int):
            written.append(part)
            raw = raw[part] if isinstance(raw, list) and part < len(raw) else None
        elif raw is None:
            written.append(part)
    return written


def _unknown_key(location: Sequence[str | int]) -> tuple[str, str]:
    section = _section_at(location[:-1])
    keys = sorted(field.alias or name for name, field in section.model_fields.items()) if section else []
    unknown = str(location[-1])
    nearest = get_close_matches(unknown, keys, n=1, cutoff=0.5) or get_close_matches(
        unknown.lower(), [key.lower() for key in keys], n=1, cutoff=0.5
    )
    known = f"known here: {', '.join(keys)}" if keys else "take it out"
    found = next((key for key in keys if nearest and key.lower() == nearest[0].lower()), None)
    return f"unknown key {shown(unknown)}", f"did you mean {found}? {known}" if found else known


def _pairs(location: Sequence[str | int], *, named: bool) -> str:
    """What may stand in the mapping at this place, `named` where its keys are names of the owner's."""
    if len(location) == 1 and location[0] in NAMED:
        return f", for instance {NAMED_FOR_INSTANCE[str(location[0])]}"
    section = _section_at(location)
    keys = sorted(field.alias or name for name, field in section.model_fields.items()) if section else []
    if keys and named:
        return f": NAME: {{}}, and between its brackets what you want of {', '.join(keys)}"
    return f": {', '.join(keys)}" if keys else ""


def _meaning(location: Sequence[str | int]) -> str:
    """The description of the key at this place, as `fleet schema` has it."""
    section = _section_at(location[:-1])
    for name, field in (section.model_fields if section else {}).items():
        if location and location[-1] in (name, field.alias):
            return field.description or ""
    return ""


def _section_at(location: Sequence[str | int]) -> type[BaseModel] | None:
    """The model whose keys stand at `location`."""
    section: type[BaseModel] | None = FleetConfig
    named = False  # whether the next part is a name or an index rather than a key
    for part in location:
        if named:
            named = False
            continue
        if section is None:
            return None
        field = next((f for name, f in section.model_fields.items() if part in (name, f.alias)), None)
        if field is None:
            return None
        section, named = _inner(field.annotation)
    return section


def _inner(annotation: Any) -> tuple[type[BaseModel] | None, bool]:
    """The model inside dict[str, Model], tuple[Model, ...], Model | None; and whether a name stands before it."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return _inner(get_args(annotation)[0])
    if origin is dict:
        return _inner(get_args(annotation)[1])[0], True
    if origin is tuple:
        return _inner(get_args(annotation)[0])[0], True
    if origin in (Union, types.UnionType):
        found = [_inner(option) for option in get_args(annotation)]
        return next((pair for pair in found if pair[0] is not None), (None, False))
    return (annotation, False) if isinstance(annotation, type) and issubclass(annotation, BaseModel) else (None, False)
