"""What brings models into an Ollama server: the shell that pods mount, and the list that it follows."""

from prepare.definitions import definitions, scripts, scripts_hash

__all__ = ["definitions", "scripts", "scripts_hash"]
