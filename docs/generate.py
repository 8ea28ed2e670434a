"""Writes docs/reference.md from what is read: the typed file, the command line and the Makefile.

`.venv/bin/python docs/generate.py` renews the page; a test holds that it is current.
"""

import argparse
import json
import re
import sys
import typing
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "reference.md"
sys.path.insert(0, str(ROOT))

from infra.__main__ import parser  # noqa: E402
from infra.catalogue import load  # noqa: E402
from infra.config import FleetConfig  # noqa: E402
from infra.config.model import Alias  # noqa: E402

WRITTEN_OTHERWISE = (Alias,)
"""Sections that are never written with their own keys."""
HEAD = """# Reference

<!-- Written by docs/generate.py: edit the docstrings and help texts that it reads. -->

Every key of `ollama-fleet:fleet`, every command, every target of the Makefile. Sizes are written `64Gi` or `500Mi`,
times `90s`, `5m` or `2h`; a number alone is bytes or seconds. Keys that this version does not act on are told of by
`fleet plan`.

"""


def render() -> str:
    """The whole page."""
    cards = ", ".join(f"`{name}`" for name in load().gpus)
    parts = [HEAD, "## Keys\n", *_sections("", FleetConfig), f"\nGPUs of the catalogue: {cards}.\n"]
    return "".join([*parts, "\n## Commands\n\n", *_commands(), "\n## make\n\n", *_targets()])


def _sections(path: str, section: type[BaseModel]) -> Iterator[str]:
    """The table of a section, and of all below it."""
    schema = section.model_json_schema(by_alias=True)
    title = f"`{path}`" if path else "fleet"
    yield f"\n### {title}\n\n{_one_line(section.__doc__)}\n\n| Key | Value | Default | |\n|---|---|---|---|\n"
    below = []
    for name, field in section.model_fields.items():
        key = field.alias or name
        about = schema["properties"][key]
        default = "" if "$ref" in about else _default(about.get("default"))
        needed = " (needed)" if field.is_required() else ""
        yield f"| `{key}`{needed} | {_value(about, schema)} | {default} | {_one_line(field.description)} |\n"
        many = typing.get_origin(_bare(field.annotation)) in (dict, tuple)
        ending = "" if not many else ".NAME" if typing.get_origin(_bare(field.annotation)) is dict else "[]"
        below += [(f"{path}.{key}{ending}".lstrip("."), one) for one in _models(field.annotation)]
    for inner, one in below:
        if one not in WRITTEN_OTHERWISE:
            yield from _sections(inner, one)


def _bare(annotation: Any) -> Any:
    """An annotation without Annotated and without None."""
    while typing.get_origin(annotation) is typing.Annotated:
        annotation = typing.get_args(annotation)[0]
    return annotation


def _models(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in typing.get_args(annotation) for model in _models(part)]


def _value(about: Mapping[str, Any], schema: Mapping[str, Any]) -> str:
    """What may stand there, in words."""
    if "$ref" in about:
        return "a mapping, below"
    if "enum" in about or "const" in about:
        return ", ".join(f"`{one}`" for one in about.get("enum", [about.get("const")]))
    if "anyOf" in about:
        words = [_value(one, schema) for one in about["anyOf"] if one.get("type") != "null"]
        return " or ".join(dict.fromkeys(words))
    kind = about.get("type")
    if kind == "array":
        return f"list: {_value(about.get('items', {}), schema)}"
    if kind == "object":
        inner = about.get("additionalProperties")
        return f"name: {_value(inner, schema)}" if isinstance(inner, dict) else "a mapping"
    if kind == "integer" and "minimum" in about:
        return f"{about['minimum']:,} to {about['maximum']:,}" if "maximum" in about else f"from {about['minimum']}"
    return {"boolean": "`true`, `false`", "string": "text", "integer": "number", "number": "number"}.get(str(kind), "")


def _default(value: Any) -> str:
    if type(value) is int and value and value % 2**20 == 0:
        return f"`{value >> 20}Mi`"
    return "" if value in (None, [], {}) else f"`{json.dumps(value, ensure_ascii=False)}`".replace('"', "")


def _one_line(text: str | None) -> str:
    return " ".join((text or "").split()).replace("|", "\\|")


def _commands() -> Iterator[str]:
    whole = parser()
    (commands,) = [one for one in whole._actions if isinstance(one, argparse._SubParsersAction)]
    for name, command in commands.choices.items():
        words = [one.metavar or one.dest for one in command._actions if not one.option_strings]
        yield f"### fleet {' '.join([name, *map(str, words)])}\n\n"
        about = _one_line(command.description)
        yield f"{about[:1].upper()}{about[1:]}.\n\n"
        options = [f"| {_option(one)} | {_one_line(one.help)} |\n" for one in command._actions if one.dest != "help"]
        yield "".join(["| | |\n|---|---|\n", *options, "\n"] if options else [])


def _option(action: argparse.Action) -> str:
    name = ", ".join(action.option_strings) or str(action.metavar or action.dest)
    if action.option_strings and action.nargs != 0:
        name += f" {action.metavar or '{' + ','.join(map(str, action.choices or [action.dest.upper()])) + '}'}"
    return f"`{name}`"


def _targets() -> Iterator[str]:
    yield "| | |\n|---|---|\n"
    for name, help_text in re.findall(r"^([a-z-]+):.*?## (.*)$", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE):
        yield f"| `make {name}` | {_one_line(help_text)} |\n"


if __name__ == "__main__":
    PAGE.write_text(render(), encoding="utf-8")
