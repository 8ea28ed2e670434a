"""The filters that find the model of a request and put its canonical name into one internal header."""

from router.extension import Config, extension, typed

MODEL_HEADER = "x-ollama-model"
"""Set by the script below, never taken from outside, never sent to a pool."""

LONGEST_BODY = 64 * 2**20
"""Bytes of a request, images of a chat included. Envoy's own default of 1 MiB refuses a photograph."""

SCRIPT = r"""
local function canonical(name)
  name = name:lower():gsub("^registry%.ollama%.ai/", ""):gsub("^library/", "")
  return name:find(":[^/]*$") and name or name .. ":latest"
end

local function from_path(path)
  local name = path:match("^/v1/models/([^/?]+)")
  return name and (name:gsub("%%(%x%x)", function(hex) return string.char(tonumber(hex, 16)) end))
end

local function from_body(handle)
  local read = handle:streamInfo():dynamicMetadata():get("envoy.filters.http.json_to_metadata")
  if read == nil then return nil, "model is required" end
  if read.broken then return nil, "invalid JSON in request body" end
  local name = read.model
  if name == nil or name == "" then name = read.name end
  if name == nil or name == "" then return nil, "model is required" end
  if type(name) ~= "string" then return nil, "model must be a string" end
  return name
end

function envoy_on_request(handle)
  local name, wrong = from_path(handle:headers():get(":path")), nil
  if not name then name, wrong = from_body(handle) end
  if wrong then
    handle:respond({[":status"] = "400"}, wrong)
  elseif #name > 350 or not name:find("^%w[%w_.:/-]*$") then
    handle:respond({[":status"] = "404"}, "model '" .. name:sub(1, 100) .. "' not found")
  else
    handle:streamInfo():dynamicMetadata():set("fleet", "model", name)
    handle:streamInfo():dynamicMetadata():set("fleet", "name", canonical(name))
    handle:headers():replace("x-ollama-model", canonical(name))
  end
end
"""
"""Runs once per request; what it sets makes Envoy look for the route again, now by model."""

_BUFFER = "envoy.filters.http.buffer"
_JSON = "envoy.filters.http.json_to_metadata"
_LUA = "envoy.filters.http.lua"


def filters() -> list[Config]:
    """The chain, switched off: only a route that asks for it by `enabled` reads a body, so no other can be made to.

    The buffer stands first, since the next filter would hold the body too, but only up to a limit of its own.
    """
    return [
        {**extension(_BUFFER, "extensions.filters.http.buffer.v3.Buffer", **_limit()), "disabled": True},
        {"name": _JSON, "typed_config": _json(), "disabled": True},
        {**extension(_LUA, "extensions.filters.http.lua.v3.Lua", default_source_code=_script()), "disabled": True},
    ]


def enabled() -> Config:
    """What a route carries so that the model is read from the body of its requests."""
    return {
        _BUFFER: _on(typed("extensions.filters.http.buffer.v3.BufferPerRoute", buffer=_limit())),
        _JSON: _on(_json()),
        **enabled_for_path(),
    }


def enabled_for_path() -> Config:
    """What a route carries so that the model is read from its path."""
    return {_LUA: _on(typed("extensions.filters.http.lua.v3.LuaPerRoute", source_code=_script()))}


def _on(config: Config) -> Config:
    return typed("config.route.v3.FilterConfig", config=config, disabled=False)


def _limit() -> Config:
    return {"max_request_bytes": LONGEST_BODY}


def _script() -> Config:
    return {"inline_string": SCRIPT}


def _json() -> Config:
    """Any content type: Ollama looks at none, and plain `curl -d` sends that of a form."""
    return typed(
        "extensions.filters.http.json_to_metadata.v3.JsonToMetadata",
        request_rules={
            "allow_content_types_regex": {"regex": ".*"},
            "allow_empty_content_type": True,
            "rules": [
                {
                    "selectors": [{"key": "model"}],
                    "on_present": {"key": "model"},
                    "on_error": {"key": "broken", "value": True},
                },
                {"selectors": [{"key": "name"}], "on_present": {"key": "name"}},
            ],
        },
    )
