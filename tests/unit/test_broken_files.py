"""Every broken file is refused (or warned of) at its place, with the cause and a remedy, and with nothing secret."""

import copy
import re
from typing import Any

import pytest

from infra.problem import Problem, Severity
from tests.unit.broken import CASES
from tests.unit.broken.case import DROP, SECRETS, Case
from tests.unit.conftest import GOOD, decide

GOOD_PROBLEMS = frozenset(decide(GOOD).problems)


def changed(case: Case) -> Any:
    """The good file with the changes of the case."""
    fleet: Any = copy.deepcopy(GOOD)
    for path, value in case.changes.items():
        if not path:
            return value
        *parents, last = path.split("/")
        inner = fleet
        for part in parents:
            inner = inner.setdefault(part, {})
        if value is DROP:
            del inner[last]
        else:
            inner[last] = value
    return fleet


def is_meant(case: Case, problem: Problem) -> bool:
    def holds(piece: str, text: str) -> bool:
        return any(option in text for option in piece.split("|"))

    return (
        problem.severity == case.severity
        and (problem.place == case.place or problem.place.startswith(f"{case.place}."))
        and holds(case.message, problem.message)
        and holds(case.remedy, problem.remedy)
    )


def listed(problems: Any) -> str:
    return "\n".join(f"{one.severity} {one.place} | {one.message} | {one.remedy}" for one in sorted(problems))


def test_the_good_file_has_no_errors() -> None:
    assert not [one for one in GOOD_PROBLEMS if one.severity is Severity.ERROR]


def test_there_are_a_hundred_broken_files_and_no_title_twice() -> None:
    assert len(CASES) >= 100
    assert len({case.title for case in CASES}) == len(CASES)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.title)
def test_a_broken_file_names_place_cause_and_remedy(case: Case) -> None:
    problems = decide(changed(case)).problems
    assert any(is_meant(case, one) for one in problems), listed(problems)


@pytest.mark.parametrize("case", [case for case in CASES if case.alone], ids=lambda case: case.title)
def test_one_cause_gives_one_error(case: Case) -> None:
    errors = {one for one in decide(changed(case)).problems if one.severity is Severity.ERROR}
    assert len(errors) == (1 if case.severity == "error" else 0), listed(errors)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.title)
def test_no_problem_repeats_a_secret(case: Case) -> None:
    for one in decide(changed(case)).problems:
        for secret in SECRETS:
            assert secret not in one.place + one.message + one.remedy


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.title)
def test_every_problem_is_one_line_that_a_terminal_can_show(case: Case) -> None:
    for one in decide(changed(case)).problems:
        assert one.place
        assert one.message
        assert one.remedy or one.severity is Severity.WARNING
        assert not re.search(r"[\x00-\x1f\x7f]", one.place + one.message + one.remedy)


@pytest.mark.parametrize("project", ["123", "My Project", "abc", "a" * 31, "-project", "\x1b[31mred"])
def test_a_project_that_google_would_not_take_is_told(project: str) -> None:
    (problem,) = [one for one in decide(GOOD, project=project).problems if one.severity is Severity.ERROR]
    assert problem.place == "gcp:project"
    assert "is not the id of a Google Cloud project" in problem.message
    assert "\x1b" not in problem.message


def test_a_project_of_an_old_organisation_keeps_its_domain() -> None:
    assert not [one for one in decide(GOOD, project="example.com:my-project").problems if one.severity == "error"]


def test_a_missing_project_is_told_with_the_line_that_sets_it() -> None:
    (problem,) = [one for one in decide(GOOD, project=None).problems if one.severity is Severity.ERROR]
    assert problem.place == "gcp:project"
    assert problem.remedy == "write gcp:project: YOUR-PROJECT-ID below config"
