-- Purpose: read a whole conversation, and set its last access to now.
--
-- KEYS[1]    record_key       hash   the record
-- KEYS[2]    messages_key     list   the messages, one JSON object each
-- KEYS[3]    message_ids_key  hash   message id to position in the list
-- KEYS[4..]  index_keys       zset   the index by createdAt, lastAccessedAt, messageCount; none on
--                                    a Cluster, where the index is updated in a second step
-- ARGV[1]    conversation_id  text   the member of the index
-- ARGV[2]    retention_ms     ms     kept after the last access; 0 for ever
-- ARGV[3]    schema_version   count  the newest version of records that the caller can read
-- ARGV[4]    bytes_at_once    count  of messages; if they have more, none come along
--
-- Returns { 'read', fields, messages }, with the new lastAccessedAt; or a conflict (see
-- includes/find_conflict.lua).
local record_key = KEYS[1]
local messages_key = KEYS[2]
local message_ids_key = KEYS[3]
local index_keys = { unpack(KEYS, 4) }
local conversation_id = ARGV[1]
local retention_ms = ARGV[2]
local schema_version = ARGV[3]
local bytes_at_once = ARGV[4]

--- @include "find_conflict"
--- @include "touch"
--- @include "read_all"

local conflict, created_at_ms, last_accessed_at_ms, count, message_bytes = find_conflict()
if conflict then
  return conflict
end
touch(created_at_ms, last_accessed_at_ms, count)
return read_all('read', message_bytes)
