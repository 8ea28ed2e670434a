"""Broken files, a module for each subject."""

from tests.unit.broken import (
    cost,
    door,
    google,
    hardware,
    kinds,
    memory,
    models,
    names,
    references,
    scaling,
    secrets,
    shape,
    sites,
    storage,
    values,
)
from tests.unit.broken.case import Case

CASES: tuple[Case, ...] = tuple(
    case
    for subject in (
        cost,
        door,
        google,
        hardware,
        kinds,
        memory,
        models,
        names,
        references,
        scaling,
        secrets,
        shape,
        sites,
        storage,
        values,
    )
    for case in subject.CASES
)
