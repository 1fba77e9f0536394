-- get_session(session, default_ttl) -> { json, remaining } | {}
-- Purpose: one session and the time it has left, as of one moment.
-- KEYS[1]  string  the session's JSON
-- ARGV[1]  seconds the lifetime of a session that an older writer left without an expiry: it gets
--          one when it is first read, because a session must not outlive its connection
-- Returns the JSON and the remaining milliseconds, or nothing where there is no session.
local json = redis.call('GET', KEYS[1])
if not json then
  return {}
end
local remaining = redis.call('PTTL', KEYS[1])
if remaining == -1 then
  redis.call('EXPIRE', KEYS[1], ARGV[1])
  remaining = ARGV[1] * 1000
end
return { json, remaining }
