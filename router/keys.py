"""The filters that let in whoever has a key, and count what each key asks for.

Envoy holds the SHA-256 of each key and no key: neither its files nor its administration can give one away.
"""

import math
from collections.abc import Mapping

from router import page
from router.extension import Config, extension, typed
from router.rules import Key, Rules

CREDENTIALS = ("authorization", "x-api-key")
"""Where clients put a key. Taken off every request before it goes on, whether keys are asked for or not."""

OPEN_PATHS = ("/", page.PATH)
"""What needs no key and tells nothing."""

MINUTE = "60s"
NO_LIMIT = 2**32 - 1

_KEYS = "fleet.keys"
_LIMITS = "envoy.filters.http.local_ratelimit"
_LUA = "extensions.filters.http.lua.v3.Lua"

NOBODY = """
function envoy_on_request(handle)
  handle:respond({[":status"] = "401"}, "the door has no keys to check")
end
"""
"""Runs wherever no route says otherwise, so that a mistake closes the door."""

SCRIPT = r"""
local bit = require("bit")
local band, bor, bxor, bnot = bit.band, bit.bor, bit.bxor, bit.bnot
local ror, rshift, lshift, tobit = bit.ror, bit.rshift, bit.lshift, bit.tobit

local keys = {
@keys@
}
local open = {@open@}

local K = {
  0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
  0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
  0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
  0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
  0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
  0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
  0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
  0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2}
local W = {}

-- FIPS 180-4; its work depends on the length of the text alone
local function sha256(text)
  local bits = #text * 8
  text = text .. "\128" .. string.rep("\0", (61 - #text) % 64)
    .. string.char(band(rshift(bits, 8), 255), band(bits, 255))
  local h0, h1, h2, h3 = 0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a
  local h4, h5, h6, h7 = 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19
  for start = 1, #text, 64 do
    for i = 0, 15 do
      local b1, b2, b3, b4 = text:byte(start + i * 4, start + i * 4 + 3)
      W[i] = bor(lshift(b1, 24), lshift(b2, 16), lshift(b3, 8), b4)
    end
    for i = 16, 63 do
      local x, y = W[i - 15], W[i - 2]
      W[i] = tobit(W[i - 16] + bxor(ror(x, 7), ror(x, 18), rshift(x, 3)) + W[i - 7]
        + bxor(ror(y, 17), ror(y, 19), rshift(y, 10)))
    end
    local a, b, c, d, e, f, g, h = h0, h1, h2, h3, h4, h5, h6, h7
    for i = 0, 63 do
      local first = tobit(h + bxor(ror(e, 6), ror(e, 11), ror(e, 25)) + bxor(band(e, f), band(bnot(e), g))
        + K[i + 1] + W[i])
      local second = tobit(bxor(ror(a, 2), ror(a, 13), ror(a, 22)) + bxor(band(a, b), band(a, c), band(b, c)))
      a, b, c, d, e, f, g, h = tobit(first + second), a, b, c, tobit(d + first), e, f, g
    end
    h0, h1, h2, h3 = tobit(h0 + a), tobit(h1 + b), tobit(h2 + c), tobit(h3 + d)
    h4, h5, h6, h7 = tobit(h4 + e), tobit(h5 + f), tobit(h6 + g), tobit(h7 + h)
  end
  return h0, h1, h2, h3, h4, h5, h6, h7
end

-- every key is compared to its end, whichever fits
local function known(text)
  local a, b, c, d, e, f, g, h = sha256(text)
  local found
  for i = 1, #keys do
    local k = keys[i]
    local difference = bor(bxor(a, k[2]), bxor(b, k[3]), bxor(c, k[4]), bxor(d, k[5]),
      bxor(e, k[6]), bxor(f, k[7]), bxor(g, k[8]), bxor(h, k[9]))
    if difference == 0 then found = k end
  end
  return found
end

local function refuse(handle, text)
  handle:respond({[":status"] = "401", ["www-authenticate"] = "Bearer"}, text)
end

function envoy_on_request(handle)
  local headers = handle:headers()
  if open[headers:get(":path")] then return end
  if headers:getNumValues("authorization") > 1 or headers:getNumValues("x-api-key") > 1 then
    return refuse(handle, "one request brings one key")
  end
  local bearer = (headers:get("authorization") or ""):match("^%s*[Bb][Ee][Aa][Rr][Ee][Rr]%s+(%S+)%s*$")
  local plain = headers:get("x-api-key")
  if plain == "" then plain = nil end
  if bearer and plain and bearer ~= plain then return refuse(handle, "one request brings one key") end
  local presented = bearer or plain
  if not presented then
    return refuse(handle, "a key is required: send Authorization: Bearer KEY, or x-api-key: KEY")
  end
  if #presented > 512 then return refuse(handle, "this key is not known here") end
  local key = known(presented)
  if not key then return refuse(handle, "this key is not known here") end
  local metadata = handle:streamInfo():dynamicMetadata()
  metadata:set("fleet", "key", key[1])
  if key[10] then metadata:set("fleet", "retry", key[10]) end
end
"""


