"""What brings models into an Ollama server: the shell that pods mount, and the list that it follows."""

from prepare.definitions import definitions, script

__all__ = ["definitions", "script"]
