"""The process beside Envoy on the Python of its image, and from a folder as a ConfigMap is mounted."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from infra.catalogue import load
from router.program import program
from tests.router.door import ROOT, Door, wait_until
from tests.router.fake_ollama import FakeOllama

IMAGE = load().gke.images["python"]
VERSION = IMAGE.partition(":")[2].partition("-")[0]
REMEDY = f"left out: no python{VERSION} on PATH, the Python of {IMAGE}; `uv python install {VERSION}` brings it"


@pytest.fixture(scope="module")
def pinned() -> str:
    """The Python of the image; a shim on PATH that finds no Python is none."""
    found = [
        shutil.which(f"python{VERSION}"),
        *map(str, Path("~/.pyenv/versions").expanduser().glob(f"{VERSION}.*/bin/python")),
    ]
    for python in filter(None, found):
        done = subprocess.run(
            [python, "-c", "import sys; print(sys.version)"], capture_output=True, text=True, check=False
        )
        if done.stdout.startswith(VERSION):
            return python
    if os.environ.get("OLLAMA_FLEET_REQUIRE_TIERS") == "1":
        pytest.fail(REMEDY, pytrace=False)
    pytest.skip(REMEDY)


def test_the_router_runs_on_the_python_of_its_image(envoy: Path, pinned: str, tmp_path: Path) -> None:
    with FakeOllama("t4", models={"m:latest": "a" * 64}).running() as one:
        pools = f'[pools]\nt4 = "{one.address}"\n'
        door = Door(envoy, tmp_path / "door", f'[routes]\nm = ["t4"]\n{pools}', python=pinned)
        try:
            assert door.chat("m").pool == "t4"
            door.publish(f'[routes]\nn = ["t4"]\n{pools}')
            wait_until(lambda: door.chat("n").pool == "t4")
            wait_until(lambda: [one["name"] for one in door.ask("GET", "/api/tags").json["models"]] == ["n:latest"])
            door.stop_as_the_kubelet_does()
        finally:
            door.close()


def test_the_program_needs_nothing_but_the_standard_library(tmp_path: Path) -> None:
    """Isolated: neither this checkout nor any installed package is there to be imported."""
    package = tmp_path / "router"
    package.mkdir()
    for name, text in program().items():
        (package / name).write_text(text)
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import router.__main__; print(router.__file__)"
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=False, cwd=ROOT / "docs"
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(package / "__init__.py")
