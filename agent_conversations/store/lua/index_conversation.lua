-- Purpose: update the index and the expiry as the record has them; not an access.
--
-- KEYS[1]    record_key       hash   the record
-- KEYS[2]    messages_key     list   the messages, one JSON object each
-- KEYS[3]    message_ids_key  hash   message id to position in the list
-- KEYS[4..]  index_keys       zset   the index by createdAt, lastAccessedAt, messageCount; none on
--                                    a Cluster, where the index is updated in a second step
-- ARGV[1]    conversation_id  text   the member of the index
-- ARGV[2]    retention_ms     ms     kept after the last access; 0 for ever
-- ARGV[3]    schema_version   count  the newest version of records that the caller can read
--
-- Returns { 'indexed', created_at_ms, last_accessed_at_ms, count of messages }; or a conflict (see
-- includes/find_conflict.lua).
local record_key = KEYS[1]
local messages_key = KEYS[2]
local message_ids_key = KEYS[3]
local index_keys = { unpack(KEYS, 4) }
local conversation_id = ARGV[1]
local retention_ms = ARGV[2]
local schema_version = ARGV[3]

--- @include "find_conflict"
--- @include "remove_from"
--- @include "update_index_and_expiry"

local conflict, created_at_ms, last_accessed_at_ms, count = find_conflict()
if conflict then
  return conflict
end
remove_from(owner_lists()) -- so that an entry in each of its sorted sets is new
update_index_and_expiry(created_at_ms, last_accessed_at_ms, count)
return { 'indexed', created_at_ms, last_accessed_at_ms, count }
