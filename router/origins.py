"""Web pages: a browser may call the door only from those that the file names."""

from collections.abc import Iterator

from router.clusters import UNKNOWN_MODEL
from router.extension import Config, extension, typed
from router.rules import Rules

HEADERS = (
    "authorization, content-type, accept, user-agent, x-requested-with, x-api-key, anthropic-version, anthropic-beta, "
    "anthropic-dangerous-direct-browser-access, openai-beta, x-stainless-arch, x-stainless-async, "
    "x-stainless-custom-poll-interval, x-stainless-helper-method, x-stainless-lang, x-stainless-os, "
    "x-stainless-package-version, x-stainless-poll-helper, x-stainless-retry-count, x-stainless-runtime, "
    "x-stainless-runtime-version, x-stainless-timeout"
)
"""What the clients of the three APIs send from a browser; a wildcard would not cover authorization."""

_CORS = "envoy.filters.http.cors"


def filters() -> list[Config]:
    """Answers the question that a browser asks before its request, which carries no key."""
    return [extension(_CORS, "extensions.filters.http.cors.v3.Cors")]


def of_host(rules: Rules) -> dict[str, Config]:
    """What every route is under; nothing where no page is named."""
    if not rules.origins:
        return {}
    return {
        _CORS: typed(
            "extensions.filters.http.cors.v3.CorsPolicy",
            allow_origin_string_match=[_anything() if origin == "*" else {"exact": origin} for origin in rules.origins],
            allow_methods="GET, HEAD, POST",
            allow_headers=HEADERS,
            expose_headers="x-fleet-pool, x-fleet-attempts, retry-after",
            max_age="600",
            forward_not_matching_preflights=False,
        )
    }


def routes(rules: Rules) -> Iterator[Config]:
    """Refuses other pages: a browser sends a simple POST without asking first, and only hides the answer."""
    if not rules.origins:
        return
    if "*" not in rules.origins:
        # one text each: Envoy refuses a regular expression as long as three of them
        others = [
            {"name": "origin", "string_match": {"exact": origin}, "invert_match": True} for origin in rules.origins
        ]
        yield {
            "name": "other origins",
            "match": {"prefix": "/", "headers": others},
            "direct_response": {"status": 403, "body": {"inline_string": "this origin is not in router.origins"}},
        }
    page = {"name": "origin", "present_match": True}
    asks = {"name": ":method", "string_match": {"exact": "OPTIONS"}}
    yield {
        # the filter answers, but only on a route that leads to a cluster
        "name": "what a browser asks first",
        "match": {
            "prefix": "/",
            "headers": [page, asks, {"name": "access-control-request-method", "present_match": True}],
        },
        "route": {"cluster": UNKNOWN_MODEL},
    }


def removed(rules: Rules) -> list[str]:
    """Headers that no pool sees: Ollama would hold a named page against a list of its own."""
    return ["origin"] if rules.origins else []


def _anything() -> Config:
    return {"safe_regex": {"regex": ".*"}}
