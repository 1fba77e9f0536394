-- Purpose: read neighbouring messages, and set the conversation's last access to now.
--
-- KEYS[1]    record_key       hash   the record
-- KEYS[2]    messages_key     list   the messages, one JSON object each
-- KEYS[3]    message_ids_key  hash   message id to position in the list
-- KEYS[4..]  index_keys       zset   the index by createdAt, lastAccessedAt, messageCount; none on
--                                    a Cluster, where the index is updated in a second step
-- ARGV[1]    conversation_id  text   the member of the index
-- ARGV[2]    retention_ms     ms     kept after the last access; 0 for ever
-- ARGV[3]    schema_version   count  the newest version of records that the caller can read
-- ARGV[4]    first            index  of the first message wanted, as LRANGE counts: from 0, or from
--                                    the end if negative
-- ARGV[5]    last             index  of the last message wanted
-- ARGV[6]    page_bytes       count  of the bytes that they may have; where they have more, fewer
--                                    come, but one at least
-- ARGV[7]    order            text   asc if the first ones come then, desc if the last ones
--
-- Returns { 'read', created_at_ms, last_accessed_at_ms, count of all messages, messages in order }; or a
-- conflict (see includes/find_conflict.lua).
local record_key = KEYS[1]
local messages_key = KEYS[2]
local message_ids_key = KEYS[3]
local index_keys = { unpack(KEYS, 4) }
local conversation_id = ARGV[1]
local retention_ms = ARGV[2]
local schema_version = ARGV[3]
local first = ARGV[4]
local last = ARGV[5]
local page_bytes = ARGV[6]
local order = ARGV[7]

--- @include "find_conflict"
--- @include "read_within"
--- @include "touch"

local function reversed(found)
  local result = {}
  for i = #found, 1, -1 do
    result[#result + 1] = found[i]
  end
  return result
end

local conflict, created_at_ms, last_accessed_at_ms, count, message_bytes = find_conflict()
if conflict then
  return conflict
end
local accessed_at_ms = touch(created_at_ms, last_accessed_at_ms, count)
local messages
if message_bytes <= tonumber(page_bytes) then
  messages = redis.call('LRANGE', messages_key, first, last)
else
  local from, to = tonumber(first), tonumber(last)
  from = from < 0 and math.max(0, count + from) or from
  to = to < 0 and count + to or math.min(to, count - 1)
  messages = read_within(from, to, tonumber(page_bytes), order == 'asc')
  messages = order == 'asc' and messages or reversed(messages)
end
return { 'read', created_at_ms, accessed_at_ms, count, messages }
