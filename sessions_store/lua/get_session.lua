-- Purpose: read a session and the time it has left, as of one moment.
--
-- KEYS[1]  session_key          string   the session's JSON
-- ARGV[1]  default_ttl_seconds  seconds  given to a session that an older writer stored without an
--                                        expiry, because a session must not outlive its connection
--
-- Returns { JSON, remaining milliseconds }, or {} where there is no session.
local session_key = KEYS[1]
local default_ttl_seconds = ARGV[1]

local json = redis.call('GET', session_key)
if not json then
  return {}
end
local remaining_ms = redis.call('PTTL', session_key)
if remaining_ms == -1 then
  redis.call('EXPIRE', session_key, default_ttl_seconds)
  remaining_ms = default_ttl_seconds * 1000
end
return { json, remaining_ms }
