"""Modelfiles at planning time: inputs filled in, and what they are derived from."""

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches

from infra.config import FleetConfig, Model, place
from infra.names import canonical_model
from infra.problem import Problem, error

INPUT = re.compile(r"\{inputs\.([A-Za-z0-9_]+)\}")
FROM = re.compile(r"^\s*FROM\s+(\S+)\s*$", re.IGNORECASE | re.MULTILINE)
ADDRESS = re.compile(r"https://[A-Za-z0-9.-]+(:[0-9]{1,5})?/[!#-~]+")
"""Without user and password, which would be a secret in the file."""
HALF_A_CHARACTER = re.compile("[\ud800-\udfff]")
LOAD_OPTION = re.compile(r"^\s*PARAMETER\s+(num_ctx|num_gpu|main_gpu|num_batch)\b", re.IGNORECASE | re.MULTILINE)
"""Options that decide how a model is loaded, and with it its memory."""


@dataclass(frozen=True, kw_only=True)
class Derived:
    """A model made from a Modelfile: its text with every input filled in, and its FROM."""

    text: str
    base: str

    @property
    def base_is_file(self) -> bool:
        """Whether FROM names weights in a file or at a URL instead of a model."""
        return self.base.startswith((".", "/", "http://", "https://"))

    @property
    def base_is_address(self) -> bool:
        """Whether the weights are downloaded from a URL."""
        return bool(ADDRESS.fullmatch(self.base))


def derive(config: FleetConfig) -> tuple[dict[str, Derived], list[Problem]]:
    """Every model with a Modelfile, and what is wrong with those that could not be read."""
    derived: dict[str, Derived] = {}
    problems: list[Problem] = []
    for name, model in sorted(config.models.items()):
        if model.modelfile is None:
            continue
        text = filled(model)
        found = [*_check_inputs(name, model, model.modelfile), *_check(name, model, text)]
        problems += found
        if (base := FROM.search(text)) and not found:
            derived[name] = Derived(text=text if text.endswith("\n") else text + "\n", base=base[1])
    circles = list(_cycles(derived))
    for name, _ in circles:
        del derived[name]
    return derived, [*problems, *(problem for _, problem in circles)]


def filled(model: Model) -> str:
    """The Modelfile with every input that has a value filled in."""
    return INPUT.sub(lambda match: model.inputs.get(match[1], match[0]), model.modelfile or "")


def _check(name: str, model: Model, text: str) -> Iterator[Problem]:
    here = place("models", name, "modelfile")
    base = FROM.search(text)
    if not base:
        yield error(here, "the Modelfile has no FROM", "begin it with FROM and a model, for instance FROM llama3.2:3b")
    elif (made := Derived(text=text, base=base[1])).base_is_address:
        if model.digest is None:
            yield error(
                place("models", name, "digest"),
                "FROM names an address, and nothing says what has to come from there",
                "write digest: and the sha256 of the file, 64 hex digits",
            )
    elif made.base_is_file and not made.base.startswith("./"):
        yield error(
            here,
            "FROM names a path outside the pool's own files, or an address that is not https://HOST/FILE.gguf",
            "write that address without a password in it, ./FILE.gguf for one in the folder models/files of the pool's "
            "volume, or name a model of a registry, hf.co/USER/MODEL:TAG included",
        )
    elif made.base_is_file and ".." in made.base.split("/"):
        yield error(here, "FROM leaves the folder of the pool's own files", "write ./FILE.gguf")
    if HALF_A_CHARACTER.search(text):
        yield error(
            here, "it has half of a character (a lone surrogate), which no file can hold", "write the whole one"
        )
    if option := LOAD_OPTION.search(text):
        yield error(
            here,
            f"the Modelfile sets {option[1]}, which the plan would not know of",
            f"take it out and write context: N in {place('models', name)}"
            if option[1].lower() == "num_ctx"
            else "take it out",
        )
    if model.digest is not None and not (base and Derived(text=text, base=base[1]).base_is_file):
        yield error(
            place("models", name, "digest"),
            "a digest pins what is pulled, and this model is made from its Modelfile",
            "take it out here, and write it at the model that FROM names",
        )


def _check_inputs(name: str, model: Model, text: str) -> Iterator[Problem]:
    here = place("models", name, "modelfile")
    used = set(INPUT.findall(text))
    unused = set(model.inputs) - used
    for missing in sorted(used - set(model.inputs)):
        nearest = get_close_matches(missing, sorted(unused), n=1)
        unused -= set(nearest)  # one slip of the pen, one error
        yield error(
            here,
            f"{{inputs.{missing}}} has no value",
            f"did you mean {{inputs.{nearest[0]}}}?" if nearest else f"add inputs: {{{missing}: VALUE}}",
        )
    for spare in sorted(unused):
        yield error(
            place("models", name, "inputs", spare),
            f"the Modelfile has no {{inputs.{spare}}}",
            "use it there, or take the input out",
        )


def _cycles(derived: Mapping[str, Derived]) -> Iterator[tuple[str, Problem]]:
    by_name = {canonical_model(name): name for name in derived}
    for name in derived:
        seen, current = [name], by_name.get(canonical_model(derived[name].base))
        while current is not None and current not in seen:
            seen.append(current)
            current = by_name.get(canonical_model(derived[current].base))
        if current == name:
            yield (
                name,
                error(
                    place("models", name, "modelfile"),
                    f"FROM goes round in a circle: {' > '.join([*seen, name])}",
                    "begin one of them with a model of the registry"
                    if len(seen) > 1
                    else "give what is made from a model a name of its own",
                ),
            )


def root(name: str, derived: Mapping[str, Derived]) -> str:
    """The model at the end of the FROMs, whose weights `name` has; one that is made of a file ends them too.

    Stops at a circle, which `derive` reports.
    """
    by_name = {canonical_model(model): model for model in derived}
    seen: set[str] = set()
    while name in derived and name not in seen and not derived[name].base_is_file:
        seen.add(name)
        base = derived[name].base
        name = by_name.get(canonical_model(base), base)
    return name


def made_from(name: str, derived: Mapping[str, Derived], declared: Collection[str]) -> list[str]:
    """`name` behind everything declared that it is made from, in the order in which it can be made."""
    if name not in derived:
        return [name]
    by_name = {canonical_model(model): model for model in declared}
    chain = [name]
    while chain[-1] in derived and (base := by_name.get(canonical_model(derived[chain[-1]].base))) not in (
        None,
        *chain,
    ):
        chain.append(str(base))
    return chain[::-1]


def in_order(names: list[str], derived: Mapping[str, Derived]) -> list[str]:
    """`names`, each behind the ones it is made from."""
    by_name = {canonical_model(name): name for name in names}
    ordered: list[str] = []

    def visit(name: str, trail: tuple[str, ...]) -> None:
        base = by_name.get(canonical_model(derived[name].base)) if name in derived else None
        if base is not None and base not in trail:
            visit(base, (*trail, name))
        if name not in ordered:
            ordered.append(name)

    for name in names:
        visit(name, (name,))
    return ordered
