-- Purpose: read what is known of a push.
--
-- KEYS[1]  push_key  hash  the push
--
-- Returns { state, created_at_ms, expires_at_ms, reason, digest }, { 'missing' } or { 'corrupt' }.
local push_key = KEYS[1]

--- @include "now_us"
--- @include "find_push"

local push = find_push(math.floor(now_us() / 1000))
if not push then
  return { 'missing' }
end
return { push.state, push.created_at_ms, push.expires_at_ms, push.reason, push.digest }
