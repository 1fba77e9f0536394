-- Purpose: replace messages in their places, append others and set fields, all in one step, if
-- nothing has changed since the caller read the conversation.
--
-- KEYS[1]    record_key       hash   the record
-- KEYS[2]    messages_key     list   the messages, one JSON object each
-- KEYS[3]    message_ids_key  hash   message id to position in the list
-- KEYS[4..]  index_keys       zset   the index by createdAt, lastAccessedAt, messageCount; none on
--                                    a Cluster, where the index is updated in a second step
-- ARGV[1]    conversation_id  text   the member of the index
-- ARGV[2]    changes_channel  text   where the change is published
-- ARGV[3]    publish_command  text   SPUBLISH on a Cluster, else PUBLISH
-- ARGV[4]    retention_ms     ms     kept after the last access; 0 for ever
-- ARGV[5]    schema_version   count  the newest version of records that the caller can read
-- ARGV[6]    known_revision   text   the one that the caller has read
-- ARGV[7]    new_revision     text   of the conversation with these changes
-- ARGV[8]    field_count      count  of the fields to set
-- ARGV[9]    replaced_count   count  of the messages to replace
-- ARGV[10..]  contents         bytes  field, value … to set; position, JSON … to replace; id, JSON …
--                                    to append, no id of which is stored
--
-- Returns { 'rewritten', created_at_ms, last_accessed_at_ms, count }; { 'stale' } if the record has
-- another revision; or a conflict (see includes/find_conflict.lua).
local record_key = KEYS[1]
local messages_key = KEYS[2]
local message_ids_key = KEYS[3]
local index_keys = { unpack(KEYS, 4) }
local conversation_id = ARGV[1]
local changes_channel = ARGV[2]
local publish_command = ARGV[3]
local retention_ms = ARGV[4]
local schema_version = ARGV[5]
local known_revision = ARGV[6]
local new_revision = ARGV[7]
local field_count = ARGV[8]
local replaced_count = ARGV[9]
local contents = {} for i = 10, #ARGV do contents[#contents + 1] = ARGV[i] end -- too many for unpack

--- @include "find_conflict"
--- @include "publish_change"
--- @include "touch"

-- As many at a time as unpack can take.
local CHUNK = 1000

local conflict, created_at_ms, last_accessed_at_ms, count, message_bytes, revision_before =
  find_conflict()
if conflict then
  return conflict
end
if revision_before == new_revision then
  -- The reply to a first attempt was lost.
  return { 'rewritten', created_at_ms, last_accessed_at_ms, count }
end
if revision_before ~= known_revision then
  return { 'stale' }
end
local first_replaced = 2 * tonumber(field_count) + 1
local first_appended = first_replaced + 2 * tonumber(replaced_count)
for first = first_appended, #contents, 2 * CHUNK do
  local positions, messages = {}, {}
  for i = first, math.min(first + 2 * CHUNK, #contents + 1) - 2, 2 do
    positions[#positions + 1] = contents[i]
    positions[#positions + 1] = count
    messages[#messages + 1] = contents[i + 1]
    message_bytes = message_bytes + #contents[i + 1]
    count = count + 1
  end
  redis.call('HSET', message_ids_key, unpack(positions))
  redis.call('RPUSH', messages_key, unpack(messages))
end
for i = first_replaced, first_appended - 1, 2 do
  local position, message = contents[i], contents[i + 1]
  local stored = redis.call('LINDEX', messages_key, position)
  message_bytes = math.max(0, message_bytes - #stored) + #message
  redis.call('LSET', messages_key, position, message)
end
for i = 1, first_replaced - 1, 2 do
  redis.call('HSET', record_key, contents[i], contents[i + 1])
end
redis.call(
  'HSET', record_key,
  'revision', new_revision,
  'messageBytes', string.format('%.0f', message_bytes)
)
local accessed_at_ms = touch(created_at_ms, last_accessed_at_ms, count)
-- Viewers read it all: one notification cannot say which messages were replaced.
publish_change('rewritten', revision_before, new_revision, count)
return { 'rewritten', created_at_ms, accessed_at_ms, count }
