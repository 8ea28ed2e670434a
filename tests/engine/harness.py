"""Runs Python programs through the real Pulumi engine, against provider doubles.

A test takes the `engine` fixture, gives it a program, and gets a `Stack`:

    def test_a_label_is_edited_in_place(engine):
        stack = engine(lambda: gcp.container.NodePool("t4", cluster="c", ...))
        stack.up()
        steps = stack.preview(edited_program)     # up() and preview() take a new program
        assert steps.ops("update") == ["t4"]
        assert steps["t4"].changed == ("nodeConfig.labels.team",)

Each stack has its own folder, state, PULUMI_HOME and doubles on ports of their own, so tests may
run at the same time. Nothing leaves the machine. What the doubles saw and how to make them fail:
`stack.google` and `stack.kubernetes`, see `tests.engine.doubles.Ledger`.

What the engine does is the same for all; what it does beside is left out, since it costs more than
the engine itself: see `_Operations`, `Engine` and `tests.engine.doubles.vault`.
"""

import gc
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from types import CoroutineType, FrameType
from typing import Any

import yaml
from pulumi import automation as auto
from pulumi.automation._stack import StackInitMode

from tests.engine.doubles import GoogleDouble, Kept, KubernetesDouble, ProviderDouble, RandomDouble, Serving, vault

PROJECT = "ollama-fleet"
NAME = "test"

_LINGER_SECONDS = 5

# The C parser where the wheel has it: every edit of a file reads and writes it.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_DUMPER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)

Program = Callable[[], None]


class UpdateError(Exception):
    """An update that the engine ended with an error. The message holds every error it reported."""

    def __init__(self, message: str, steps: "Steps") -> None:
        super().__init__(message)
        self.steps = steps


@dataclass(frozen=True)
class Step:
    """What the engine does, or would do, to one resource."""

    op: str
    type: str
    name: str
    urn: str
    changed: tuple[str, ...]
    replaced_by: tuple[str, ...]

    @property
    def token(self) -> str:
        """The type's last word: `NodePool`."""
        return self.type.rsplit(":", 1)[-1]


class Steps(list[Step]):
    """The steps of one preview, update or destroy, in the engine's order.

    A replacement is one step `replace`; the create and delete that it consists of are left out, and
    so are the stack itself and default providers.
    """

    def __init__(self, steps: list[Step], errors: list[str]) -> None:
        parts = {"create-replacement", "delete-replaced", "discard-replaced"}
        super().__init__(step for step in steps if step.op not in parts and not _implicit(step))
        self.errors = errors

    def named(self, name: str, token: str = "") -> Step:
        """The one step on the resource of that name (and type's last word, where two share it)."""
        found = [step for step in self if step.name == name and token in ("", step.token)]
        if len(found) != 1:
            raise LookupError(f"{len(found)} steps on {name!r}: {[(s.op, s.name) for s in self]}")
        return found[0]

    def ops(self, op: str) -> list[str]:
        """The sorted names of the resources with that operation: create, update, replace ..."""
        return sorted(step.name for step in self if step.op == op)

    @property
    def changes(self) -> dict[str, list[str]]:
        """Names by operation, without what stays the same. Empty: nothing changes."""
        return {op: self.ops(op) for op in sorted({step.op for step in self}) if op != "same"}


@dataclass(frozen=True)
class Recorded:
    """A resource in the stack's state, secrets still encrypted."""

    type: str
    name: str
    urn: str
    id: str
    inputs: dict[str, Any]
    outputs: dict[str, Any]


class _Operations(auto.Stack):
    """The SDK's stack, for one that exists: an operation is one process of the CLI.

    The SDK starts another to select the stack, and after each update three to read outputs and history
    back, of which the harness wants neither: what happened is in the events, and in the state.
    """

    def __init__(self, name: str, workspace: auto.LocalWorkspace) -> None:
        self.name = name
        self.workspace = workspace
        self._mode = StackInitMode.SELECT

    def outputs(self) -> auto.OutputMap:
        return {}

    def info(self, show_secrets: bool = True) -> auto.UpdateSummary:  # noqa: ARG002 the SDK's
        return _UNREAD


_UNREAD = auto.UpdateSummary("update", datetime.fromtimestamp(0, UTC), "", {}, {}, "succeeded")


