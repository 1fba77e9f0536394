-- append_message(record, messages, ids[, index x 3]) -> { status, … }
-- Purpose: append a message once; its cost does not depend on how many there are.
-- KEYS[1..6], ARGV[1..4]  see conversation.lua
-- ARGV[5]  text   the message's id
-- ARGV[6]  bytes  the message's JSON
-- ARGV[7]  text   the revision that the conversation has with this message in it
-- ARGV[8]  count  the most messages that a conversation may have
-- Returns { 'appended', count, createdAt }; or, where the id is there already, { 'repeated', count,
-- createdAt, JSON, revision, lastAccessedAt } (the caller compares); or { 'full' }, or an obstacle.
local obstacle, created, accessed, bytes = find_obstacle()
if obstacle then
  return obstacle
end
local count = redis.call('LLEN', KEYS[2])
local is_full = count >= tonumber(ARGV[8])
-- The id first: a message that stood there without it would be appended again by a repetition.
if is_full or redis.call('HSETNX', KEYS[3], ARGV[5], count) == 0 then
  local position = redis.call('HGET', KEYS[3], ARGV[5])
  if not position then
    return { 'full' }
  end
  -- A first attempt that failed in its middle may have left the list without it.
  settle(created, accessed, count)
  local message = redis.call('LINDEX', KEYS[2], position)
  return { 'repeated', count, created, message, redis.call('HGET', KEYS[1], 'revision'), accessed }
end
local pushed = redis.pcall('RPUSH', KEYS[2], ARGV[6])
if type(pushed) == 'table' then
  redis.call('HDEL', KEYS[3], ARGV[5])
  return pushed -- the server's error
end
bytes = string.format('%.0f', (tonumber(bytes) or 0) + #ARGV[6])
redis.call('HSET', KEYS[1], 'lastAccessedAt', ARGV[2], 'revision', ARGV[7], 'messageBytes', bytes)
settle(created, ARGV[2], pushed)
return { 'appended', pushed, created }
