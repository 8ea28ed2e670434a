"""What is wrong with a file or a plan: one shape for the parser, the decisions and the report."""

from dataclasses import dataclass
from enum import StrEnum

from infra.visible import visible


class Severity(StrEnum):
    """An error stops `up`; a warning is printed and lets it pass."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, kw_only=True, order=True)
class Problem:
    """One thing to mend or to know: where it stands, what is wrong, what to do about it.

    `place` is the path in the stack file, spelled as the file spells it (`fleet.pools.t4.machineType`).
    `remedy` is what the reader types or changes; it may be empty only for a warning that is pure information.
    """

    severity: Severity
    place: str
    message: str
    remedy: str = ""


def error(place: str, message: str, remedy: str) -> Problem:
    """An error always has a remedy: a message without one leaves its reader where they were."""
    return _problem(Severity.ERROR, place, message, remedy)


def warning(place: str, message: str, remedy: str = "") -> Problem:
    """Something that passes, and that the reader should know before `up`."""
    return _problem(Severity.WARNING, place, message, remedy)


def _problem(severity: Severity, place: str, message: str, remedy: str) -> Problem:
    # names of files and of models stand in all three, and Pulumi prints them as they are
    return Problem(severity=severity, place=visible(place), message=visible(message), remedy=visible(remedy))


def has_errors(problems: tuple[Problem, ...] | list[Problem]) -> bool:
    """Whether any of them stops `up`."""
    return any(problem.severity is Severity.ERROR for problem in problems)
