-- Purpose: store a push for the tabs of a session, unless there is one with its id.
--
-- KEYS[1]  push_key         hash   the push
-- KEYS[2]  queue_key        zset   the ids of the session's pushes that wait; scores: creation in µs
-- ARGV[1]  push_id          text   the member of the queue
-- ARGV[2]  new_session_id   text   whose tabs may have it
-- ARGV[3]  new_content      bytes  what a tab is given
-- ARGV[4]  new_digest       text   of the content
-- ARGV[5]  lifetime_ms      ms     how long it waits for a tab
-- ARGV[6]  max_lifetime_ms  ms     that of no push is longer: what is older in the queue is over
-- ARGV[7]  kept_ms          ms     how long it can be read after that
-- ARGV[8]  changes_channel  text   where those hear of it that have the session's tabs
-- ARGV[9]  publish_command  text   SPUBLISH on a Cluster, else PUBLISH
--
-- Returns { 'created' or 'repeated', state, created_at_ms, expires_at_ms, reason }, { 'conflict' } or
-- { 'corrupt' }.
local push_key = KEYS[1]
local queue_key = KEYS[2]
local push_id = ARGV[1]
local new_session_id = ARGV[2]
local new_content = ARGV[3]
local new_digest = ARGV[4]
local lifetime_ms = ARGV[5]
local max_lifetime_ms = ARGV[6]
local kept_ms = ARGV[7]
local changes_channel = ARGV[8]
local publish_command = ARGV[9]

--- @include "now_us"
--- @include "find_push"

local time_us = now_us()
local time_ms = math.floor(time_us / 1000)
local stored = find_push(time_ms)
if stored and stored.state == 'corrupt' then
  return { 'corrupt' }
end
if stored and stored.digest ~= new_digest then
  return { 'conflict' }
end
if stored then
  return { 'repeated', stored.state, stored.created_at_ms, stored.expires_at_ms, stored.reason }
end
local created_at_ms = string.format('%.0f', time_ms)
local expires_at_ms = string.format('%.0f', time_ms + lifetime_ms)
-- The queue first: should a later command fail, an id without a push is in it, and nothing is lost.
redis.call('ZADD', queue_key, string.format('%.0f', time_us), push_id)
redis.call('PEXPIRE', queue_key, max_lifetime_ms)
redis.call(
  'ZREMRANGEBYSCORE', queue_key, '-inf', string.format('(%.0f', time_us - max_lifetime_ms * 1000)
)
redis.call(
  'HSET', push_key, 'createdAtMs', created_at_ms, 'expiresAtMs', expires_at_ms,
  'sessionId', new_session_id, 'content', new_content, 'digest', new_digest
)
redis.call('PEXPIRE', push_key, string.format('%.0f', lifetime_ms + kept_ms))
if type(redis.pcall(publish_command, changes_channel, 'push')) == 'table' then
  redis.pcall('PUBLISH', changes_channel, 'push') -- servers before Redis 7 have no SPUBLISH
end
return { 'created', 'queued', created_at_ms, expires_at_ms, '' }
