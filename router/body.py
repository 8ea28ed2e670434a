"""The filters that find the model of a request and put its canonical name into one internal header."""

from router.extension import Config, extension, typed
from router.keys import lua_text
from router.rules import Rules

MODEL_HEADER = "x-ollama-model"
"""Set by the script below, never taken from outside, never sent to a pool."""

OPTIONS = ("num_ctx", "num_gpu", "main_gpu")
"""Of a request, that make Ollama load the model anew, with another need of memory than the plan's."""

MOST_SIGNS = 250_000
"""Of JSON in one request: brackets, commas, strings. Behind each may be a value, and a value of two bytes takes Envoy's
parser 200, so that a body of 33 MB could take 3.5 GB."""

CLOSING = r"""
-- Where the string ends whose first character is here.
local function closing(text, at)
  local last = text:find('"', at, true)
  while last do
    local back = last - 1
    while text:byte(back) == 92 do back = back - 1 end
    if (last - back) % 2 == 1 then return last end
    last = text:find('"', last + 1, true)
  end
end
"""

COUNTING = (
    CLOSING
    + r"""
local most, signs = @most@, {",", "[", "{"}

-- At a glance: those within strings too.
local function many(body, length)
  local found, step = 0, 65536
  for start = 0, length - 1, step do
    local text = body:getBytes(start, math.min(step, length - start))
    for i = 1, #signs do
      local at = text:find(signs[i], 1, true)
      while at do
        found = found + 1
        if found > most then return true end
        at = text:find(signs[i], at + 1, true)
      end
    end
  end
  return false
end

local function too_many(text)
  local at = 1
  for _ = 1, most do
    local start = text:find('[",{%[]', at)
    if not start then return false end
    at = start + 1
    if text:byte(start) == 34 then
      local last = closing(text, at)
      if not last then return false end
      at = last + 1
    end
  end
  return true
end

function envoy_on_request(handle)
  local body = handle:body()
  local length = body and body:length() or 0
  if length > most and many(body, length) and too_many(body:getBytes(0, length)) then
    handle:respond({[":status"] = "400"}, "the request holds too many JSON values")
  end
end
"""
)
"""Runs before anything reads the JSON."""

SCRIPT = (
    CLOSING
    + r"""
local contexts = {@contexts@}
local allowed = {@allowed@}

local function canonical(name)
  name = name:lower():gsub("^registry%.ollama%.ai/", ""):gsub("^library/", "")
  return name:find(":[^/]*$") and name or name .. ":latest"
end

local function from_path(path)
  local name = path:match("^/v1/models/([^/?]+)")
  return name and (name:gsub("%%(%x%x)", function(hex) return string.char(tonumber(hex, 16)) end))
end

local function count(text, word, from, to)
  local number, at = 0, text:find(word, from, true)
  while at and at <= to do
    number, at = number + 1, text:find(word, at + 1, true)
  end
  return number
end

-- Whether a look at the names of the outermost object is due: one of them may stand twice, or in a spelling that
-- Ollama takes for it (any case; U+017F is an s and U+212A a k) and the JSON filter does not.
local function doubtful(body, words)
  local length, step, numbers = body:length(), 65536, {}
  for start = 0, length - 1, step do
    local text = body:getBytes(start, math.min(step + 32, length - start))
    local low = text:lower()
    local at = low:find("\\u", 1, true)
    while at do
      if low:find("^00[4-7]", at + 2) or low:find("^017f", at + 2) or low:find("^212a", at + 2) then return true end
      at = low:find("\\u", at + 2, true)
    end
    if low:find("\197\191", 1, true) or low:find("\226\132\170", 1, true) then return true end
    for i = 1, #words do
      local quoted = '"' .. words[i] .. '"'
      local any = count(low, quoted, 1, step)
      numbers[i] = (numbers[i] or 0) + any
      if numbers[i] > 1 or any > 0 and count(text, quoted, 1, step) == 0 then return true end
    end
  end
  return false
end

local function plain(text)
  if text:find("\\", 1, true) then
    text = text:gsub("\\u(%x%x%x%x)", function(hex)
      local code = tonumber(hex, 16)
      if code < 128 then return string.char(code) end
      return code == 0x17f and "\197\191" or code == 0x212a and "\226\132\170" or nil
    end)
  end
  return text
end

-- Which of the words stands twice, or in another spelling, as a name of the outermost object.
local function misspelt(text, words)
  local seen, depth, at, steps = {}, 0, 1, 0
  while true do
    local start = text:find('["{}%[%]]', at)
    if not start then return nil end
    steps = steps + 1
    if steps > 200000 then return words[1] end
    local sign = text:byte(start)
    at = start + 1
    if sign == 34 then
      local last = closing(text, at)
      if not last then return nil end
      at = last + 1
      if depth == 1 and last - start < 100 and text:find("^%s*:", at) then
        local name = plain(text:sub(start + 1, last - 1))
        local folded = name:lower():gsub("\197\191", "s"):gsub("\226\132\170", "k")
        for i = 1, #words do
          if folded == words[i] then
            if seen[i] or name ~= words[i] then return words[i] end
            seen[i] = true
          end
        end
      end
    elseif sign == 123 or sign == 91 then
      depth = depth + 1
    else
      depth = depth - 1
    end
  end
end

local function from_body(handle)
  local read = handle:streamInfo():dynamicMetadata():get("envoy.filters.http.json_to_metadata")
  if read == nil then return nil, "model is required" end
  if read.broken then return nil, "invalid JSON in request body" end
  local name, words = read.model, {"model", "options"}
  if name == nil or name == "" then name, words = read.name, {"model", "name", "options"} end
  if name == nil or name == "" then return nil, "model is required" end
  if type(name) ~= "string" then return nil, "model must be a string" end
  local body = handle:body()
  if body and doubtful(body, words) then
    local word = misspelt(body:getBytes(0, body:length()), words)
    if word then return nil, word .. " stands more than once, or not in lower case" end
  end
  return name, nil, read
end

local function unplanned(name, read)
  local context = contexts[name]
  if context == nil then return nil end
  local asked = read.num_ctx
  if asked ~= nil and asked ~= context then
    if context == 0 then return "options.num_ctx is fixed by the plan: leave it out" end
    return "options.num_ctx is fixed by the plan: leave it out, or ask for " .. context
  end
  if read.num_gpu ~= nil then return "options.num_gpu is fixed by the plan: leave it out" end
  if read.main_gpu ~= nil then return "options.main_gpu is fixed by the plan: leave it out" end
end

-- The door's own page, with a key: Ollama would hold its address against a list of its own.
local function from_own_page(headers)
  local page = headers:get("origin")
  return page ~= nil and page:match("^https?://(.+)$") == headers:get(":authority")
end

function envoy_on_request(handle)
  local name, wrong, read = from_path(handle:headers():get(":path")), nil, nil
  if not name then name, wrong, read = from_body(handle) end
  if wrong then return handle:respond({[":status"] = "400"}, wrong) end
  if #name > 350 or not name:find("^%w[%w_.:/-]*$") then
    return handle:respond({[":status"] = "404"}, "model '" .. name:sub(1, 100) .. "' not found")
  end
  local own = canonical(name)
  local metadata = handle:streamInfo():dynamicMetadata()
  local known = metadata:get("fleet")
  local only = known and known.key and allowed[known.key]
  if only and not only[own] then
    return handle:respond({[":status"] = "403"}, "this key may not ask for model '" .. name .. "'")
  end
  if read and handle:headers():get(":path"):sub(1, 5) == "/api/" then
    local reason = unplanned(own, read)
    if reason then return handle:respond({[":status"] = "400"}, reason) end
  end
  if known and known.key and from_own_page(handle:headers()) then handle:headers():remove("origin") end
  metadata:set("fleet", "model", name)
  metadata:set("fleet", "name", own)
  handle:headers():replace("x-ollama-model", own)
end
"""
)
"""Runs once per request; what it sets makes Envoy look for the route again, now by model."""