class Stack:
    """One stack with its program, its state and its doubles."""

    def __init__(
        self,
        stack: auto.Stack,
        folder: Path,
        google: GoogleDouble,
        kubernetes: KubernetesDouble,
        others: Mapping[str, ProviderDouble],
    ) -> None:
        self._stack = stack
        self._folder = folder
        self.google = google
        self.kubernetes = kubernetes
        self.others = others

    def preview(self, program: Program | None = None) -> Steps:
        """What an update would do. A program given here stays the stack's program."""
        self._use(program)
        return self._run(self._stack.preview)

    def up(self, program: Program | None = None, *, refresh: bool = False) -> Steps:
        """Update. A program given here stays the stack's program."""
        self._use(program)
        return self._run(self._stack.up, refresh=refresh or None)

    def destroy(self) -> Steps:
        """Delete everything that the state holds; the stack stays."""
        return self._run(self._stack.destroy)

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Pulumi's CLI on this stack, as a person runs it: `destroy` with its preview first, for one."""
        workspace = self._stack.workspace
        return subprocess.run(
            [workspace.pulumi_command.command, *arguments, "--stack", NAME, "--non-interactive", "--color=never"],
            cwd=self._folder / "work",
            env={**os.environ, **workspace.env_vars, "PULUMI_HOME": str(self._folder / "home")},
            capture_output=True,
            text=True,
            check=False,
        )

    def outputs(self) -> dict[str, Any]:
        """The stack's outputs, secrets as plain text."""
        read = self.command("stack", "output", "--json", "--show-secrets")
        read.check_returncode()
        outputs: dict[str, Any] = json.loads(read.stdout)
        return outputs

    def state(self) -> list[Recorded]:
        """The resources of the last checkpoint, without the stack itself and providers."""
        return [
            Recorded(
                type=resource["type"],
                name=resource["urn"].rsplit("::", 1)[-1],
                urn=resource["urn"],
                id=resource.get("id", ""),
                inputs=resource.get("inputs", {}),
                outputs=resource.get("outputs", {}),
            )
            for resource in self.checkpoint().get("resources") or []
            if not resource["type"].startswith("pulumi:")
        ]

    def checkpoint(self) -> dict[str, Any]:
        """The whole state as the engine keeps it, secrets encrypted."""
        # Read from the backend's own file: `pulumi stack export` would decrypt secrets.
        file = self._folder / "state" / ".pulumi" / "stacks" / PROJECT / f"{NAME}.json"
        latest: dict[str, Any] = json.loads(file.read_text())["checkpoint"].get("latest") or {}
        return latest

    def saved(self) -> "Saved":
        """The stack as it stands, for others to start from; nothing may happen to it any more."""
        return Saved(
            self._folder, {one.package: one.kept() for one in (self.google, self.kubernetes, *self.others.values())}
        )

    def configure(self, config: Mapping[str, Any]) -> None:
        """Set configuration values as they stand in `Pulumi.<stack>.yaml`; objects are fine."""
        write_config(self._folder / "work", config)

    def set_secret(self, key: str, value: str) -> None:
        """Set a configuration secret."""
        self._stack.set_config(key, auto.ConfigValue(value, secret=True))

    def _use(self, program: Program | None) -> None:
        if program is not None:
            self._stack.workspace.program = program

    def _run(self, action: Callable[..., object], **options: Any) -> Steps:
        steps: list[Step] = []
        errors: list[str] = []

        def on_event(event: auto.EngineEvent) -> None:
            if event.resource_pre_event:
                steps.append(_step(event.resource_pre_event.metadata))
            found = event.diagnostic_event
            if found and found.severity == "error":
                errors.append(found.message.strip())

        failed = None
        try:
            action(on_event=on_event, color="never", suppress_progress=True, **options)
        except auto.CommandError as problem:
            failed = "\n".join(errors) or str(problem)
        if failed is not None:
            # Out of the `except`: its exception would keep what is to be collected.
            _collect_abandoned()
            raise UpdateError(failed, Steps(steps, errors))
        return Steps(steps, errors)


def _collect_abandoned() -> None:
    """Finish off the coroutines that the SDK abandons when the engine ends early.

    Python would do it at a moment of its own and complain; inside `ast.parse`, where pytest is when
    it prints a traceback, Python 3.11 even breaks on it ("AST constructor recursion depth mismatch").
    """
    patience = time.monotonic() + _LINGER_SECONDS
    while _program_lingers() and time.monotonic() < patience:
        time.sleep(0.01)
    complain, sys.unraisablehook = sys.unraisablehook, lambda _: None
    try:
        for one in gc.get_objects():
            # its own clean-up reports to the engine first, which is gone, and so is not reached
            if isinstance(one, CoroutineType) and one.__qualname__ == "run_in_stack":
                with suppress(RuntimeError, ValueError):
                    one.close()
        gc.collect()
    finally:
        sys.unraisablehook = complain


def _program_lingers() -> bool:
    """Whether the SDK's server still runs the program whose engine has ended."""
    for frame in sys._current_frames().values():
        caller: FrameType | None = frame
        while caller is not None:
            if caller.f_globals.get("__name__") == "pulumi.automation._server":
                return True
            caller = caller.f_back
    return False


def _implicit(step: Step) -> bool:
    default = step.type.startswith("pulumi:providers:") and step.name.startswith("default")
    return default or step.type == "pulumi:pulumi:Stack"


def _step(metadata: auto.StepEventMetadata) -> Step:
    return Step(
        op=metadata.op.value,
        type=metadata.type,
        name=metadata.urn.rsplit("::", 1)[-1],
        urn=metadata.urn,
        changed=tuple(sorted(metadata.detailed_diff or metadata.diffs or ())),
        replaced_by=tuple(sorted(metadata.keys or ())),
    )


