-- convert_conversation(record, messages, ids[, index x 3]) -> 1 | 0
-- Purpose: put a conversation that an older writer kept as one JSON string into today's layout, in
--          place of that string or, imported from another key, where nothing stands.
-- KEYS[1..6], ARGV[1..4]  see conversation.lua
-- ARGV[5]  bytes  the string that must stand at KEYS[1] still; empty: nothing may stand there. Else
--                 nothing is done, so that no writer's message is lost
-- ARGV[6]  count  of the values that make up the record
-- ARGV[7..]       field, value, field, value … of the record; then id, JSON, id, JSON … of the
--                 messages
-- Returns whether it was done.
local kind = redis.call('TYPE', KEYS[1]).ok
if ARGV[5] == '' then
  if kind ~= 'none' then
    return 0
  end
elseif kind ~= 'string' or redis.call('GET', KEYS[1]) ~= ARGV[5] then
  return 0
end
redis.call('DEL', KEYS[1], KEYS[2], KEYS[3])
local first_message = 7 + tonumber(ARGV[6])
redis.call('HSET', KEYS[1], unpack(ARGV, 7, first_message - 1))
local position = 0
for argument = first_message, #ARGV, 2 do
  redis.call('RPUSH', KEYS[2], ARGV[argument + 1])
  redis.call('HSETNX', KEYS[3], ARGV[argument], position)
  position = position + 1
end
local times = redis.call('HMGET', KEYS[1], 'createdAt', 'lastAccessedAt')
settle(times[1], times[2], position)
return 1
