"""From one typed file to a plan, a report and local processes; no Pulumi in here but where a command says so."""

__version__ = "0.1.0"
