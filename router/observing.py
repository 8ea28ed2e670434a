"""What Envoy writes and counts of each request: never a prompt, never a key."""

from router.clusters import UNKNOWN_MODEL
from router.extension import Config, extension

PREFIX = "fleet"
"""Of the statistics below."""

POOL = "%UPSTREAM_METADATA(fleet:pool)%"
MODEL = "%DYNAMIC_METADATA(fleet:name)%"
KEY = "%DYNAMIC_METADATA(fleet:key)%"
"""The name of the key, never the key."""
_QUOTE_IN_A_LABEL = r"\""
"""As Envoy writes it. No name of a model, pool or key holds one."""
FIRST_BYTE = "%COMMON_DURATION(DS_RX_BEG:US_RX_BEG:ms)%"

LINE = {
    "time": "%START_TIME%",
    "method": "%REQ(:METHOD)%",
    # without its query, in which some clients send a key
    "path": "%PATH(NQ)%",
    "status": "%RESPONSE_CODE%",
    "key": KEY,
    "model": MODEL,
    "pool": POOL,
    "replica": "%UPSTREAM_HOST%",
    "attempts": "%UPSTREAM_REQUEST_ATTEMPT_COUNT%",
    "bytes_in": "%BYTES_RECEIVED%",
    "bytes_out": "%BYTES_SENT%",
    "first_byte_ms": FIRST_BYTE,
    "duration_ms": "%DURATION%",
    "flags": "%RESPONSE_FLAGS%",
    "details": "%RESPONSE_CODE_DETAILS%",
    "client": "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%",
    "id": "%REQ(X-REQUEST-ID)%",
}


def access_logs() -> list[Config]:
    """One line of JSON for each request, and figures by model and pool for those of a model that the map has."""
    line = extension(
        "envoy.access_loggers.stdout",
        "extensions.access_loggers.stream.v3.StdoutAccessLog",
        log_format={"json_format": LINE},
    )
    figures = extension(
        "envoy.access_loggers.stats",
        "extensions.access_loggers.stats.v3.Config",
        stats_scope={"prefix": PREFIX},
        counters=[
            _stat("requests", status="%RESPONSE_CODE%"),
            _stat("attempts", value="%UPSTREAM_REQUEST_ATTEMPT_COUNT%"),
            _stat("bytes_in", value="%BYTES_RECEIVED%"),
            _stat("bytes_out", value="%BYTES_SENT%"),
        ],
        histograms=[
            {**_stat("duration_ms", value="%DURATION%"), "unit": "Milliseconds"},
            {**_stat("first_byte_ms", value=FIRST_BYTE), "unit": "Milliseconds"},
        ],
    )
    return [{**line, "filter": {"not_health_check_filter": {}}}, {**figures, "filter": _known_model()}]


def as_prometheus_reads(text: str) -> str:
    """Envoy's figures with each label for itself."""
    return text.replace(_QUOTE_IN_A_LABEL, '"')


def _stat(name: str, *, value: str = "", **labels: str) -> Config:
    """A figure that grows by `value`, or by one, of a model, pool and key."""
    stat = {"name": name, "tags": [_all_in_one(model=MODEL, pool=POOL, key=KEY, **labels)]}
    return {"stat": stat, "value_format": value} if value else {"stat": stat, "value_fixed": 1}


def _all_in_one(**labels: str) -> Config:
    """Labels as the value of the first of them: each tag costs a request its making and its part of six look-ups."""
    first, *_ = labels
    text = ",".join(f'{name}="{value}"' for name, value in labels.items())
    return {"name": first, "value_format": text.removeprefix(f'{first}="').removesuffix('"')}


def _known_model() -> Config:
    """A name that a client makes up would be a figure of its own, and there is no end of names."""
    return {
        "extension_filter": extension(
            "envoy.access_loggers.extension_filters.cel",
            "extensions.access_loggers.filters.cel.v3.ExpressionFilter",
            expression=f"xds.cluster_name != '{UNKNOWN_MODEL}' && 'fleet' in metadata.filter_metadata",
        )
    }
