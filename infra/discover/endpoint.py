"""A running server by its own answers."""

import http.client
import json
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from infra.discover.model import Place
from infra.unreachable import why

SECONDS = 10.0
LONGEST = 2**24
Ask = Callable[[str], Any]


def asking(token: str = "", ca: str = "") -> Ask:
    """GETs JSON from a URL. Raises OSError or ValueError."""
    context = ssl.create_default_context(cafile=ca or None)
    # an address that redirects would be given the token
    handlers = _NoRedirect(), urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
    opener = urllib.request.build_opener(*handlers)

    def ask(url: str) -> Any:
        headers = {"authorization": f"Bearer {token}"} if token else {}
        request = urllib.request.Request(url, headers=headers)  # noqa: S310 - a URL of http or https, see look
        with opener.open(request, timeout=SECONDS) as answer:
            return json.loads(answer.read(LONGEST))

    return ask


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any, **__: Any) -> None:
        """Never."""


def look(url: str, ask: Ask) -> Place:
    """The server at `url`. Raises ValueError with what is wrong in words."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username:
        raise ValueError("it is not the address of a server")
    base = f"{parts.scheme}://{parts.netloc}"
    try:
        version = ask(f"{base}/api/version")["version"]
        models = [str(one["name"]) for one in ask(f"{base}/api/tags")["models"]]
    except urllib.error.HTTPError as refused:
        needs = ": it asks for a token, which $FLEET_TOKEN would be" if refused.code in (401, 403) else ""
        raise ValueError(f"it answers {refused.code}{needs}") from None
    except OSError as failure:
        raise ValueError(f"it cannot be reached: {why(failure)}") from None
    except (ValueError, KeyError, TypeError, RecursionError, http.client.HTTPException):
        raise ValueError("what answers there is no Ollama") from None
    name = parts.hostname.partition(".")[0].lower()
    plain = name if name.replace("-", "a").isalnum() and name[:1].isalpha() else "endpoint"
    return Place(kind="endpoints", name=plain[:32], url=base, version=str(version), models=tuple(sorted(models)))
