"""What is told of a running fleet: recording and alert rules, and dashboards, for any Prometheus and any Grafana.

Standard library only. The figures are those of the router's `/metrics`, and of NVIDIA's exporter where one runs.
"""

from monitoring.dashboards import dashboards
from monitoring.gpus import counters
from monitoring.rules import Expected, groups

__all__ = ["Expected", "counters", "dashboards", "groups"]
