"""Bring a pinned program to this machine: the maker's installer, else a build from Go modules.

Both end at `Tool.cached`, put there by a rename, so that a reader sees a whole program or none. A
lock per tool lets a second run wait for the first instead of building the same thing again.
"""

# ruff: noqa: S607 the programs run here are the subject of the module

import fcntl
import os
import shutil
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tools import headers
from tools.find import find, new_enough, version_of
from tools.pins import GoBuild, Installer, Tool

_CONNECT_SECONDS = 4
_INSTALL_SECONDS = 300


class NotInstalledError(Exception):
    """No way to get the program on this machine; the message names the remedy."""


def ensure(tool: Tool) -> str:
    """Make `find` succeed for this tool. Returns one line: where it was found or how it came."""
    found = find(tool.name)
    if found is None:
        with _lock(tool):
            # Another run may have brought it while this one waited for the lock.
            if not tool.cached.is_file():
                return f"{_remark_on_path(tool)}{_bring(tool)}"
        found = tool.cached
    return f"{tool.name} {version_of(tool, found)}: found at {found}"


def _bring(tool: Tool) -> str:
    start, lacks = time.monotonic(), ""
    if tool.installer and _official(tool, tool.installer):
        how = "installed by its own installer"
    elif tool.go:
        _build(tool, tool.go)
        how = "built from Go modules"
        lacks = f" (without {tool.go.lacks})" if tool.go.lacks else ""
    elif tool.debian:
        command = f"apt-get install --no-install-recommends {tool.debian}"
        raise NotInstalledError(f"{tool.name} is not here: {command}, or put it on PATH ({tool.source})")
    else:
        raise NotInstalledError(f"{tool.name}: {_urls(tool)} is not reachable; install it on PATH")
    version = version_of(tool, tool.cached)
    if not new_enough(tool, version):
        tool.cached.unlink()
        raise NotInstalledError(
            f"{tool.name}: the program that was {how} says version {version}, not {tool.version}: check tools/pins.toml"
        )
    seconds = time.monotonic() - start
    return f"{tool.name} {version}: {how} in {seconds:.0f} s, at {tool.cached}{lacks}"


def _official(tool: Tool, installer: Installer) -> bool:
    """Run the maker's script. False, quietly and soon, where it cannot be had."""
    try:
        with urllib.request.urlopen(installer.url, timeout=_CONNECT_SECONDS) as reply:
            script = reply.read()
    except (urllib.error.URLError, OSError):
        return False
    home = tool.cached.parent
    with tempfile.TemporaryDirectory(dir=home, prefix=".install-") as folder:
        path = Path(folder) / "install.sh"
        path.write_bytes(script)
        root = Path(folder) / "root"
        arguments = [argument.replace("{root}", str(root)) for argument in installer.arguments]
        try:
            done = subprocess.run(
                ["sh", path, *arguments],
                capture_output=True,
                timeout=_INSTALL_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return False
        if done.returncode != 0 or not (root / installer.binary).is_file():
            return False
        # The whole folder is kept: what ships beside the program is looked for beside it.
        shutil.rmtree(home / "official", ignore_errors=True)
        root.rename(home / "official")
        link = Path(folder) / tool.name
        link.symlink_to(home / "official" / installer.binary)
        link.replace(tool.cached)
    return True


def _build(tool: Tool, recipe: GoBuild) -> None:
    go = shutil.which("go")
    if go is None:
        raise NotInstalledError(
            f"{tool.name} {tool.version} is not here: install it on PATH ({tool.source}), or install "
            f"Go {recipe.language} or newer (https://go.dev/doc/install) and run make tools again"
        )
    with tempfile.TemporaryDirectory(dir=tool.cached.parent, prefix=".build-") as folder:
        (Path(folder) / "go.mod").write_text(_go_mod(tool, recipe))
        output = Path(folder) / tool.name
        include = Path(folder) / "include"
        include.mkdir()
        try:
            headers.bring(recipe.headers, include)
        except headers.MissingHeaderError as problem:
            raise NotInstalledError(f"{tool.name}: {problem}") from problem
        start_line = f"{tool.name} {tool.version}: building from Go modules, some minutes"
        print(start_line, flush=True)
        done = subprocess.run(
            [go, "build", "-mod=mod", "-trimpath", "-ldflags", recipe.ldflags, "-o", output, recipe.package],
            cwd=folder,
            # A workspace file somewhere above the temporary folder must not take part.
            env={**os.environ, "GOWORK": "off", **_cgo(include, recipe)},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            last = "\n  ".join(done.stderr.strip().splitlines()[-5:])
            raise NotInstalledError(f"{tool.name}: go build failed:\n  {last}")
        output.replace(tool.cached)


def _cgo(include: Path, recipe: GoBuild) -> dict[str, str]:
    if not recipe.headers:
        return {}
    return {"CGO_ENABLED": "1", "CGO_CPPFLAGS": f"{os.environ.get('CGO_CPPFLAGS', '')} -I{include}".strip()}


def _go_mod(tool: Tool, recipe: GoBuild) -> str:
    lines = [
        f"module ollama-fleet.local/tools/{tool.name}",
        f"go {recipe.language}",
        f"require {recipe.module} {recipe.module_version}",
        *(f"replace {module} => {other}" for module, other in recipe.replace.items()),
    ]
    return "\n".join(lines) + "\n"


def _remark_on_path(tool: Tool) -> str:
    on_path = shutil.which(tool.name)
    if on_path is None:
        return ""
    version = version_of(tool, Path(on_path)) or "without a version"
    return f"{on_path} is {version}, older than {tool.minimum}, and is left alone; "


def _urls(tool: Tool) -> str:
    return tool.installer.url if tool.installer else tool.source


@contextmanager
def _lock(tool: Tool) -> Iterator[None]:
    home = tool.cached.parent
    home.mkdir(parents=True, exist_ok=True)
    with (home / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
