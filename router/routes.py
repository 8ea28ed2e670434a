"""Envoy's routes: what the door lets through and where it leads, what it answers itself, what it refuses."""

import re
from collections.abc import Iterable, Iterator

from router import body, keys, origins, page, waking
from router.clusters import BESIDE, UNKNOWN_MODEL
from router.extension import Config, extension, typed
from router.retrying import RETRIES, elsewhere
from router.routing import Table
from router.rules import Rules
from router.web import NAME_HEADER

BY_BODY = "/api/(chat|generate|embed|embeddings|show)|/v1/(chat/completions|completions|embeddings|responses|messages)"
"""POST, answered by a pool of the model that the body names."""

BY_PATH = "/v1/models/[^/]+"
"""GET, answered by a pool of the model that the path names."""

BY_MODEL = "by model"
"""What leads from name to cluster, once for all routes."""

MANAGEMENT = (
    r"/api/(pull|push|create|copy|delete|blobs(/.*)?|me|signout|status|user(/.*)?|experimental(/.*)?)",
    "this route manages a server and is closed at the door",
)
"""With any method: whoever may ask for answers may not change what the servers hold."""

NOT_HERE = {
    "/v1/audio/transcriptions": ("POST", "the door reads the model from JSON, and this route takes multipart"),
}
"""Ollama has these, the door does not: method and reason."""

MOST_SILENT_SECONDS = 600
MOST_SILENT = f"{MOST_SILENT_SECONDS}s"
"""A stream without a byte for so long is given up. Loading a large model and reading a long prompt on an old card take
minutes; an answer as a whole may take for ever, so there is no other limit on it."""

RETRY_ON = "connect-failure,refused-stream,reset,retriable-status-codes,retriable-headers"
"""`reset` is what made the death of one of three servers lose none of 22,186 requests; with health checks and outlier
detection alone 20 were lost. Envoy retries only as long as nothing of an answer was passed on."""
RETRY_STATUS = (401, 404, 503)
"""503: a server that is full or going. 404: a replica that does not have the model yet; a model that no pool has never
gets as far as a pool. 401: a site that asks for another token, until the probes find out; a client's own key is the
door's to judge."""
RETRY_PAUSE = {"base_interval": "0.025s", "max_interval": "0.5s"}

READING = ("GET", "HEAD")
LISTS = ("/api/version", "/api/tags", "/api/ps", "/v1/models")
"""Answered for the whole fleet by the process beside Envoy, from its memory."""
STATUS = "/fleet/status.json"
BESIDE_PATHS = (*LISTS, page.PATH, STATUS)
BESIDE_WITHIN = "5s"


def routes(table: Table, rules: Rules) -> Config:
    """The whole route configuration. Names that the map does not hold get a 404 and reach no pool."""
    host = {
        "name": "door",
        "domains": ["*"],
        "request_headers_to_remove": [
            body.MODEL_HEADER,
            waking.TO_THE_END,
            *keys.CREDENTIALS,
            *origins.removed(rules),
        ],
        **_for_those_who_wait(table),
        "typed_per_filter_config": {**keys.of_host(rules), **origins.of_host(rules)},
        "routes": [*origins.routes(rules), *_to_models(table, rules), *_own(), *_refused()],
    }
    return typed(
        "config.route.v3.RouteConfiguration",
        name="door",
        virtual_hosts=[host],
        cluster_specifier_plugins=[
            {"extension": _by_header(BY_MODEL, table, table)},
            *({"extension": _by_header(path, own, table)} for path, own in sorted(table.lacking.items())),
        ],
    )


def _to_models(table: Table, rules: Rules) -> Iterator[Config]:
    """What a model answers. Paths that not every pool serves stand before the others, each with its own table."""
    retries = max([RETRIES, *(len(table.members(order)) - 1 for order in table.all_orders)])
    for path, own in sorted(table.lacking.items()):
        yield from _splits(own, table, {"path": path}, retries)
        yield from _by_body(table, path, {"path": path}, rules, retries, plugin=path)
    yield from _splits(table, table, {"prefix": "/"}, retries)
    yield from _by_body(table, "model in the body", {"safe_regex": {"regex": BY_BODY}}, rules, retries, plugin=BY_MODEL)
    yield _by_model(
        table,
        "model in the path",
        {"safe_regex": {"regex": BY_PATH}, "headers": [_method("GET")]},
        body.enabled_for_path(rules),
        retries,
    )


def _splits(own: Table, table: Table, path: Config, retries: int) -> Iterator[Config]:
    """One route each: only a route can weigh. They match when the model is known, at the second look."""
    for name, parts in sorted(own.splits.items()):
        shares = [{"name": table.cluster(order), "weight": weight} for order, weight in parts]
        header = {"name": body.MODEL_HEADER, "string_match": {"exact": name}}
        yield {
            "name": f"split {name}",
            "match": {**path, "headers": [header]},
            "route": _to_pool(table, retries, weighted_clusters={"clusters": shares}),
            "response_headers_to_add": _whence(),
        }


def _by_body(table: Table, name: str, path: Config, rules: Rules, retries: int, *, plugin: str) -> Iterator[Config]:
    """Most requests are too small to hold too many values, and counting takes time."""
    post = _method("POST")
    small = {"name": "content-length", "range_match": {"start": 0, "end": body.MOST_SIGNS}}
    matched, filters = {**path, "headers": [post, small]}, body.enabled(rules, counted=False)
    yield _by_model(table, f"{name}, small", matched, filters, retries, plugin=plugin)
    yield _by_model(table, name, {**path, "headers": [post]}, body.enabled(rules), retries, plugin=plugin)


