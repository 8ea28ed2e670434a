"""C headers that a build from Go modules needs beside them.

Go leaves folders named `vendor` out of a module, and C projects keep other people's headers there.
"""

import hashlib
import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from tools.pins import Header

_DOWNLOAD_SECONDS = 180
_SYSTEM = ("/usr/include", "/usr/local/include", "/opt/homebrew/include")


class MissingHeaderError(Exception):
    """A header that is not here and could not be brought; the message names the remedy."""


def bring(headers: tuple[Header, ...], folder: Path) -> None:
    """Put into `folder` each header that its PyPI source package has; make sure of those that the system has."""
    for header in headers:
        if header.pypi:
            _from_pypi(header, folder)
        elif not any((Path(root) / header.file).is_file() for root in _include_path()):
            raise MissingHeaderError(f"the C header {header.file} is missing: apt-get install {header.debian}")


def _include_path() -> list[str]:
    return [*filter(None, os.environ.get("CPATH", "").split(os.pathsep)), *_SYSTEM]


def _from_pypi(header: Header, folder: Path) -> None:
    with tempfile.TemporaryDirectory(dir=folder) as download:
        done = subprocess.run(
            [
                *(sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"),
                *("--no-deps", "--no-binary", ":all:", "--dest", download, header.pypi),
            ],
            capture_output=True,
            text=True,
            timeout=_DOWNLOAD_SECONDS,
            check=False,
        )
        archives = list(Path(download).glob("*.tar.gz"))
        if done.returncode != 0 or not archives:
            last = "\n  ".join(done.stderr.strip().splitlines()[-3:])
            raise MissingHeaderError(f"pip download of {header.pypi} for {header.file} failed:\n  {last}")
        with tarfile.open(archives[0]) as archive:
            names = [name for name in archive.getnames() if name.endswith(f"/{header.file}")]
            member = archive.extractfile(names[0]) if names else None
            text = member.read() if member else b""
    if hashlib.sha256(text).hexdigest() != header.sha256:
        raise MissingHeaderError(f"{header.pypi} holds another {header.file} than tools/pins.toml expects")
    path = folder / header.file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text)
