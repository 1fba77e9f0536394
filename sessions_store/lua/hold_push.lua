-- Purpose: say that the tab that was given a push is still there.
--
-- KEYS[1]  push_key   hash  the push
-- ARGV[1]  own_claim  text  the tab's own
-- ARGV[2]  hold_ms    ms    how long the tab is taken to be there from now on
--
-- Returns { 'held' }, or { 'gone' } where nothing more is expected of the tab: there is a result, or no
-- such push.
local push_key = KEYS[1]
local own_claim = ARGV[1]
local hold_ms = ARGV[2]

--- @include "now_us"
--- @include "find_push"

local time_ms = math.floor(now_us() / 1000)
local push = find_push(time_ms)
if not push or push.claim ~= own_claim or push.result then
  return { 'gone' }
end
redis.call('HSET', push_key, 'heldUntilMs', string.format('%.0f', time_ms + hold_ms))
return { 'held' }
