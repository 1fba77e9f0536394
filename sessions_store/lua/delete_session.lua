-- delete_session(session, expected) -> 1 | 0
-- Purpose: delete a session only if it is still the one that was looked at, so that a closing tab
--          cannot remove the session that replaced its own.
-- KEYS[1]  string  the session's JSON
-- ARGV[1]  bytes   the JSON that was looked at
-- Returns 1 where it was deleted, 0 where something else or nothing stands there.
if redis.call('GET', KEYS[1]) == ARGV[1] then
  return redis.call('DEL', KEYS[1])
end
return 0
