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
-- ARGV[4]    first             index  of the first of the messages wanted, from 0
-- ARGV[5..]  single_positions  index  of the single ones
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
local first = ARGV[4]
local single_positions = { unpack(ARGV, 5) }

--- @include "find_conflict"

local conflict, _, _, count = find_conflict()
if conflict then
  return conflict
end
local single = {}
for i, position in ipairs(single_positions) do
  single[i] = redis.call('LINDEX', messages_key, position)
end
return {
  'read',
  redis.call('HGETALL', record_key),
  count,
  redis.call('LRANGE', messages_key, first, -1),
  single,
}
