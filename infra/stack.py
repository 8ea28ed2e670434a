"""Finds and reads stack files: YAML 1.2 into plain values, `extends` merged in. All file access of the plan is here."""

import math
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from infra.config.types import shown
from infra.problem import Problem, error

KEY = "ollama-fleet:fleet"
PROJECT_KEY = "gcp:project"
EXTENDS = "extends"
MOST_BYTES = 8 * 2**20
MOST_VALUES = 200_000
"""Values in one file: anchors can make a small file stand for billions."""
MOST_DEPTH = 60
INDENTATION = "begin the keys of one mapping in the same column, and indent with spaces"
QUOTES = "put the text in quotes"
NO_CERTIFICATE = (
    "check the name, relative to the project's folder; where the site's certificate is not made yet, leave ca out "
    "until it is: `fleet compose` and `fleet manifests --site` print the command"
)
NOT_YAML = (
    (r"character '\\t'", "a tab indents the line", INDENTATION),
    (r"cannot start any token", "no word begins with this character", QUOTES),
    (r"duplicate key", "the same key stands twice in one mapping", "keep one of the two"),
    (r"parsing a flow", "a bracket is not closed, or a comma is missing", "close [ with ], and { with }"),
    (r"quoted scalar", "a quote is not closed", "close it"),
    (r"<block end>", "the line's indentation does not go with the lines above", INDENTATION),
    (r"mapping values are not allowed", "a second `: ` in a line, or wrong indentation", f"{QUOTES}, or {INDENTATION}"),
    (r"undefined alias", "what begins with * names an anchor, and there is none", QUOTES),
    (r"constructor for the tag", "what begins with ! is a tag, and not one of YAML's own", QUOTES),
)
"""What the parser says, and that in the words of the file's writer: its own may quote a secret."""


class UnreadableError(Exception):
    """A file that cannot be read at all; carries the problem to show."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem


@dataclass(frozen=True, kw_only=True)
class Stack:
    """One stack file: the fleet object as plain values, and the other keys of `config`."""

    name: str
    path: Path
    fleet: Any
    settings: Mapping[str, Any]

    @property
    def project(self) -> str | None:
        """The Google Cloud project of the stack."""
        value = self.settings.get(PROJECT_KEY)
        # Pulumi's config knows texts only, and takes `123` for one
        return str(value) if isinstance(value, (str, int)) and not isinstance(value, bool) and value else None


def stacks(folder: Path) -> list[str]:
    """The names of the stacks that have a file in `folder`."""
    found = (path.name.removeprefix("Pulumi.").removesuffix(".yaml") for path in folder.glob("Pulumi.*.yaml"))
    return sorted(name for name in found if name)


def choose(folder: Path, wish: str | None) -> str:
    """The stack to use: the wish, else the only one there is.

    Raises UnreadableError, which lists what there is, where that leaves a choice.
    """
    names = stacks(folder)
    if wish is not None:
        if wish in names:
            return wish
        listed = f"stacks here: {', '.join(names)}" if names else f"there is no Pulumi.<stack>.yaml in {folder}"
        raise UnreadableError(error("--stack", f"there is no stack {shown(wish)}", listed))
    if len(names) == 1:
        return names[0]
    if not names:
        raise UnreadableError(
            error(
                "--stack",
                f"there is no Pulumi.<stack>.yaml in {folder}",
                "run this in the project's folder, or write one",
            )
        )
    raise UnreadableError(
        error(
            "--stack", "several stacks are here", f"choose one: --stack {' | '.join(names)}; with make STACK={names[0]}"
        )
    )


def read(folder: Path, name: str) -> Stack:
    """The stack file of that name. Raises UnreadableError with the place in the file."""
    path = folder / f"Pulumi.{name}.yaml"
    config = _config(load_yaml(path), path.name)
    settings = {key: value for key, value in config.items() if key != KEY}
    return Stack(name=name, path=path, fleet=extended(config[KEY], folder), settings=settings)


def _config(content: Any, name: str) -> dict[str, Any]:
    """What stands below `config`, with the fleet in it."""
    outer = content if isinstance(content, dict) else {}
    config = outer.get("config")
    if KEY in outer:
        raise UnreadableError(error(name, f"{KEY} stands beside config, not below it", "indent it"))
    if not isinstance(config, dict):
        raise UnreadableError(error(name, "the file has no config", f"write config: and below it {KEY}:"))
    if EXTENDS in outer or EXTENDS in config:
        raise UnreadableError(error(name, f"extends stands outside {KEY}", "write it inside, beside pools and models"))
    if KEY not in config:
        nearest = get_close_matches(KEY, list(config), n=1)
        remedy = f"write {KEY}: in place of {shown(nearest[0])}" if nearest else f"write {KEY}: below config"
        raise UnreadableError(error(name, f"config has no {KEY}", remedy))
    return config


def load_yaml(path: Path) -> Any:
    """A YAML 1.2 file as plain JSON values (`no` and `on` are words). Raises UnreadableError."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    text = read_text(path, "name a file of stack or fleet keys")
    yaml = YAML(typ="safe", pure=True)
    yaml.composer.warn_double_anchors = False  # the warning would print lines of the file
    try:
        tree = yaml.compose(text)
        if tree is None:
            return None
        size, depth = _extent(tree, {})
        if size > MOST_VALUES or depth > MOST_DEPTH:
            raise UnreadableError(
                error(path.name, "the file is too large or too deep", "check its anchors and aliases")
            )
        return _plain(yaml.constructor.construct_document(tree), path.name)
    except MarkedYAMLError as failure:
        mark = failure.problem_mark or failure.context_mark
        where = f"{path.name}:{mark.line + 1}:{mark.column + 1}" if mark else path.name
        cause, remedy = _in_plain_words(f"{failure.context or ''} {failure.problem or ''}")
        raise UnreadableError(error(where, f"this is not YAML: {cause}", remedy)) from None
    except (YAMLError, ValueError, RecursionError, OverflowError, TypeError, AttributeError, KeyError, AssertionError):
        raise UnreadableError(
            error(path.name, "this is not YAML that can be read", "check it with any YAML linter")
        ) from None


