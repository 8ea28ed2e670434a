"""How long the tool takes, and how that grows: `make bench` (or `.venv/bin/python -m bench.plan_speed`).

Each figure is a whole process, the best of three, with its peak memory. Nothing is judged here: the table is.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from infra import stack as stacks

ROOT = Path(__file__).resolve().parent.parent
SIZES = ((10, 2), (100, 10), (250, 12), (500, 25), (1000, 50), (1500, 75))
"""(models, pools); not far above these the names exceed the router's ConfigMap, which the plan refuses."""
EDITED = (1000, 50)
VRAM = "100Mi"


def stack(models: int, pools: int) -> dict[str, Any]:
    """A stack of so many models over so many A100 pools; each pool has the same number."""
    fleet = {
        "gke": {"location": "us-central1-c"},
        "pools": {f"pool-{index}": {"gpu": "a100-80gb", "replicas": "0..2"} for index in range(pools)},
        "models": {
            f"example/model-{index}:8b": {
                "pools": [f"pool-{index % pools}", f"pool-{(index + 1) % pools}"],
                "vram": VRAM,
                "disk": VRAM,
            }
            for index in range(models)
        },
    }
    return {"config": {"gcp:project": "example-project", "ollama-fleet:fleet": fleet}}


def measure(arguments: list[str], runs: int) -> tuple[float, float]:
    """(seconds, MiB) of one process; its children's peak is read as the largest so far, so measure small ones first."""
    best = float("inf")
    for _ in range(runs):
        start = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-m", "infra", *arguments], cwd=ROOT, stdout=subprocess.DEVNULL, check=False
        )
        best = min(best, time.perf_counter() - start)
        if done.returncode != 0:
            raise SystemExit(f"fleet {' '.join(arguments)} ended with {done.returncode}")
    return best, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024


def edited(folder: Path, name: str, written: dict[str, Any]) -> list[str]:
    """A repository whose last commit has this stack, and whose work tree has one pool of it made spot."""
    folder.mkdir()
    file = folder / f"Pulumi.{name}.yaml"
    file.write_text(json.dumps(written))
    git = ["git", "-C", str(folder), "-c", "user.name=bench", "-c", "user.email=bench@example.com"]
    for command in (["init", "--quiet"], ["add", "."], ["commit", "--quiet", "--message", "before"]):
        subprocess.run([*git, *command], check=True)
    pools = written["config"]["ollama-fleet:fleet"]["pools"]
    next(iter(pools.values()))["spot"] = True
    file.write_text(json.dumps(written))
    return ["diff", "--cwd", str(folder), "--stack", name, "--base", "HEAD"]


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=3, help="of each command; the best counts")
    parser.add_argument("--most", type=int, default=SIZES[-1][0], metavar="MODELS", help="no stack with more of them")
    options = parser.parse_args(arguments)

    def show(title: str, command: list[str]) -> None:
        print("{:34} {:8.2f} {:6.0f}".format(title, *measure(command, options.runs)), flush=True)

    print(f"{'command':34} {'seconds':>8} {'MiB':>6}")
    show("fleet plan, dev", ["plan", "--stack", "dev"])
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for models, pools in (size for size in SIZES if size[0] <= options.most):
            (folder / f"Pulumi.m{models}.yaml").write_text(json.dumps(stack(models, pools)))
            show(f"fleet plan, {models} models, {pools} pools", ["plan", "--cwd", str(folder), "--stack", f"m{models}"])
        show("fleet resources, dev", ["resources", "--stack", "dev"])
        dev = stacks.read(ROOT, "dev")
        written = {"config": {**dev.settings, stacks.KEY: dev.fleet}}
        show("fleet diff, dev", edited(folder / "dev", "dev", written))
        models, pools = EDITED
        if models <= options.most:
            show(f"fleet diff, {models} models, {pools} pools", edited(folder / "large", "large", stack(models, pools)))


if __name__ == "__main__":
    main()
