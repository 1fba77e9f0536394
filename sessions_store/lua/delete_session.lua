-- Purpose: delete a session only if it is still the one that was read, so that a closing tab cannot
-- remove the session that replaced its own.
--
-- KEYS[1]  session_key    string  the session's JSON
-- ARGV[1]  expected_json  bytes   the JSON that was read
--
-- Returns 1 if it was deleted, 0 if another session or none is stored.
local session_key = KEYS[1]
local expected_json = ARGV[1]

if redis.call('GET', session_key) == expected_json then
  return redis.call('DEL', session_key)
end
return 0
