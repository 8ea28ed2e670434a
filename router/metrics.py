"""What Prometheus reads."""

from router.control import Status
from router.web import Reply

TEXT = "text/plain; version=0.0.4; charset=utf-8"


def metrics(status: Status) -> Reply:
    """How the map stands."""
    figures = (
        ("map_in_force", "gauge", "1 when Envoy runs from a good map", int(status.in_force)),
        ("map_faults", "gauge", "what is wrong with the mounted map; the last good one serves on", len(status.faults)),
        ("map_overridden", "gauge", "models and pools that hand edits decide", len(status.overridden)),
        ("map_changes_total", "counter", "how often something else came into force", status.changes),
        ("digests_differ", "gauge", "names with different content on different replicas", len(status.differing)),
        ("envoy_follows", "gauge", "0 when Envoy has not taken the map", int(not status.trouble)),
    )
    lines = [
        line
        for name, kind, help_text, value in figures
        for line in (
            f"# HELP ollama_fleet_{name} {help_text}",
            f"# TYPE ollama_fleet_{name} {kind}",
            f"ollama_fleet_{name} {value}",
        )
    ]
    return Reply(kind=TEXT, text="\n".join(lines) + "\n")
