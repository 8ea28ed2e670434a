"""Runs a Pulumi program in process and records what it asks the engine for.

No engine, no CLI, no account, no network: a monitor of our own answers the program in the engine's place. The
commands `fleet resources` and `fleet manifests` print a recording, and the tests of the tier `program` read one.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Awaitable, Callable, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Final

from pulumi.runtime import run_in_stack, set_all_config
from pulumi.runtime.proto import engine_pb2, resource_pb2
from pulumi.runtime.settings import SETTINGS, reset_options

from infra.recorder.model import RecordedResource, Recording
from infra.recorder.outputs import computed, named_by
from infra.recorder.values import (
    fill,
    from_struct,
    from_text,
    from_value,
    reveal,
)

Invoke = Callable[[Mapping[str, Any]], Mapping[str, Any]]
"""Answers one provider function: its arguments in, its result out, both with the provider's camelCase keys."""

_STACK: Final = "pulumi:pulumi:Stack"

# What the monitor understands. Transforms, hooks and state migrations are left out on purpose: the SDK then raises
# where a program uses one, instead of a recording that differs in silence from what the engine would do. Output
# values are left out so that an input is a value, never an object that describes one.
_FEATURES: Final = (
    resource_pb2.RESOURCE_MONITOR_FEATURE_SECRETS,
    resource_pb2.RESOURCE_MONITOR_FEATURE_RESOURCE_REFERENCES,
    resource_pb2.RESOURCE_MONITOR_FEATURE_ALIAS_SPECS,
    resource_pb2.RESOURCE_MONITOR_FEATURE_DELETED_WITH,
    resource_pb2.RESOURCE_MONITOR_FEATURE_REPLACE_WITH,
    resource_pb2.RESOURCE_MONITOR_FEATURE_REPLACEMENT_TRIGGER,
)


class RecordingError(Exception):
    """The program asked for what the engine would refuse, or for what only a real provider can answer."""


def record(
    program: Callable[[], Awaitable[None] | None],
    *,
    project: str,
    stack: str,
    config: Mapping[str, str] | None = None,
    secret_keys: Iterable[str] = (),
    known: bool = True,
    invokes: Mapping[str, Invoke] | None = None,
) -> Recording:
    """Runs `program` to its end, all its `apply` included, and returns what it registered.

    `config` has full keys (`gcp:project`); those in `secret_keys` are secrets. With `known` every resource gets
    the id and the outputs of a successful deployment. Without it the run is a preview of a stack that does not
    exist yet, at its strictest: no id and no output of any resource is known, not even an input's echo.

    `invokes` answers provider functions by token; any other raises `RecordingError`. What the program raises,
    also in an `apply`, is raised here. Runs share nothing: all of Pulumi's settings live in a context of the
    run's own, and neither the settings nor the configuration of the caller change. The SDKs themselves read
    environment variables for provider inputs that the program leaves out (`KUBECONFIG`, `GOOGLE_PROJECT`).
    """
    configuration = dict(config or {})
    engine = _Engine()
    monitor = _Monitor(
        project=project,
        stack=stack,
        gcp_project=configuration.get("gcp:project", project),
        known=known,
        invokes=invokes or {},
    )

    def run() -> None:
        reset_options(project=project, stack=stack, preview=not known, organization="organization")
        SETTINGS.monitor, SETTINGS.engine = monitor, engine
        set_all_config(configuration, list(secret_keys))
        with asyncio.Runner(loop_factory=_new_loop) as runner:
            runner.run(run_in_stack(program))

    contextvars.copy_context().run(run)
    return monitor.recording(engine.messages)


class _Inline(ThreadPoolExecutor):
    """Runs every call at once in the caller's thread.

    The SDK sends its requests from worker threads. There is nobody here to wait for, and without threads the
    program runs the same way at every run.
    """

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except BaseException as error:
            future.set_exception(error)
        return future


def _new_loop() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    loop.set_default_executor(_Inline())
    # After a failure many tasks end with the same exception, which `record` raises once. asyncio would print each.
    loop.set_exception_handler(lambda _loop, _context: None)
    return loop


class _Engine:
    """Receives the log of the program (`pulumi.log.warn`)."""

    def __init__(self) -> None:
        self.messages: list[tuple[str, str]] = []

    def Log(self, request: engine_pb2.LogRequest) -> None:
        if request.severity != engine_pb2.DEBUG:
            self.messages.append((engine_pb2.LogSeverity.Name(request.severity).lower(), request.message))