def _by_model(
    table: Table, name: str, match: Config, filters: Config, retries: int, *, plugin: str = BY_MODEL
) -> Config:
    """Looked up twice: at first no model is known and the filters are switched on, then the header leads to a pool."""
    return {
        "name": name,
        "match": match,
        "typed_per_filter_config": filters,
        "route": _to_pool(table, retries, cluster_specifier_plugin=plugin),
        "response_headers_to_add": _whence(),
    }


def _by_header(name: str, own: Table, table: Table) -> Config:
    """A hash map from name to cluster: as fast for 10,000 models as for ten, where routes in a row take 15 times as
    long, and a map of whole routes four times the bytes."""

    def to(cluster: str) -> Config:
        action = "extensions.router.cluster_specifiers.matcher.v3.ClusterAction"
        return {"action": extension("cluster", action, cluster=cluster)}

    return extension(
        name,
        "extensions.router.cluster_specifiers.matcher.v3.MatcherClusterSpecifier",
        cluster_matcher={
            "matcher_tree": {
                "input": extension(
                    "model", "type.matcher.v3.HttpRequestHeaderMatchInput", header_name=body.MODEL_HEADER
                ),
                "exact_match_map": {
                    "map": {model: to(table.cluster(order)) for model, order in sorted(own.orders.items())},
                },
            },
            "on_no_match": to(UNKNOWN_MODEL),
        },
    )


def _to_pool(table: Table, retries: int, **where: object) -> Config:
    return {
        **where,
        "timeout": "0s",
        "idle_timeout": _silence(table),
        # A reverse proxy in front of a site finds its server by this name, and an Ollama on loopback refuses others.
        "auto_host_rewrite": True,
        "retry_policy": {
            **elsewhere(RETRY_ON, retries),
            "retriable_status_codes": list(RETRY_STATUS),
            "retriable_headers": [{"name": waking.SLEPT, "present_match": True}],
            # Without it every retry goes back to the first pool while that is up: 5 of 5 requests to one that was just
            # awake and still busy got its 503, though the next pool was idle.
            "retry_priority": extension(
                "envoy.retry_priorities.previous_priorities",
                "extensions.retry.priority.previous_priorities.v3.PreviousPrioritiesConfig",
                update_frequency=1,
            ),
            "retry_back_off": RETRY_PAUSE,
        },
    }


def _for_those_who_wait(table: Table) -> Config:
    """When a request came: whoever holds it knows for how long already, however often it was tried. And whether any
    other pool is left for it."""
    if not table.sleepers:
        return {}
    to_the_end = _header(waking.TO_THE_END, "%METADATA(CLUSTER:fleet:to_the_end)%")
    return {"request_headers_to_add": [_header(waking.SINCE, "%START_TIME(%s)%"), to_the_end]}


def _silence(table: Table) -> str:
    """Nobody is given up who waits for a pool that may still come."""
    patience = waking.longest(table.sleepers.values())
    return f"{max(MOST_SILENT_SECONDS, patience + waking.BEYOND)}s" if patience else MOST_SILENT


def _whence() -> list[Config]:
    return [
        _header("x-fleet-pool", "%UPSTREAM_METADATA(fleet:pool)%"),
        _header("x-fleet-attempts", "%UPSTREAM_REQUEST_ATTEMPT_COUNT%"),
    ]


def _own() -> Iterator[Config]:
    """What needs no pool."""
    yield _answer("/", READING, 200, "Ollama is running")
    for path in BESIDE_PATHS:
        yield {
            "name": path,
            "match": {"path": path, "headers": [_method(*READING)]},
            "route": {
                "cluster": BESIDE,
                "timeout": BESIDE_WITHIN,
                "retry_policy": {"retry_on": "connect-failure,reset", "num_retries": RETRIES},
            },
            "request_headers_to_add": [_header(NAME_HEADER, "%DYNAMIC_METADATA(fleet:key)%")],
        }
    for path, (method, reason) in NOT_HERE.items():
        yield _answer(path, (method,), 501, reason)


def _refused() -> Iterator[Config]:
    management, closed = MANAGEMENT
    yield {
        "name": "management",
        "match": {"safe_regex": {"regex": management}},
        "direct_response": _direct(403, closed),
    }
    for allowed, paths in (
        ("POST", BY_BODY),
        ("GET", BY_PATH),
        ("GET, HEAD", f"/|{'|'.join(map(re.escape, BESIDE_PATHS))}"),
        *((method, path) for path, (method, _) in NOT_HERE.items()),
    ):
        yield {
            "name": f"only {allowed}",
            "match": {"safe_regex": {"regex": paths}},
            "direct_response": _direct(405, "method not allowed"),
            "response_headers_to_add": [_header("allow", allowed)],
        }
    yield {"name": "unknown", "match": {"prefix": "/"}, "direct_response": _direct(404, "404 page not found")}


def _answer(path: str, methods: Iterable[str], status: int, text: str) -> Config:
    return {
        "name": path,
        "match": {"path": path, "headers": [_method(*methods)]},
        "direct_response": _direct(status, text),
    }


def _direct(status: int, text: str) -> Config:
    return {"status": status, "body": {"inline_string": text}}


def _method(*methods: str) -> Config:
    return {"name": ":method", "string_match": {"safe_regex": {"regex": "|".join(methods)}}}


def _header(name: str, value: str) -> Config:
    return {"header": {"key": name, "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}
