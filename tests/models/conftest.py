"""The fixtures of the models tier; without Ollama its tests are skipped by name."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

import tools
from tests.models import tiny
from tests.models.pod import Pod
from tests.models.registry import Registry
from tests.required import leave_out


@pytest.fixture(scope="session")
def ollama() -> Path:
    """The real program."""
    found = tools.find("ollama")
    if found is None:
        leave_out("models tier left out: no Ollama of a fitting version; `make tools` brings it")
    return found


@pytest.fixture(scope="session")
def shellcheck() -> str:
    found = shutil.which("shellcheck")
    if found is None:
        leave_out("shellcheck left out: not on PATH; `apt-get install shellcheck` brings it")
    return found


@pytest.fixture
def small_disk(request: pytest.FixtureRequest) -> tuple[str, ...]:
    """A command that runs another one with $OLLAMA_MODELS on a file system of 300 KiB, or as much as the test's
    parameter says, seen by nobody else."""
    unshare = ("unshare", "--mount") if os.geteuid() == 0 else ("unshare", "--mount", "--map-root-user")
    size = getattr(request, "param", "300k")
    mount = f'mkdir -p "$OLLAMA_MODELS" && mount -t tmpfs -o size={size} none "$OLLAMA_MODELS" && exec "$@"'
    command = (*unshare, "sh", "-c", mount, "sh")
    environment = {**os.environ, "OLLAMA_MODELS": "/tmp"}
    tried = shutil.which("unshare") and subprocess.run([*command, "true"], env=environment, check=False, timeout=10)
    if not tried or tried.returncode != 0:
        leave_out("full disk left out: no mount namespace of its own; run the tests as root, or allow user namespaces")
    return command


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A GGUF of half a megabyte."""
    return tiny.write(tmp_path_factory.mktemp("gguf") / "tiny.gguf").read_bytes()


@pytest.fixture
def registry() -> Iterator[Registry]:
    with Registry().running() as running:
        yield running


@pytest.fixture
def pod(ollama: Path, tmp_path: Path) -> Pod:
    return Pod(tmp_path / "pod", ollama)
