"""The C headers that the build of Ollama needs beside its Go modules."""

from pathlib import Path

import pytest

from tools import headers
from tools.pins import Header, pin


def test_the_pin_of_ollama_says_where_each_header_comes_from() -> None:
    recipe = pin("ollama").go
    assert recipe
    assert {header.file for header in recipe.headers} == {
        "nlohmann/json.hpp",
        "stb/stb_image.h",
        "miniaudio/miniaudio.h",
    }
    assert all(header.debian or len(header.sha256) == 64 for header in recipe.headers)


def test_a_missing_system_header_names_the_package_that_has_it(tmp_path: Path) -> None:
    wanted = (Header(file="nowhere/nothing.h", debian="libnothing-dev"),)
    with pytest.raises(
        headers.MissingHeaderError, match=r"nowhere/nothing\.h is missing: apt-get install libnothing-dev"
    ):
        headers.bring(wanted, tmp_path)


def test_a_header_on_the_include_path_is_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "some").mkdir()
    (tmp_path / "some" / "thing.h").touch()
    monkeypatch.setenv("CPATH", str(tmp_path))
    headers.bring((Header(file="some/thing.h", debian="libthing-dev"),), tmp_path)
