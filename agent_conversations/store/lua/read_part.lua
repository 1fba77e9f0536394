-- Purpose: read a conversation for those who watch it: the record, the messages from one on, and
-- single ones before it. Not an access.
--
-- KEYS[1]    record_key        hash   the record
-- KEYS[2]    messages_key      list   the messages, one JSON object each
-- KEYS[3]    message_ids_key   hash   message id to position in the list
-- KEYS[4..]  index_keys        zset   the index by createdAt, lastAccessedAt, messageCount; none on
--                                     a Cluster, where the index is updated in a second step
-- ARGV[1]    conversation_id   text   the member of the index
-- ARGV[2]    retention_ms      ms     kept after the last access; 0 for ever
-- ARGV[3]    schema_version    count  the newest version of records that the caller can read
-- ARGV[4]    bytes_at_once     count  of the bytes that the messages may have; where they have more,
--                                     fewer come, but one at least
-- ARGV[5]    first             index  of the first of the messages wanted, from 0
-- ARGV[6..]  single_positions  index  of the single ones
--
-- Returns { 'read', fields, count of all messages, messages, single messages }; or a conflict (see
-- includes/find_conflict.lua).
local record_key = KEYS[1]
local messages_key = KEYS[2]
local message_ids_key = KEYS[3]
local index_keys = { unpack(KEYS, 4) }
local conversation_id = ARGV[1]
local retention_ms = ARGV[2]
local schema_version = ARGV[3]
local bytes_at_once = ARGV[4]
local first = ARGV[5]
local single_positions = { unpack(ARGV, 6) }

--- @include "find_conflict"
--- @include "read_within"

local conflict, _, _, count, message_bytes = find_conflict()
if conflict then
  return conflict
end
local single = {}
for i, position in ipairs(single_positions) do
  single[i] = redis.call('LINDEX', messages_key, position)
end
local messages
if message_bytes <= tonumber(bytes_at_once) then
  messages = redis.call('LRANGE', messages_key, first, -1)
else
  messages = read_within(tonumber(first), count - 1, tonumber(bytes_at_once), true)
end
return {
  'read',
  redis.call('HGETALL', record_key),
  count,
  messages,
  single,
}