_BUFFER = "envoy.filters.http.buffer"
_JSON = "envoy.filters.http.json_to_metadata"
_COUNT = "fleet.values"
_LUA = "envoy.filters.http.lua"


def filters() -> list[Config]:
    """The chain, switched off: only a route that asks for it by `enabled` reads a body, so no other can be made to.

    The buffer stands first, since the next filter would hold the body too, but only up to a limit of its own.
    """
    limit = {"max_request_bytes": Rules().max_body}
    return [
        {**extension(_BUFFER, "extensions.filters.http.buffer.v3.Buffer", **limit), "disabled": True},
        {"name": _COUNT, "typed_config": typed("extensions.filters.http.lua.v3.Lua"), "disabled": True},
        {"name": _JSON, "typed_config": _json(), "disabled": True},
        extension(_LUA, "extensions.filters.http.lua.v3.Lua") | {"disabled": True},
    ]


def enabled(rules: Rules, *, counted: bool = True) -> Config:
    """What a route carries so that the model is read from the body of its requests, once its values are counted."""
    limit = {"max_request_bytes": rules.max_body}
    return {
        _BUFFER: _on(typed("extensions.filters.http.buffer.v3.BufferPerRoute", buffer=limit)),
        **({_COUNT: _running(COUNTING.replace("@most@", str(MOST_SIGNS)))} if counted else {}),
        _JSON: _on(_json()),
        **enabled_for_path(rules),
    }


def enabled_for_path(rules: Rules) -> Config:
    """What a route carries so that the model is read from its path."""
    return {_LUA: _running(_script(rules))}


def _running(script: str) -> Config:
    return _on(typed("extensions.filters.http.lua.v3.LuaPerRoute", source_code={"inline_string": script}))


def _on(config: Config) -> Config:
    return typed("config.route.v3.FilterConfig", config=config, disabled=False)


def _script(rules: Rules) -> str:
    contexts = [f"[{lua_text(name)}]={context}" for name, context in sorted(rules.contexts.items())]
    allowed = [
        f"[{lua_text(name)}]={{{','.join(f'[{lua_text(model)}]=true' for model in key.models)}}}"
        for name, key in sorted((rules.keys or {}).items())
        if key.models
    ]
    return SCRIPT.replace("@contexts@", ",".join(contexts if rules.refuses_options else [])).replace(
        "@allowed@", ",".join(allowed)
    )


def _json() -> Config:
    """Any content type: Ollama looks at none, and plain `curl -d` sends that of a form."""
    model = _rule("model", "model")
    return typed(
        "extensions.filters.http.json_to_metadata.v3.JsonToMetadata",
        request_rules={
            "allow_content_types_regex": {"regex": ".*"},
            "allow_empty_content_type": True,
            "rules": [
                {**model, "on_error": {"key": "broken", "value": True}},
                _rule("name", "name"),
                *(_rule(option, "options", option) for option in OPTIONS),
            ],
        },
    )


def _rule(key: str, *path: str) -> Config:
    return {"selectors": [{"key": part} for part in path], "on_present": {"key": key}}
