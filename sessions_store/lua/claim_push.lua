-- Purpose: take a push that waits, for one tab: it is given to no other, whatever becomes of that one.
--
-- KEYS[1]  push_key   hash  the push
-- KEYS[2]  queue_key  zset  the ids of the session's pushes that wait
-- ARGV[1]  push_id    text  the member of the queue
-- ARGV[2]  own_claim  text  the tab's own: while it is 'sent', it may claim again what it has
-- ARGV[3]  hold_ms    ms    how long the tab is taken to be there
--
-- Returns { 'claimed', content }, { 'gone' } where it is not to be had (any more), or { 'corrupt' }.
local push_key = KEYS[1]
local queue_key = KEYS[2]
local push_id = ARGV[1]
local own_claim = ARGV[2]
local hold_ms = ARGV[3]

--- @include "now_us"
--- @include "find_push"

local time_ms = math.floor(now_us() / 1000)
local push = find_push(time_ms)
local state = push and push.state or 'gone'
local is_to_have = state == 'queued' or (state == 'sent' and push.claim == own_claim)
if is_to_have then
  redis.call(
    'HSET', push_key, 'claim', own_claim, 'heldUntilMs', string.format('%.0f', time_ms + hold_ms)
  )
end
redis.call('ZREM', queue_key, push_id)
if is_to_have then
  return { 'claimed', push.content }
end
return { state == 'corrupt' and 'corrupt' or 'gone' }
