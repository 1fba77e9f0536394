-- append_message(record, messages, ids[, index x 3]) -> { status, … }
-- Purpose: append a message once; its cost does not depend on how many there are.
-- KEYS[1..6], ARGV[1..4]  see conversation.lua
-- ARGV[5]  text   the message's id
-- ARGV[6]  bytes  the message's JSON
-- ARGV[7]  text   the revision that the conversation has with this message in it
-- ARGV[8]  count  the most messages that a conversation may have
-- Returns { 'appended', count, createdAt }; or, where the id is there already, { 'repeated', count,
-- createdAt, JSON, revision, lastAccessedAt } (the caller compares); or { 'full' }, or an obstacle.
local obstacle = find_obstacle()
if obstacle then
  return obstacle
end
local created = redis.call('HGET', KEYS[1], 'createdAt')
local count = redis.call('LLEN', KEYS[2])
local position = redis.call('HGET', KEYS[3], ARGV[5])
if position then
  local known = redis.call('HMGET', KEYS[1], 'revision', 'lastAccessedAt')
  settle(known[2]) -- a first attempt that failed in its middle may have left the list without it
  return { 'repeated', count, created, redis.call('LINDEX', KEYS[2], position), unpack(known) }
end
if count >= tonumber(ARGV[8]) then
  return { 'full' }
end
-- The id first: a message that stood there without it would be appended again by a repetition.
redis.call('HSET', KEYS[3], ARGV[5], count)
local pushed = redis.pcall('RPUSH', KEYS[2], ARGV[6])
if type(pushed) == 'table' then
  redis.call('HDEL', KEYS[3], ARGV[5])
  return pushed -- the server's error
end
redis.call('HSET', KEYS[1], 'revision', ARGV[7])
redis.call('HINCRBY', KEYS[1], 'messageBytes', #ARGV[6])
touch()
return { 'appended', count + 1, created }
