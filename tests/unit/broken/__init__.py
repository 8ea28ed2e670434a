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

SUBJECTS = (cost, door, google, hardware, kinds, memory, models, names, references, scaling, secrets, shape,
            sites, storage, values)  # fmt: skip
CASES: tuple[Case, ...] = tuple(case for subject in SUBJECTS for case in subject.CASES)
