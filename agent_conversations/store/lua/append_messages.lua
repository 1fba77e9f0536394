-- Purpose: append messages, each once: all of them or none. The cost does not grow with the length
-- of the conversation.
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
-- ARGV[6]    new_revision     text   of the conversation with these messages in it, but for its
--                                    epoch (see includes/keep_epoch.lua)
-- ARGV[7]    max_messages     count  the most messages that a conversation may have
-- ARGV[8]    max_bytes        count  the most bytes that they may have together
-- ARGV[9..]  given            bytes  id, JSON, id, JSON …; no id twice
--
-- Returns { status, created_at_ms, last_accessed_at_ms, count, revision, known }; or a reply of
-- includes/find_excess.lua; or a conflict (see includes/find_conflict.lua). known has, for each id
-- that was stored already, its number among the messages, from 0, and the stored JSON. The status:
--   appended   the others were appended; the stored JSON of those known is the one that was given
--   repeated   all are known, and nothing was written; the caller compares
--   different  nothing was written, because a stored JSON is not the one that was given. A caller
--              that finds them equal all the same calls again, with the stored ones.
-- Or { 'transcribed' }: nothing was written, because one that is not known is of a call whose
-- transcript is stored. The caller looks whether it is a turn of that.
local record_key = KEYS[1]
local messages_key = KEYS[2]
local message_ids_key = KEYS[3]
local index_keys = { unpack(KEYS, 4) }
local conversation_id = ARGV[1]
local changes_channel = ARGV[2]
local publish_command = ARGV[3]
local retention_ms = ARGV[4]
local schema_version = ARGV[5]
local new_revision = ARGV[6]
local max_messages = ARGV[7]
local max_bytes = ARGV[8]
local given = { unpack(ARGV, 9) }

--- @include "find_conflict"
--- @include "find_excess"
--- @include "append_all"
--- @include "is_transcribed"

local conflict, created_at_ms, last_accessed_at_ms, count, message_bytes, revision_before =
  find_conflict()
if conflict then
  return conflict
end
local ids = {}
for i = 1, #given, 2 do
  ids[#ids + 1] = given[i]
end
local positions = redis.call('HMGET', message_ids_key, unpack(ids))
local known, new_ids, new_messages = {}, {}, {}
local status = 'appended'
for i, id in ipairs(ids) do
  local message = given[2 * i]
  if positions[i] then
    local stored = redis.call('LINDEX', messages_key, positions[i])
    if not stored then
      return { 'corrupt' }
    end
    if stored ~= message then
      status = 'different'
    end
    known[#known + 1] = i - 1
    known[#known + 1] = stored
  else
    new_ids[#new_ids + 1] = id
    new_messages[#new_messages + 1] = message
  end
end
if #new_ids == 0 then
  status = 'repeated'
end
if status ~= 'appended' then
  -- A first attempt that failed halfway may not have updated the index.
  update_index_and_expiry(created_at_ms, last_accessed_at_ms, count)
  return { status, created_at_ms, last_accessed_at_ms, count, revision_before, known }
end
if is_transcribed(new_ids) then
  return { 'transcribed' }
end
local added_bytes = 0
for _, message in ipairs(new_messages) do
  added_bytes = added_bytes + #message
end
local excess = find_excess(count + #new_ids, message_bytes + added_bytes)
if excess then
  return excess
end
local failure, accessed_at_ms = append_all(
  new_ids, new_messages, count, message_bytes + added_bytes, created_at_ms, last_accessed_at_ms,
  revision_before
)
if failure then
  return failure
end
return { status, created_at_ms, accessed_at_ms, count + #new_ids, new_revision, known }
