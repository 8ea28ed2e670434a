"""The ConfigMap of a pool's model definitions, and the shell that reads them."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from infra.names import fingerprint, key
from infra.plan import containers
from infra.plan.model import HostNeeds, PoolPlan, Prepared

LIST = "models.tsv"
DECLARED = "declared.tsv"
NO_DIGEST = "-"
SHELL = Path(__file__).with_name("shell")


def definitions(
    prepared: Sequence[Prepared], elsewhere: Mapping[str, Sequence[Prepared]] | None = None
) -> dict[str, str]:
    """The data of a pool's ConfigMap: `models.tsv`, one entry a line in order, and the Modelfiles that it names.

    `declared.tsv` has the steps that would make each model of `elsewhere` here, behind that model's name. Equal models
    give equal data. Raises ValueError for two Modelfiles of one name, since only the last would hold.
    """
    files: dict[str, str] = {}
    own = [_line(model, files) for model in prepared]
    others = [
        f"{name}\t{_line(step, files, prefix='declared-')}"
        for name, steps in (elsewhere or {}).items()
        for step in steps
    ]
    return {LIST: "".join(own), DECLARED: "".join(others), **files}


def _line(model: Prepared, files: dict[str, str], *, prefix: str = "") -> str:
    source = model.source or NO_DIGEST
    if model.action == "create":
        source = f"{prefix}{key(model.name)}.modelfile"
        if files.setdefault(source, model.source) != model.source:
            raise ValueError(f"{model.name} has two Modelfiles")
    return "\t".join((model.action, model.name, source, model.digest or NO_DIGEST)) + "\n"


def scripts() -> dict[str, str]:
    """Name -> text of the shell that pods mount; `prepare.sh` is the one to call, and it reads the others."""
    return {path.name: path.read_text(encoding="utf-8") for path in sorted(SHELL.glob("*.sh"))}


def command(mode: str, *arguments: str) -> list[str]:
    """What a container that mounts the scripts runs."""
    return ["/bin/sh", f"{containers.PREPARE}/prepare.sh", mode, *arguments]


def one_script() -> str:
    """`prepare.sh` with the others in it, for whoever mounts one file."""
    files = scripts()
    whole = re.sub(r'(?m)^\. "\$here/(.+)"$', lambda source: files[source[1]].rstrip(), files["prepare.sh"])
    return re.sub(r"(?m)^# shellcheck .*\n|^here=.*\n", "", whole)


def preparation(pool: PoolPlan, server: str) -> dict[str, str]:
    """The environment of `init` and `watch`; `server` is where the pool's Ollama answers them."""
    return {
        **pool.pull_environment,
        "FLEET_LOADING": pool.loading,
        "FLEET_POOL": pool.name,
        "FLEET_PROOF": pool.gpu_proof,
        "OLLAMA_HOST": server,
        "OLLAMA_NO_CLOUD": "1",
        "PULL_DEADLINE": str(pool.pull_deadline),
    }


def proof(pool: PoolPlan) -> dict[str, str]:
    """The environment by which `serve` and the probes know what to prove of the GPU, and what the machine must have."""
    floor = pool.runtime.driver_floor
    known = {"FLEET_DRIVER_FLOOR": f"{floor[0]} {floor[1]}"} if floor and pool.gpu_proof != "none" else {}
    return {"FLEET_PROOF": pool.gpu_proof, **known, **verification(pool.needs)}


def verification(needs: HostNeeds) -> dict[str, str]:
    """The environment by which `verify` and `serve` know what the machine must have; empty where it needs nothing."""
    if not needs.cards:
        return {}
    most = str(needs.most_driver) if needs.most_driver else ""
    within = f"{needs.least_driver}-{most}" if needs.least_driver or most else ""
    if needs.least_driver == needs.most_driver:
        within = f"{most}."
    found = {
        "FLEET_CARDS": ";".join(
            f"{cards.count}|{cards.title}|{_no_bars(cards.product)}|{','.join(cards.pci)}" for cards in needs.cards
        ),
        "FLEET_DRIVER": needs.driver or within,
        "FLEET_DRIVER_LOG": needs.driver_log,
        "FLEET_MODULES": needs.modules,
        "FLEET_UVM": "1" if needs.maps_uvm else "",
    }
    return {name: value for name, value in found.items() if value}


def _no_bars(expression: str) -> str:
    """The shell parts its fields at bars, which an expression has for alternatives."""
    return expression.replace("|", "!")


def scripts_hash() -> str:
    """Changes when any of the scripts does."""
    return fingerprint("".join(scripts().values()))
