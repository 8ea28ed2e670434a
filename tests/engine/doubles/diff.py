"""The reply to the protocol's Diff: what infra.change says of two sets of inputs, in the engine's words."""

from collections.abc import Callable, Iterable

from pulumi.runtime.proto import provider_pb2

from infra.change.difference import Change, Verdict, changes, text, verdict_by

__all__ = ["Change", "Verdict", "changes", "response", "text", "verdict_by"]

Kind = provider_pb2.PropertyDiff


def kind(change: Change, verdict: Verdict) -> "provider_pb2.PropertyDiff.Kind.ValueType":
    """The protocol's word for this change under that verdict."""
    replaces = verdict is Verdict.REPLACE
    if change.old is None:
        return Kind.ADD_REPLACE if replaces else Kind.ADD
    if change.new is None:
        return Kind.DELETE_REPLACE if replaces else Kind.DELETE
    return Kind.UPDATE_REPLACE if replaces else Kind.UPDATE


def response(
    found: Iterable[Change],
    judge: Callable[[Change], Verdict],
    *,
    delete_first: bool,
) -> provider_pb2.DiffResponse:
    """The reply to a Diff: every change with what it means, in full detail."""
    judged = [(change, judge(change)) for change in found]
    real = [(change, verdict) for change, verdict in judged if verdict is not Verdict.NOTHING]
    replaces = [text(change.path) for change, verdict in real if verdict is Verdict.REPLACE]
    reply = provider_pb2.DiffResponse
    return reply(
        changes=reply.DIFF_SOME if real else reply.DIFF_NONE,
        diffs=sorted({str(change.path[0]) for change, _ in real}),
        replaces=replaces,
        deleteBeforeReplace=delete_first and bool(replaces),
        detailedDiff={
            text(change.path): provider_pb2.PropertyDiff(kind=kind(change, verdict), inputDiff=True)
            for change, verdict in real
        },
        hasDetailedDiff=True,
    )