def write_config(folder: Path, config: Mapping[str, Any]) -> None:
    """Merge values into the stack's config file, leaving its encryption salt and secrets."""
    file = folder / f"Pulumi.{NAME}.yaml"
    settings = yaml.load(file.read_text(), Loader=_LOADER)  # noqa: S506 a safe one
    settings["config"] = {**settings.get("config", {}), **config}
    # In the order given: a test may hand over a reordered file.
    file.write_text(yaml.dump(settings, Dumper=_DUMPER, sort_keys=False))


@dataclass(frozen=True)
class Saved:
    """A stack at rest: a folder, and what its doubles keep, by package."""

    folder: Path
    kept: Mapping[str, Kept]


# What was applied in this run of the tests; a program is known by what it is, and by its configuration.
_APPLIED: dict[tuple[Path, Program, str], Saved] = {}


@dataclass
class Engine:
    """Makes stacks. `cli` is a folder whose bin/pulumi is the CLI, `folder` the test's own, `resources` is
    closed at the test's end.

    The state is written at the end of each operation, failed ones included; with `checkpoints` after each
    step, as it is for a person whose machine may go down meanwhile.
    """

    cli: Path
    folder: Path
    resources: ExitStack
    google: Callable[[], GoogleDouble] = GoogleDouble
    kubernetes: Callable[[], KubernetesDouble] = KubernetesDouble
    checkpoints: bool = False

    def __call__(
        self,
        program: Program,
        *,
        config: Mapping[str, Any] | None = None,
        secrets: Mapping[str, str] | None = None,
        others: tuple[str, ...] = (),
    ) -> Stack:
        """A new stack with nothing in it. `others` names further packages to stand in for."""
        made = self._stack(program, Saved(_new(self.cli), {}), others)
        made.configure({"gcp:project": "example-project", **(config or {})})
        for key, value in (secrets or {}).items():
            made.set_secret(key, value)
        return made

    def applied(self, program: Program, *, config: Mapping[str, Any] | None = None) -> Stack:
        """A new stack that this program is up on: a copy of one that was brought up for the first test that asked.

        Its doubles remember that up, as if it had been the test's own.
        """
        key = self.cli, program, json.dumps(config)
        if key not in _APPLIED:
            with ExitStack() as resources:
                folder = Path(tempfile.mkdtemp(dir=self.cli))
                first = replace(self, folder=folder, resources=resources, checkpoints=False)(program, config=config)
                first.up()
                _APPLIED[key] = first.saved()
        return self._stack(program, _APPLIED[key])

    def _stack(self, program: Program, start: Saved, others: tuple[str, ...] = ()) -> Stack:
        google, kubernetes = self.google(), self.kubernetes()
        more = {"random": RandomDouble(), **{package: ProviderDouble(package) for package in others}}
        doubles = [google, kubernetes, *more.values()]
        for double in doubles:
            if double.package in start.kept:
                double.resume(start.kept[double.package])
        serving = self.resources.enter_context(Serving(doubles))
        folder = self.folder / f"stack-{len(list(self.folder.iterdir()))}"
        shutil.copytree(start.folder, folder)
        environment = {**serving.environment, "PULUMI_SKIP_CHECKPOINTS": str(not self.checkpoints).lower()}
        workspace = _workspace(self.cli, folder, environment)
        workspace.program = program
        return Stack(_Operations(NAME, workspace), folder, google, kubernetes, more)


def _workspace(cli: Path, folder: Path, environment: Mapping[str, str]) -> auto.LocalWorkspace:
    return auto.LocalWorkspace(
        work_dir=str(folder / "work"),
        pulumi_home=str(folder / "home"),
        pulumi_command=_command(cli),
        secrets_provider=vault.PROVIDER,
        env_vars={
            "PULUMI_BACKEND_URL": f"file://{folder / 'state'}",
            "PULUMI_SKIP_UPDATE_CHECK": "true",
            "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
            # Most of the time it waits for the program or a double, which are in this process: a second thread spins.
            "GOMAXPROCS": "1",
            **vault.environment(),
            **environment,
        },
    )


@cache
def _command(cli: Path) -> auto.PulumiCommand:
    """The CLI, asked for its version once."""
    return auto.PulumiCommand(root=str(cli))


@cache
def _new(cli: Path) -> Path:
    """The folder of a stack with nothing in it, as `pulumi stack init` makes it."""
    folder = Path(tempfile.mkdtemp(dir=cli))
    for part in ("work", "state", "home"):
        (folder / part).mkdir()
    # The CLI writes a log of all that it does into a folder of that name, encrypted, which takes as long as what it
    # does, and has no switch for that; where it cannot it goes on without (pkg/logging of pulumi/pulumi v3.250.0).
    (folder / "home" / "logs").touch()
    workspace = _workspace(cli, folder, {})
    workspace.save_project_settings(auto.ProjectSettings(PROJECT, runtime="python", main=str(Path.cwd())))
    workspace.create_stack(NAME)
    return folder
