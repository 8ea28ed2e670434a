"""Loading the SDKs: without the garbage collector, which looks at what was loaded no more."""

import gc
import sys
from collections.abc import Iterator

import pytest

from infra.loading import loading


@pytest.fixture(autouse=True)
def _thawed() -> Iterator[None]:
    yield
    gc.enable()
    gc.unfreeze()


@pytest.fixture
def _nothing_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "components.program", raising=False)


@pytest.mark.usefixtures("_nothing_loaded")
def test_what_is_loaded_is_never_looked_through_and_what_comes_after_it_is() -> None:
    with loading():
        assert not gc.isenabled()
        made = [object()]
    assert gc.isenabled()
    assert not any(one is made for one in gc.get_objects())
    after = [object()]
    assert any(one is after for one in gc.get_objects())


@pytest.mark.usefixtures("_nothing_loaded")
def test_a_program_that_is_refused_leaves_the_collector_on() -> None:
    def refused() -> None:
        with loading():
            raise RuntimeError

    with pytest.raises(RuntimeError):
        refused()
    assert gc.isenabled()


@pytest.mark.usefixtures("_nothing_loaded")
def test_who_runs_without_a_collector_keeps_it_so() -> None:
    gc.disable()
    with loading():
        pass
    assert not gc.isenabled()


def test_a_second_run_loads_nothing_and_keeps_the_collector_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "components.program", sys)
    with loading():
        assert gc.isenabled()
