"""Envoy's own answers (errors above all) in the words and the shape of the API that was asked."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from router.clusters import UNKNOWN_MODEL
from router.extension import Config, extension
from router.routing import LACKING

BODY = "%LOCAL_REPLY_BODY%"
WHERE = "%METADATA(CLUSTER:fleet:where)%"
"""` at site rig`, where a model is nowhere else."""


@dataclass(frozen=True, kw_only=True)
class Reason:
    """Why Envoy answers by itself, and what it then says; None leaves what it has."""

    filter: Config
    status: int | None = None
    message: str | None = None
    retry_after: int | str | None = None


@dataclass(frozen=True, kw_only=True)
class Api:
    """One of the three APIs: its paths, and the types of its errors by status."""

    prefix: str | None
    types: dict[int, str]

    def shape(self, message: str, status: int | None) -> Config:
        """An error of this API as JSON."""
        kind = self.types.get(status or 0, "api_error")
        if self.prefix is None:
            return {"error": message}
        if self.prefix == "/v1/messages":
            return {"type": "error", "error": {"type": kind, "message": message}}
        return {"error": {"message": message, "type": kind, "param": None, "code": None}}


# The types are those of Ollama's own compatible routes.
OPENAI = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
}
ANTHROPIC = {**OPENAI, 413: "request_too_large", 503: "overloaded_error"}
APIS = (
    Api(prefix="/v1/messages", types=ANTHROPIC),
    Api(prefix="/v1/", types=OPENAI),
    Api(prefix=None, types={}),
)
"""The first whose prefix fits is the one that was asked."""


def _flag(flag: str) -> Config:
    return {"response_flag_filter": {"flags": [flag]}}


def _status(status: int, comparison: str = "EQ") -> Config:
    value = {"default_value": status, "runtime_key": "unused"}
    return {"status_code_filter": {"comparison": {"op": comparison, "value": value}}}


def _where(expression: str) -> Config:
    return {
        "extension_filter": extension(
            "envoy.access_loggers.extension_filters.cel",
            "extensions.access_loggers.filters.cel.v3.ExpressionFilter",
            expression=expression,
        )
    }


def _all(*filters: Config) -> Config:
    return {"and_filter": {"filters": list(filters)}}


REASONS = (
    Reason(
        filter=_all(_flag("UH"), _where(f"xds.cluster_name == '{UNKNOWN_MODEL}'")),
        status=404,
        message="model '%DYNAMIC_METADATA(fleet:model)%' not found",
    ),
    Reason(
        filter=_all(_flag("UH"), _where(f"xds.cluster_name == '{LACKING}'")),
        status=501,
        message="no server of '%DYNAMIC_METADATA(fleet:model)%' has %PATH(NQ)%: the image of its pools lacks it",
    ),
    Reason(
        filter=_flag("UH"), status=503, message=f"no server of this model{WHERE} is up, please try again", retry_after=5
    ),
    Reason(filter=_flag("NC"), status=503, message="this model is being moved, please try again", retry_after=2),
    Reason(
        filter=_flag("UO"),
        status=503,
        message="too many requests wait for this model's server to start, please try again",
        retry_after=30,
    ),
    Reason(
        filter=_where("response.code_details == 'overload'"),
        status=503,
        message="the router has no memory for this request at the moment, please try again",
        retry_after=10,
    ),
    Reason(filter=_flag("UF"), status=502, message=f"no server of this model{WHERE} could be reached", retry_after=2),
    Reason(filter=_flag("UC"), status=502, message="the server of this model broke off", retry_after=2),
    Reason(filter=_flag("SI"), status=504, message="nothing was sent for too long"),
    Reason(
        filter=_status(429),
        status=429,
        message="this key has no requests left for the moment",
        retry_after="%DYNAMIC_METADATA(fleet:retry)%",
    ),
    Reason(filter=_status(413), status=413, message="request body too large"),
    # The protocol's own refusals have no text; those of the script have.
    Reason(
        filter=_all(_status(400), _where("response.code_details != 'lua_response'")),
        status=400,
        message="bad request: %RESPONSE_CODE_DETAILS%",
    ),
    *(Reason(filter=_status(status), status=status) for status in (400, 401, 403, 404)),
    Reason(filter=_status(400, "GE")),
)
"""The first that fits decides."""


def local_replies() -> Config:
    """The `local_reply_config` of the door: every error that no pool wrote is JSON in the shape of its API."""
    return {"mappers": [mapper for reason in REASONS for mapper in _mappers(reason)]}


def replies_to_the_door() -> Config:
    """The same of the listener on loopback. There a server that cannot be reached is a 503, which the door tries at the
    next pool: with four servers killed at once, each try of the hop met another of them, and the client had its 502."""
    return {
        "mappers": [
            mapper
            for reason in REASONS
            for mapper in _mappers(replace(reason, status=503) if reason.status == 502 else reason)
        ]
    }


def _mappers(reason: Reason) -> Iterator[Config]:
    for api in APIS:
        path = [] if api.prefix is None else [_path(api.prefix)]
        mapper: Config = {
            "filter": _all(reason.filter, *path) if path else reason.filter,
            "body_format_override": {"json_format": api.shape(reason.message or BODY, reason.status)},
        }
        if reason.status:
            mapper["status_code"] = reason.status
        if reason.retry_after:
            header = {"key": "retry-after", "value": str(reason.retry_after)}
            mapper["headers_to_add"] = [{"header": header, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}]
        yield mapper


def _path(prefix: str) -> Config:
    return {"header_filter": {"header": {"name": ":path", "string_match": {"prefix": prefix}}}}
