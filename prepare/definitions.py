"""The ConfigMap of a pool's model definitions, and the script that reads it."""

from collections.abc import Sequence
from pathlib import Path

from infra.names import key
from infra.plan.model import Prepared

LIST = "models.tsv"
NO_DIGEST = "-"


def definitions(prepared: Sequence[Prepared]) -> dict[str, str]:
    """The data of the ConfigMap: `models.tsv`, one entry a line in order, and the Modelfiles that it names.

    Equal models give equal data. Raises ValueError for two Modelfiles of one name, since only the last would hold.
    """
    files: dict[str, str] = {}
    lines = []
    for model in prepared:
        source = model.source
        if model.action == "create":
            source = f"{key(model.name)}.modelfile"
            if source in files:
                raise ValueError(f"{model.name} has two Modelfiles")
            files[source] = model.source
        lines.append("\t".join((model.action, model.name, source, model.digest or NO_DIGEST)) + "\n")
    return {LIST: "".join(lines), **files}


def script() -> str:
    """The text of `prepare.sh`."""
    return Path(__file__).with_name("prepare.sh").read_text(encoding="utf-8")
