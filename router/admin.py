"""Envoy's administration, which listens on loopback only."""

import http.client
import json
import re
from dataclasses import dataclass
from urllib.parse import quote

from router.observing import as_prometheus_reads

PATIENCE = 5.0


class UnreachableError(Exception):
    """Envoy does not answer: it starts, or it is gone."""


@dataclass(frozen=True, kw_only=True)
class Admin:
    """The administration on a port of loopback."""

    port: int

    def numbers(self, pattern: str) -> dict[str, int]:
        """The counters and gauges whose names match a regular expression as a whole."""
        found = json.loads(self._ask("GET", f"/stats?format=json&filter={quote(f'^(?:{pattern})$')}"))["stats"]
        return {one["name"]: one["value"] for one in found if isinstance(one.get("value"), int)}

    def text(self, name: str) -> str:
        """A statistic that is a text, such as the version of what is in force; empty where there is none."""
        answer = self._ask("GET", f"/stats?type=TextReadouts&filter={quote(f'^{re.escape(name)}$')}")
        return answer.partition(": ")[2].strip().strip('"')

    def post(self, path: str, *, flag: str = "", **query: str) -> None:
        """Does what `path` stands for."""
        parts = [*filter(None, [flag]), *(f"{quote(key, safe='')}={quote(value)}" for key, value in query.items())]
        self._ask("POST", "?".join(filter(None, [path, "&".join(parts)])))

    def prometheus(self, pattern: str) -> str:
        """The statistics whose names match, as Prometheus reads them."""
        return as_prometheus_reads(self._ask("GET", f"/stats/prometheus?filter={quote(pattern)}"))

    def _ask(self, method: str, path: str) -> str:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            connection.request(method, path)
            answer = connection.getresponse()
            body = answer.read().decode(errors="replace")
        except (OSError, http.client.HTTPException) as error:
            raise UnreachableError(f"Envoy's administration does not answer: {error}") from None
        finally:
            connection.close()
        if answer.status != http.client.OK:
            raise UnreachableError(f"Envoy's administration answers {answer.status} to {path.partition('?')[0]}")
        return body