def filters() -> list[Config]:
    """Closed, and without limits: what `of_host` gives a route configuration says otherwise."""
    return [
        {"name": _KEYS, "typed_config": typed(_LUA, default_source_code={"inline_string": NOBODY})},
        extension(_LIMITS, "extensions.filters.http.local_ratelimit.v3.LocalRateLimit", stat_prefix="fleet"),
    ]


def of_host(rules: Rules) -> dict[str, Config]:
    """What every route is under."""
    per_route = "extensions.filters.http.lua.v3.LuaPerRoute"
    if rules.keys is None:
        return {_KEYS: typed(per_route, disabled=True)}
    limited = {name: key.requests_per_minute for name, key in rules.keys.items() if key.requests_per_minute}
    return {
        _KEYS: typed(per_route, source_code={"inline_string": _script(rules.keys)}),
        **({_LIMITS: _limits(limited)} if limited else {}),
    }


def _limits(limited: Mapping[str, int]) -> Config:
    """A bucket for each key, which all threads of this Envoy share."""
    action = {
        "metadata": {
            "descriptor_key": "key",
            "metadata_key": {"key": "fleet", "path": [{"key": "key"}]},
            "source": "DYNAMIC",
            "skip_if_absent": True,
        }
    }
    return typed(
        "extensions.filters.http.local_ratelimit.v3.LocalRateLimit",
        stat_prefix="fleet",
        token_bucket=_bucket(NO_LIMIT),
        filter_enabled=_always(),
        filter_enforced=_always(),
        always_consume_default_token_bucket=False,
        rate_limits=[{"actions": [action]}],
        descriptors=[
            {"entries": [{"key": "key", "value": name}], "token_bucket": _bucket(limit)}
            for name, limit in sorted(limited.items())
        ],
    )


def _bucket(requests: int) -> Config:
    return {"max_tokens": requests, "tokens_per_fill": requests, "fill_interval": MINUTE}


def _always() -> Config:
    return {"default_value": {"numerator": 100}}


def _script(keys: Mapping[str, Key]) -> str:
    entries = ",\n".join(f"  {{{_entry(name, key)}}}" for name, key in sorted(keys.items()))
    opened = ", ".join(f"[{lua_text(path)}] = true" for path in OPEN_PATHS)
    return SCRIPT.replace("@keys@", entries).replace("@open@", opened)


def _entry(name: str, key: Key) -> str:
    words = ", ".join(f"0x{key.digest[start : start + 8]}" for start in range(0, 64, 8))
    limit = key.requests_per_minute
    # a bucket fills evenly: the next token is never further away
    retry = f", {lua_text(str(math.ceil(60 / limit)))}" if limit else ""
    return f"{lua_text(name)}, {words}{retry}"


def lua_text(text: str) -> str:
    """`text` as Lua writes it, with nothing in it that could end it."""
    plain = "".join(chr(byte) if chr(byte).isalnum() and byte < 128 else f"\\{byte:03d}" for byte in text.encode())
    return f'"{plain}"'
