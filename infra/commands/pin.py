"""`fleet pin`: what tags stand for today, written into fleet.lock.toml. Asks the registries, changes no stack file."""

import argparse
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from infra import lockfile, registry
from infra.catalogue import load
from infra.commands import common
from infra.config import FleetConfig, parse, place
from infra.names import canonical_model
from infra.plan.lock import Locked
from infra.plan.sources import source
from infra.problem import error, has_errors

State = Literal["new", "moved", "unchanged"]

AGAIN = "run fleet pin again where the registry is reached (HTTPS_PROXY names a proxy), or mend name or registry"
HELP = "write down which digest each tag stands for today, and the shape of a model that the catalogue does not know"


@dataclass(frozen=True, kw_only=True)
class Unreached:
    """A registry that does not answer, said once for all its models."""

    cause: str
    models: list[str]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `fleet pin`."""
    common.add_stack_option(parser)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 where a pin is missing or behind")


def run(arguments: argparse.Namespace) -> int:
    """0; 1 with errors in the file, a registry that does not answer, or (--check) a pin that is missing or behind."""
    stack = common.read_stack(arguments)
    folder = stack.path.parent
    parsed = parse(stack.fleet)
    if parsed.config is None or has_errors(parsed.problems):
        return common.say_errors(parsed.problems)
    known = {canonical_model(name): one for name, one in lockfile.read(folder).models.items()}
    entries: dict[str, Locked] = {}
    unreached: dict[str, Unreached] = {}
    status = common.OK
    for name, wanted in sources(parsed.config).items():
        host = registry.host(wanted)
        if host in unreached:
            unreached[host].models.append(name)
            continue
        try:
            digest, state, entry = _asked(
                parsed.config, name, wanted, known.get(canonical_model(name)), check=arguments.check
            )
        except registry.UnreachableError as failure:
            unreached[host] = Unreached(cause=str(failure), models=[name])
            continue
        except registry.RegistryError as failure:
            common.say(error(place("models", name), str(failure), AGAIN))
            status = common.ERRORS
            continue
        sys.stdout.write(f"{name}  {digest[:12]}  {state}\n")
        if arguments.check:
            status = status if state == "unchanged" else common.ERRORS
        elif entry is not None:
            entries[name] = entry
    if entries:
        lockfile.lay_over(folder, entries)
    return max(status, _say(unreached.values()))


def _say(unreached: Iterable[Unreached]) -> int:
    status = common.OK
    for one in unreached:
        where = place("models", *one.models) if len(one.models) == 1 else place("models")
        common.say(error(where, f"{one.cause}, so nothing is known of {', '.join(one.models)}", AGAIN))
        status = common.ERRORS
    return status


def _asked(
    config: FleetConfig, name: str, wanted: str, locked: Locked | None, *, check: bool
) -> tuple[str, State, Locked | None]:
    """What the tag stands for, how that is to the pin, and what to write down, if anything. Raises RegistryError."""
    pinned = config.models[name].digest or (locked.digest if locked else None)
    found = registry.find(wanted)
    state: State = "new" if pinned is None else "moved" if pinned != found.digest else "unchanged"
    before = locked if state != "moved" else None
    return found.digest, state, None if check else _entry(config, name, found, wanted, before)


def _entry(config: FleetConfig, name: str, found: registry.Found, wanted: str, before: Locked | None) -> Locked | None:
    """What the lock shall say: its digest, where the file has none, and its shape, where nobody else knows it."""
    model, entry = config.models[name], pin(found, before)
    catalogue = load()
    known = {canonical_model(one) for one in (*catalogue.models, *catalogue.latest.tags)}
    described = canonical_model(name) in known or (model.vram is not None and model.disk is not None)
    if not described and entry.shape is None:
        entry = entry.model_copy(update=vars(registry.header(found, wanted)))
    return entry if model.digest is None or not described else None


def sources(config: FleetConfig) -> dict[str, str]:
    """Model -> what is pulled for it, for those that are."""
    return {
        name: wanted
        for name, model in sorted(config.models.items())
        if model.modelfile is None
        and model.pools
        and model.pools[0] in config.pools
        and (wanted := source(config.pools[model.pools[0]], model, name)) is not None
    }


def pin(found: registry.Found, before: Locked | None) -> Locked:
    """The entry for what was found, with the shape that was read for the same digest before."""
    if before is not None:
        return before
    return Locked(
        digest=found.digest,
        size_gb=round(found.size / 10**9, 3) or 0.001,
        source=found.url,
        date=datetime.now(UTC).date(),
    )
