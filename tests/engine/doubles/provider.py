"""A provider for any package: it keeps what it is told, and changes everything in place.

The base of the `gcp` and `kubernetes` doubles, which override the hooks; on its own it stands in
for small providers such as `random`. The engine talks to it as to the real plugin, over gRPC.
"""

# ruff: noqa: A001, A002, ARG002, N802 names of the protocol, and hooks that take what an override may need

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NoReturn

import grpc
from google.protobuf import empty_pb2
from pulumi.runtime.proto import (
    plugin_pb2,
    provider_pb2,
    provider_pb2_grpc,
    status_pb2,
)

from tests.engine.doubles.diff import Change, Verdict, changes, response, text
from tests.engine.doubles.ledger import Existing, Ledger, Operation, Verb
from tests.engine.doubles.values import Properties, merge, plain, received, sent, unknown


class RefusedError(Exception):
    """The service refuses the operation; the message is the service's own."""


@dataclass(frozen=True)
class Subject:
    """The resource that a request is about, its inputs without secret marks."""

    type: str
    name: str
    urn: str
    inputs: Properties
    config: Properties


class ProviderDouble(Ledger, provider_pb2_grpc.ResourceProviderServicer):
    """The generic double of one package.

    Every engine connection is one configured provider instance, so two providers of one package
    (two clusters) keep their own configuration.
    """

    def __init__(self, package: str, version: str = "1.0.0") -> None:
        super().__init__()
        self.package = package
        self.version = version
        self._configs: dict[str, Properties] = {}

    # What a package's own double overrides.

    def checked(self, subject: Subject, news: Properties, olds: Properties, seed: bytes) -> Properties:
        """The inputs with defaults filled in. Raises RefusedError for a type it does not know."""
        return news

    def verdict(self, subject: Subject, change: Change) -> Verdict:
        """What this change of an input means."""
        return Verdict.IN_PLACE

    def deletes_first(self, old: Subject, new: Subject) -> bool:
        """Whether a replacement deletes before it creates."""
        return False

    def config_verdict(self, old: Properties, new: Properties, change: Change) -> Verdict:
        """What this change of the provider's own configuration means."""
        return Verdict.IN_PLACE

    def identify(self, subject: Subject) -> str:
        """The id of a new resource."""
        return f"{subject.name}-{digest(subject.urn)[:8]}"

    def scope(self, subject: Subject) -> str:
        """Where ids are unique: the cluster, for a provider that talks to several."""
        return ""

    def computed(self, subject: Subject, id: str) -> Properties:
        """The outputs that the service adds to the inputs; the same for the same arguments."""
        return {}

    def before_create(self, subject: Subject, id: str) -> None:
        """Raises RefusedError where the service would."""

    def before_delete(self, subject: Subject, id: str, outputs: Properties) -> None:
        """Raises RefusedError where the service would."""

    def after_delete(self, subject: Subject, id: str) -> None:
        """What else goes with it."""

    # What is behind the double: nothing, unless its class puts something there. All may raise RefusedError.

    def rehearse(self, subject: Subject, id: str | None, ignored: Sequence[str]) -> None:
        """A preview of what is created (without an id) or changed."""

    def make(self, subject: Subject, id: str) -> None:
        """Creates it."""

    def change(self, subject: Subject, id: str, ignored: Sequence[str]) -> None:
        """Changes it, apart from the ignored paths."""

    def settle(self, subject: Subject, id: str, seconds: float) -> None:
        """Waits so long until it is ready; what is refused here exists all the same."""

    def remove(self, subject: Subject, id: str, seconds: float) -> None:
        """Deletes it and waits so long until it is gone."""

    def found(self, subject: Subject, id: str) -> Existing | None:
        """What there is."""
        return self.existing.get((self.scope(subject), subject.type, id))

    # The protocol.

    def Attach(self, request: plugin_pb2.PluginAttach, context: Any) -> empty_pb2.Empty:
        return empty_pb2.Empty()

    def Handshake(
        self, request: provider_pb2.ProviderHandshakeRequest, context: Any
    ) -> provider_pb2.ProviderHandshakeResponse:
        # A new connection must not see what an earlier one from the same port was configured with.
        self._configs.pop(context.peer(), None)
        return provider_pb2.ProviderHandshakeResponse(accept_secrets=True)

    def GetPluginInfo(self, request: empty_pb2.Empty, context: Any) -> plugin_pb2.PluginInfo:
        return plugin_pb2.PluginInfo(version=self.version)

    def GetSchema(self, request: provider_pb2.GetSchemaRequest, context: Any) -> provider_pb2.GetSchemaResponse:
        return provider_pb2.GetSchemaResponse(schema=json.dumps({"name": self.package, "version": self.version}))

    def Cancel(self, request: empty_pb2.Empty, context: Any) -> empty_pb2.Empty:
        return empty_pb2.Empty()

    def CheckConfig(self, request: provider_pb2.CheckRequest, context: Any) -> provider_pb2.CheckResponse:
        return provider_pb2.CheckResponse(inputs=request.news)

    def DiffConfig(self, request: provider_pb2.DiffRequest, context: Any) -> provider_pb2.DiffResponse:
        old, new = plain(received(request.old_inputs)), plain(received(request.news))
        return response(
            changes(old, new),
            lambda change: self.config_verdict(old, new, change),
            delete_first=False,
        )

    def Configure(self, request: provider_pb2.ConfigureRequest, context: Any) -> provider_pb2.ConfigureResponse:
        self._configs[context.peer()] = plain(received(request.args))
        return provider_pb2.ConfigureResponse(acceptSecrets=True, supportsPreview=True)

    def Check(self, request: provider_pb2.CheckRequest, context: Any) -> provider_pb2.CheckResponse:
        news = received(request.news)
        subject = self._subject(request, news, context)
        seed = request.randomSeed or os.urandom(16)
        try:
            checked = self.checked(subject, news, received(request.olds), seed)
        except RefusedError as problem:
            failure = provider_pb2.CheckFailure(reason=str(problem))
            return provider_pb2.CheckResponse(inputs=request.news, failures=[failure])
        return provider_pb2.CheckResponse(inputs=sent(checked))

    def Diff(self, request: provider_pb2.DiffRequest, context: Any) -> provider_pb2.DiffResponse:
        old = self._subject(request, received(request.old_inputs), context)
        new = self._subject(request, received(request.news), context)
        return response(
            changes(old.inputs, new.inputs),
            lambda change: self.verdict(new, change),
            delete_first=self.deletes_first(old, new),
        )

    def Create(self, request: provider_pb2.CreateRequest, context: Any) -> provider_pb2.CreateResponse:
        inputs = received(request.properties)
        subject = self._subject(request, inputs, context)
        if request.preview:
            with self._refusals(context, "create", subject):
                self.rehearse(subject, None, ())
            added = unknown(self.computed(subject, self.identify(subject)))
            return provider_pb2.CreateResponse(properties=sent(merge(added, inputs)))
        id = self.identify(subject)
        with self.lock, self._refusals(context, "create", subject):
            self.before_create(subject, id)
            self._fail_if_arranged(context, "create", subject)
            self.make(subject, id)
            outputs = self._store(subject, id, inputs)
            self._log("create", subject, id)
        self._settle(context, "create", subject, id, outputs, request.timeout)
        return provider_pb2.CreateResponse(id=id, properties=sent(outputs))

    def Update(self, request: provider_pb2.UpdateRequest, context: Any) -> provider_pb2.UpdateResponse:
        news = received(request.news)
        subject = self._subject(request, news, context)
        if request.preview:
            with self._refusals(context, "update", subject):
                self.rehearse(subject, request.id, request.ignoreChanges)
            outputs = self._outputs(subject, request.id, news)
            return provider_pb2.UpdateResponse(properties=sent(outputs))
        old = plain(received(request.old_inputs))
        with self.lock, self._refusals(context, "update", subject):
            self._fail_if_arranged(context, "update", subject)
            self.change(subject, request.id, request.ignoreChanges)
            outputs = self._store(subject, request.id, news)
            self._log("update", subject, request.id, changes(old, subject.inputs))
        self._settle(context, "update", subject, request.id, outputs, request.timeout)
        return provider_pb2.UpdateResponse(properties=sent(outputs))

    def Delete(self, request: provider_pb2.DeleteRequest, context: Any) -> empty_pb2.Empty:
        subject = self._subject(request, received(request.old_inputs), context)
        with self._refusals(context, "delete", subject):
            with self.lock:
                self.before_delete(subject, request.id, plain(received(request.properties)))
                self._fail_if_arranged(context, "delete", subject)
            # others may be deleted meanwhile
            self.remove(subject, request.id, request.timeout)
        with self.lock:
            self.existing.pop((self.scope(subject), subject.type, request.id), None)
            self.after_delete(subject, request.id)
            self._log("delete", subject, request.id)
        return empty_pb2.Empty()

    def Read(self, request: provider_pb2.ReadRequest, context: Any) -> provider_pb2.ReadResponse:
        subject = self._subject(request, received(request.inputs), context)
        self._fail_if_arranged(context, "read", subject)
        self._log("read", subject, request.id)
        found = self.found(subject, request.id)
        if found is None:
            # An empty id is the protocol's word for: it is gone.
            return provider_pb2.ReadResponse()
        return provider_pb2.ReadResponse(id=found.id, inputs=sent(found.inputs), properties=sent(found.outputs))

    def Invoke(self, request: provider_pb2.InvokeRequest, context: Any) -> provider_pb2.InvokeResponse:
        found = self.answered(request.tok, received(request.args))
        if found is None:
            reason = f"the {self.package} double has no answer to {request.tok}: arrange .answer()"
            return provider_pb2.InvokeResponse(failures=[provider_pb2.CheckFailure(reason=reason)])
        return provider_pb2.InvokeResponse(**{"return": sent(found)})

    # Inside.

    def _subject(self, request: Any, inputs: Properties, context: Any) -> Subject:
        config = self._configs.get(context.peer(), {})
        return Subject(request.type, request.name, request.urn, plain(inputs), config)

    def _outputs(self, subject: Subject, id: str, inputs: Properties) -> Properties:
        outputs: Properties = merge(self.computed(subject, id), inputs)
        for injected in self.injected(subject.name, subject.type):
            outputs = merge(outputs, injected)
        return outputs

    def _store(self, subject: Subject, id: str, inputs: Properties) -> Properties:
        outputs = self._outputs(subject, id, inputs)
        scope = self.scope(subject)
        self.existing[scope, subject.type, id] = Existing(subject.type, id, subject.urn, inputs, outputs, scope)
        return outputs

    def _log(self, verb: Verb, subject: Subject, id: str = "", found: Any = (), **more: Any) -> None:
        changed = tuple(text(change.path) for change in found)
        self.log.append(Operation(verb, subject.type, subject.name, subject.urn, id, changed, **more))

    def _fail_if_arranged(self, context: Any, verb: Verb, subject: Subject) -> None:
        """Obey the test's order to fail before anything is done."""
        order = self.take_failure(verb, subject.name, subject.type, after=False)
        if order is not None:
            self._abort(context, verb, subject, order.message)

    def _settle(self, context: Any, verb: Verb, subject: Subject, id: str, outputs: Properties, seconds: float) -> None:
        """Wait until it is ready, or say that it is there and is not: by itself, or by the test's order."""
        try:
            self.settle(subject, id, seconds)
            order = self.take_failure(verb, subject.name, subject.type, after=True)
            reason = order.message if order else None
        except RefusedError as problem:
            reason = str(problem)
        if reason is None:
            return
        half = provider_pb2.ErrorResourceInitFailed(
            id=id, properties=sent(outputs), inputs=sent(subject.inputs), reasons=[reason]
        )
        status = status_pb2.Status(code=grpc.StatusCode.UNKNOWN.value[0], message=reason)
        status.details.add().Pack(half)
        context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
        context.abort(grpc.StatusCode.UNKNOWN, reason)

    @contextmanager
    def _refusals(self, context: Any, verb: Verb, subject: Subject) -> Iterator[None]:
        """Hand the service's refusal on to the engine."""
        try:
            yield
        except RefusedError as problem:
            self._abort(context, verb, subject, str(problem))

    def _abort(self, context: Any, verb: Verb, subject: Subject, message: str) -> NoReturn:
        self._log(verb, subject, failed=True)
        context.abort(grpc.StatusCode.UNKNOWN, message)
        raise AssertionError("abort raises")


def digest(*parts: str) -> str:
    """A stable hexadecimal text for what a service would make up."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()
