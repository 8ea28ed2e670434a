"""The plan for people and machines: terminal, Markdown, JSON."""
