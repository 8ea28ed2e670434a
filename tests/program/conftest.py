"""Recordings of every stack, made once a session."""

from collections.abc import Callable
from functools import cache

import pytest

from tests.program.programs import EXAMPLES, HERE, Program, fleet_of, program

STACKS = ("dev", *EXAMPLES, *HERE)


@cache
def _program(name: str) -> Program:
    return program(fleet_of(name), stack=name)


@pytest.fixture(scope="session")
def program_of() -> Callable[[str], Program]:
    """The program of a stack by name; each is run once."""
    return _program


@pytest.fixture(params=STACKS, scope="session")
def each(request: pytest.FixtureRequest) -> Program:
    """The program of each stack in turn."""
    return _program(request.param)


@pytest.fixture(scope="session")
def dev() -> Program:
    """The program of the dev stack."""
    return _program("dev")