def read_text(path: Path, remedy: str, missing: str = "check the name, relative to the project's folder") -> str:
    """The text of a file of ours: not one without end, and none that waits for its writer. Raises UnreadableError."""
    try:
        if not path.is_dir() and path.exists() and not path.is_file():
            raise UnreadableError(error(path.name, "it is not a plain file", remedy))
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
        if len(content) > MOST_BYTES:
            raise UnreadableError(error(path.name, f"the file has more than {MOST_BYTES >> 20} MiB", remedy))
        return content.decode("utf-8")
    except FileNotFoundError:
        raise UnreadableError(error(path.name, "there is no such file", missing)) from None
    except (OSError, ValueError) as failure:
        reason = failure.strerror if isinstance(failure, OSError) else "it is not UTF-8 text"
        raise UnreadableError(error(path.name, f"the file cannot be read: {reason}", "mend the file")) from None


def _in_plain_words(message: str) -> tuple[str, str]:
    """Cause and remedy of a parser's message, with nothing of the file in them."""
    for pattern, cause, remedy in NOT_YAML:
        if re.search(pattern, message):
            return cause, remedy
    what = re.split("['\"]", message, maxsplit=1)[0].strip().splitlines()
    return (what[0] if what else "the parser does not say why"), "check it with any YAML linter"


def _extent(node: Any, known: dict[int, tuple[int, int]]) -> tuple[int, int]:
    """How many values a node stands for once every alias and merge key is followed, and how deep they lie.

    Reckoned on the nodes, each once: ruamel follows merge keys by copying, which a small file can make endless.
    """
    if id(node) not in known:
        known[id(node)] = (MOST_VALUES + 1, MOST_DEPTH + 1)  # for a node inside itself
        inner = node.value if isinstance(node.value, list) else []
        extents = [_extent(one, known) for item in inner for one in (item if isinstance(item, tuple) else (item,))]
        known[id(node)] = (
            1 + sum(size for size, _ in extents),
            1 + max((depth for _, depth in extents), default=0),
        )
    return known[id(node)]


def _plain(value: Any, name: str) -> Any:
    """Only JSON's types."""
    if isinstance(value, Mapping):
        plain = {_key(key): _plain(item, name) for key, item in value.items()}
        if len(plain) < len(value):
            twice = next(key for key, number in Counter(map(_key, value)).items() if number > 1)
            raise UnreadableError(
                error(name, f"the key {shown(twice)} stands twice, with quotes and without", "keep one of the two")
            )
        return plain
    if isinstance(value, (list, tuple, set)):
        return [_plain(item, name) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value if value is None or isinstance(value, (str, bool, int, float)) else str(value)


def _key(key: Any) -> str:
    if key is None:
        return "null"
    if isinstance(key, bool):
        return str(key).lower()
    return key.isoformat() if isinstance(key, date) else str(key)


def extended(fleet: Any, folder: Path) -> Any:
    """`fleet` over the file that its `extends` names, and that one over its own.

    Mappings merge, everything else is replaced. Paths are relative to the file that names them.
    """
    seen: list[Path] = []
    layers = [_with_certificates(fleet, folder)]
    while isinstance(layers[-1], dict) and EXTENDS in layers[-1]:
        named = layers[-1][EXTENDS]
        if not isinstance(named, str) or not named:
            raise UnreadableError(error("fleet.extends", f"{shown(named)} is not a path", "name one YAML file"))
        try:
            path = (folder / named).resolve()
        except (OSError, ValueError, RuntimeError):
            raise UnreadableError(
                error("fleet.extends", f"{shown(named)} is not a path", "name one YAML file")
            ) from None
        if path in seen:
            raise UnreadableError(error("fleet.extends", f"{path.name} extends itself", "take one extends out"))
        seen.append(path)
        base = load_yaml(path)
        if not isinstance(base, dict):
            raise UnreadableError(
                error("fleet.extends", f"{path.name} is not a mapping", "write fleet keys (pools, models, ...) in it")
            )
        if "config" in base:
            raise UnreadableError(
                error(
                    "fleet.extends",
                    f"{path.name} is a whole stack file",
                    f"write in it what stands below {KEY} (pools, models, ...), without config:",
                )
            )
        folder = path.parent
        layers.append(_with_certificates(base, folder))
    merged = layers.pop()
    while layers:
        merged = _merge(merged, layers.pop())
    return {key: value for key, value in merged.items() if key != EXTENDS} if isinstance(merged, dict) else merged


def _with_certificates(layer: Any, folder: Path) -> Any:
    """The layer with the text of each file that a site's `ca` names."""
    sites = layer.get("sites") if isinstance(layer, dict) else None
    if not isinstance(sites, dict):
        return layer
    read = {
        name: {**site, "ca": read_text(folder / site["ca"], "name a certificate in PEM form", NO_CERTIFICATE)}
        for name, site in sites.items()
        if isinstance(site, dict) and isinstance(site.get("ca"), str) and site["ca"] and "\n" not in site["ca"]
    }
    return {**layer, "sites": {**sites, **read}}


def _merge(under: Any, over: Any) -> Any:
    if not (isinstance(under, dict) and isinstance(over, dict)):
        return over
    return {
        key: _merge(under[key], over[key]) if key in under and key in over else over.get(key, under.get(key))
        for key in {**under, **over}
    }
