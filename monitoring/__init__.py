"""What is told of a running fleet: recording and alert rules, and dashboards, for any Prometheus and any Grafana.

Standard library only. The figures are those of the router's `/metrics`.
"""

from monitoring.dashboards import dashboards
from monitoring.rules import Expected, groups

__all__ = ["Expected", "dashboards", "groups"]
