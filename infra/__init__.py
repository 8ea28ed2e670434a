"""From one typed file to a plan, a report and commands; Pulumi is imported by the recorder and where a command asks."""

__version__ = "0.1.0"