class _Monitor:
    """Answers the program's requests in the engine's place. The names of its methods are those of the gRPC service."""

    def __init__(
        self, *, project: str, stack: str, gcp_project: str, known: bool, invokes: Mapping[str, Invoke]
    ) -> None:
        self._project = project
        self._stack = stack
        self._gcp_project = gcp_project
        self._known = known
        self._invokes = invokes
        self._root = f"urn:pulumi:{stack}::{project}::{_STACK}::{project}-{stack}"
        self._resources: dict[str, RecordedResource] = {}
        self._outputs: dict[str, dict[str, Any]] = {}

    def recording(self, messages: Iterable[tuple[str, str]]) -> Recording:
        outputs = self._outputs
        return Recording(
            project=self._project,
            stack=self._stack,
            root=self._root,
            resources=tuple(
                resource.with_registered_outputs(outputs.get(urn)) for urn, resource in sorted(self._resources.items())
            ),
            stack_outputs=outputs.get(self._root, {}),
            messages=tuple(messages),
        )

    def GetDeploymentInfo(self, _request: object) -> resource_pb2.DeploymentInfo:
        return resource_pb2.DeploymentInfo(supportedFeatures=_FEATURES)

    def RegisterResource(self, request: resource_pb2.RegisterResourceRequest) -> resource_pb2.RegisterResourceResponse:
        if request.type == _STACK:
            return resource_pb2.RegisterResourceResponse(urn=self._root)
        resource = self._add(_registered(request, self._urn(request), self._resources.get(request.parent)))
        response = resource_pb2.RegisterResourceResponse(urn=resource.urn)
        if request.custom and self._known:
            response.id = self._compute(resource, request.object, response.object)
        return response

    def ReadResource(self, request: resource_pb2.ReadResourceRequest) -> resource_pb2.ReadResourceResponse:
        resource = self._add(
            RecordedResource(
                urn=self._urn(request),
                type=request.type,
                name=request.name,
                parent=request.parent,
                custom=True,
                inputs=from_struct(request.properties),
                provider=_provider(request.provider),
                depends_on=tuple(sorted(request.dependencies)),
                additional_secret_outputs=tuple(sorted(request.additionalSecretOutputs)),
                read_id=from_text(request.id),
                version=request.version or None,
            )
        )
        response = resource_pb2.ReadResourceResponse(urn=resource.urn)
        if self._known:
            self._compute(resource, request.properties, response.properties)
        return response

    def RegisterResourceOutputs(self, request: resource_pb2.RegisterResourceOutputsRequest) -> None:
        self._outputs[request.urn] = from_struct(request.outputs)

    def Invoke(self, request: resource_pb2.ResourceInvokeRequest) -> resource_pb2.ResourceInvokeResponse:
        response = resource_pb2.ResourceInvokeResponse()
        getattr(response, "return").update(self._answer(request.tok, request.args))
        return response

    def Call(self, request: resource_pb2.ResourceCallRequest) -> None:
        """A method of a resource, of which none is expected."""
        raise _unanswerable(request.tok)

    def SignalAndWaitForShutdown(self, _request: object) -> None:
        """The engine holds the program here for as long as it needs its hooks; a recording has none."""

    def _answer(self, token: str, arguments: Any) -> dict[str, Any]:
        if token not in self._invokes:
            raise _unanswerable(token)
        return dict(self._invokes[token](reveal(from_struct(arguments))))

    def _urn(self, request: resource_pb2.RegisterResourceRequest | resource_pb2.ReadResourceRequest) -> str:
        # As `urn.New` of the engine makes it: the chain of the parents' types, in which the stack does not appear.
        chain = "" if request.parent == self._root else request.parent.split("::")[2] + "$"
        return f"urn:pulumi:{self._stack}::{self._project}::{chain}{request.type}::{request.name}"

    def _add(self, resource: RecordedResource) -> RecordedResource:
        if resource.urn in self._resources:
            raise RecordingError(f"two resources have the urn {resource.urn}; give one of them another name")
        self._resources[resource.urn] = resource
        return resource

    def _compute(self, resource: RecordedResource, inputs: Any, outputs: Any) -> str:
        """Writes the resource's outputs, inputs included, into the protobuf `Struct` and returns its id."""
        identifier, values = computed(
            resource.type,
            resource.name,
            resource.urn,
            {**named_by(resource.read_id), **reveal(resource.inputs)},
            project=self._gcp_project,
        )
        outputs.CopyFrom(inputs)
        fill(outputs, values, secret=resource.additional_secret_outputs)
        return identifier


def _unanswerable(token: str) -> RecordingError:
    return RecordingError(f"the program calls {token}, which only a real provider can answer")


def _provider(reference: str) -> str | None:
    """The urn in a provider reference, which is `<urn>::<id>`."""
    return reference.rpartition("::")[0] or None


def _set_fields(message: Any) -> dict[str, Any]:
    """The fields of a protobuf message that have a value; the SDK sends an empty text for what it leaves open."""
    return {descriptor.name: value for descriptor, value in message.ListFields() if value != ""}


def _registered(
    request: resource_pb2.RegisterResourceRequest, urn: str, parent: RecordedResource | None
) -> RecordedResource:
    # The engine hands down these two from parent to child (`inheritFromParent` in source_eval.go of pulumi/pulumi);
    # all other inheritance, `protect` included, is done by the SDK and is in the request.
    if request.HasField("retainOnDelete"):
        retain = request.retainOnDelete
    else:
        retain = parent is not None and parent.retain_on_delete
    return RecordedResource(
        urn=urn,
        type=request.type,
        name=request.name,
        parent=request.parent,
        custom=request.custom,
        remote=request.remote,
        inputs=from_struct(request.object),
        property_dependencies={
            key: tuple(sorted(value.urns)) for key, value in sorted(request.propertyDependencies.items())
        },
        provider=_provider(request.provider),
        providers={package: _provider(ref) or "" for package, ref in sorted(request.providers.items())} or None,
        depends_on=tuple(sorted(request.dependencies)),
        protect=request.protect,
        retain_on_delete=retain,
        deleted_with=request.deletedWith or (parent.deleted_with if parent else None),
        ignore_changes=tuple(sorted(request.ignoreChanges)),
        replace_on_changes=tuple(sorted(request.replaceOnChanges)),
        replace_with=tuple(sorted(request.replace_with)),
        replacement_trigger=from_value(request.replacement_trigger)
        if request.HasField("replacement_trigger")
        else None,
        delete_before_replace=request.deleteBeforeReplace if request.deleteBeforeReplaceDefined else None,
        custom_timeouts=_set_fields(request.customTimeouts) or None,
        additional_secret_outputs=tuple(sorted(request.additionalSecretOutputs)),
        hide_diffs=tuple(sorted(request.hideDiffs)),
        aliases=tuple(alias.urn or _set_fields(alias.spec) for alias in request.aliases),
        import_id=request.importId or None,
        version=request.version or None,
        plugin_download_url=request.pluginDownloadURL or None,
    )
