"""`fleet add MODEL --pool P`: a line in the stack file, and what the registry says of the model in fleet.lock.toml."""

import argparse
import sys

from infra import lockfile, registry
from infra import stack as stacks
from infra.commands import common, pin
from infra.config import FleetConfig, Model, parse, place
from infra.config.references import one_of
from infra.names import canonical_model
from infra.plan.build import build
from infra.plan.lock import Lock, Locked
from infra.plan.sources import source
from infra.problem import Problem, Severity, error, has_errors

ASK_AGAIN = "mend the name, or ask again where the registry is reached (HTTPS_PROXY names a proxy)"
HELP = "add a model to a pool: one line in the stack file, its shape, size and digest in fleet.lock.toml"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `fleet add`."""
    common.add_stack_option(parser)
    parser.add_argument("model", metavar="MODEL", help="as `ollama pull` takes it")
    parser.add_argument(
        "--pool",
        metavar="POOL",
        help="where it is served; left out: the pools that hold it are told, or the only one is taken",
    )


def run(arguments: argparse.Namespace) -> int:
    """0; 1 where the model, the pool or the registry does not allow it: then nothing is written."""
    stack = common.read_stack(arguments)
    parsed = parse(stack.fleet)
    config = parsed.config
    if config is None or has_errors(parsed.problems):
        return common.say_errors(parsed.problems)
    name, pools = arguments.model, frozenset(config.pools)
    if canonical_model(name) in {canonical_model(one) for one in [*config.models, *config.aliases]}:
        common.say(_there(name))
        return common.ERRORS
    pool = arguments.pool or (next(iter(pools)) if len(pools) == 1 else None)
    if pool in pools:
        checked = parse({**stack.fleet, "models": {**stack.fleet.get("models", {}), name: [pool]}})
        if has_errors(checked.problems):
            return common.say_errors(checked.problems)
        return _add(stack, config, name, pool)
    common.say(
        error("--pool", f"there is no pool {pool}", one_of(pool, pools, "pools"))
        if pool
        else _proposal(stack, config, name)
    )
    return common.ERRORS


def _there(name: str) -> Problem:
    return error("MODEL", f"{name} is in the file already", "edit its list of pools there")


def _proposal(stack: stacks.Stack, config: FleetConfig, name: str) -> Problem:
    """The pools that hold the model, as the plan finds them: an owner names pools, nobody guesses."""
    wanted = {asked for pool in config.pools.values() if (asked := source(pool, None, name)) is not None}
    lock = lockfile.read(stack.path.parent)
    if len(wanted) == 1:
        # pools with registries of their own may have other models under this name
        (asked,) = wanted
        try:
            _, entry = _looked_up(asked)
        except registry.RegistryError as failure:
            return error("MODEL", f"{failure}; nothing was written", ASK_AGAIN)
        lock = Lock(models={**lock.models, name: entry})
    grown = config.model_copy(update={"models": {**config.models, name: Model()}})
    plan = build(grown, stack=stack.name, project=stack.project, lock=lock)
    here = place("models", name)
    found = next((one for one in plan.problems if one.place == here and one.severity is Severity.ERROR), None)
    remedy = found.remedy if found else one_of("", frozenset(config.pools), "pools")
    return error("--pool", f"no pool is named for {name}, and nothing was written", f"{remedy}; or name one: --pool")


def _looked_up(wanted: str) -> tuple[registry.Found, Locked]:
    """What the registry has, with its shape. Raises RegistryError."""
    found = registry.find(wanted)
    return found, pin.pin(found, None).model_copy(update=vars(registry.header(found, wanted)))


def _add(stack: stacks.Stack, config: FleetConfig, name: str, pool: str) -> int:
    wanted = source(config.pools[pool], None, name)
    if wanted is None:
        common.say(error("--pool", f"pool {pool} has registry: none, so there is nothing to read", "write the line"))
        return common.ERRORS
    try:
        _with_line(stack, name, pool)
        found, entry = _looked_up(wanted)
    except registry.RegistryError as failure:
        common.say(error("MODEL", f"{failure}; nothing was written", ASK_AGAIN))
        return common.ERRORS
    folder = stack.path.parent
    lockfile.lay_over(folder, {name: entry})
    with lockfile.one_at_a_time(folder):
        # read again: the registry took its time, and somebody may have edited the file meanwhile
        lockfile.replace(stack.path, _with_line(stack, name, pool))
    sys.stdout.write(
        f"{name}  {entry.size_gb:.1f} GB  {entry.quantization}  context {entry.max_context}  {found.digest[:12]}\n"
        f"written: {stack.path.name}, {lockfile.NAME}; next: fleet plan --stack {stack.name}\n"
    )
    return common.OK


def _with_line(stack: stacks.Stack, name: str, pool: str) -> str:
    return with_model(stack.path.read_text(encoding="utf-8"), name, pool)


def with_model(text: str, name: str, pool: str) -> str:
    """The stack file with one more line, before the first model; not a byte of the rest changes.

    Raises UnreadableError for a file that has no block of models, or has this one.
    """
    from ruamel.yaml import YAML

    loaded = YAML().load(text)
    models = (loaded.get("config") or {}).get(stacks.KEY, {}).get("models")
    if not models or models.fa.flow_style():
        raise stacks.UnreadableError(
            error(
                "fleet.models",
                "the file has no block of models to add a line to",
                f"write models: and below it {name}: [{pool}]",
            )
        )
    if canonical_model(name) in {canonical_model(str(one)) for one in models}:
        raise stacks.UnreadableError(_there(name))
    line, column = models.lc.key(next(iter(models)))
    lines = text.splitlines(keepends=True)
    lines.insert(line, f"{' ' * column}{name}: [{pool}]\n")
    return "".join(lines)
