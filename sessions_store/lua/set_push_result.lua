-- Purpose: store what a tab says became of the push that it, or the tab before it, was given.
--
-- KEYS[1]  push_key        hash   the push
-- ARGV[1]  own_session_id  text   the tab's: that of the push
-- ARGV[2]  new_result      text   delivered or failed; the first one stays
-- ARGV[3]  new_reason      bytes  of a failure, in the tab's words; empty for none
--
-- Returns { state, created_at_ms, expires_at_ms, reason }, { 'missing' } where the session's tabs were
-- given no such push, or { 'corrupt' }.
local push_key = KEYS[1]
local own_session_id = ARGV[1]
local new_result = ARGV[2]
local new_reason = ARGV[3]

--- @include "now_us"
--- @include "find_push"

local push = find_push(math.floor(now_us() / 1000))
if push and push.state == 'corrupt' then
  return { 'corrupt' }
end
if not push or push.session_id ~= own_session_id or not push.claim then
  return { 'missing' }
end
if not push.result then
  push.state, push.reason = new_result, new_reason
  redis.call('HSET', push_key, 'result', new_result, 'reason', new_reason)
  -- Nobody is given these words any more; the digest tells a repetition from another push.
  redis.call('HDEL', push_key, 'content')
end
return { push.state, push.created_at_ms, push.expires_at_ms, push.reason }
