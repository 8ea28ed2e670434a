"""What a test does without an outside program that it needs."""

import os
from typing import NoReturn

import pytest


def leave_out(remedy: str) -> NoReturn:
    """Skip, or fail where CI wants every tier."""
    if os.environ.get("OLLAMA_FLEET_REQUIRE_TIERS") == "1":
        pytest.fail(remedy, pytrace=False)
    pytest.skip(remedy)
