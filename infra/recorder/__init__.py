"""Runs a Pulumi program in process and records what it asks the engine for: no engine, no CLI, no account."""

from infra.recorder.model import RecordedResource, Recording
from infra.recorder.run import Invoke, RecordingError, record
from infra.recorder.values import UNKNOWN, Secret, Unknown, reveal

__all__ = [
    "UNKNOWN",
    "Invoke",
    "RecordedResource",
    "Recording",
    "RecordingError",
    "Secret",
    "Unknown",
    "record",
    "reveal",
]
