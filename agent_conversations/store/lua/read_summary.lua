-- Purpose: read a conversation with its newest messages only; not an access.
--
-- KEYS[1]  record_key       hash   the record
-- KEYS[2]  messages_key     list   the messages, one JSON object each
-- KEYS[3]  message_ids_key  hash   message id to position in the list
-- ARGV[1]  message_limit    count  of the messages wanted
-- ARGV[2]  max_bytes        count  of the bytes that they may have; where they have more, fewer come
--
-- Returns { 'read', fields, count of all messages, newest messages in order }; { 'missing' } if there
-- is no record; { 'legacy' } if it is a string; { 'corrupt' } if a key has another type;
-- or that of includes/count_messages.lua.
local record_key = KEYS[1]
local messages_key = KEYS[2]
local message_ids_key = KEYS[3]
local message_limit = ARGV[1]
local max_bytes = ARGV[2]

--- @include "count_messages"

local kind = redis.call('TYPE', record_key).ok
if kind ~= 'hash' then
  return { ({ none = 'missing', string = 'legacy' })[kind] or 'corrupt' }
end
local lengths = { redis.pcall('LLEN', messages_key), redis.pcall('HLEN', message_ids_key) }
if type(lengths[1]) == 'table' or type(lengths[2]) == 'table' then
  return { 'corrupt' }
end
local stored = redis.call('HMGET', record_key, 'messageBytes', 'requestDigest')
local message_bytes = tonumber(stored[1])
local damage, count = count_messages(message_bytes or 0, stored[2])
if damage then
  return damage
end
local fields = redis.call('HGETALL', record_key)
local wanted = math.min(tonumber(message_limit), count)
if wanted == 0 then
  return { 'read', fields, count, {} }
end
local left = tonumber(max_bytes)
if message_bytes and message_bytes <= left then
  return { 'read', fields, count, redis.call('LRANGE', messages_key, -wanted, -1) }
end
-- One by one from the end, so that no more is read than may come along, but for one message.
local newest_first = {}
for position = 1, wanted do
  local message = redis.call('LINDEX', messages_key, -position)
  left = left - #message
  if left < 0 then
    break
  end
  newest_first[position] = message
end
local messages = {}
for position = #newest_first, 1, -1 do
  messages[#messages + 1] = newest_first[position]
end
return { 'read', fields, count, messages }
