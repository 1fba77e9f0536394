-- Purpose: store messages and fields in another form of the same content, each if it still is what
-- the caller has read. Not an access; nor are viewers told, who see the same.
--
-- KEYS[1]    record_key       hash   the record
-- KEYS[2]    messages_key     list   the messages, one JSON object or token each
-- KEYS[3]    message_ids_key  hash   message id to position in the list
-- KEYS[4..]  index_keys       zset   the index by createdAt, lastAccessedAt, messageCount; none on
--                                    a Cluster, where the index is updated in a second step
-- ARGV[1]    conversation_id  text   the member of the index
-- ARGV[2]    retention_ms     ms     kept after the last access; 0 for ever
-- ARGV[3]    schema_version   count  the newest version of records that the caller can read
-- ARGV[4]    field_count      count  of the fields
-- ARGV[5..]  contents         bytes  field, SHA-1 of its stored value, new value …; position, SHA-1 of
--                                    the stored message, new message …
--
-- Returns { 'rewritten', how many }; or a conflict (see includes/find_conflict.lua).
local record_key = KEYS[1]
local messages_key = KEYS[2]
local message_ids_key = KEYS[3]
local index_keys = { unpack(KEYS, 4) }
local conversation_id = ARGV[1]
local retention_ms = ARGV[2]
local schema_version = ARGV[3]
local field_count = ARGV[4]
local contents = { unpack(ARGV, 5) }

--- @include "find_conflict"
--- @include "raise_version"

local conflict, _, _, _, message_bytes = find_conflict()
if conflict then
  return conflict
end
local rewritten = 0
for i = 1, #contents, 3 do
  local place, digest, new = contents[i], contents[i + 1], contents[i + 2]
  local is_field = i <= 3 * tonumber(field_count)
  local stored
  if is_field then
    stored = redis.call('HGET', record_key, place)
  else
    stored = redis.call('LINDEX', messages_key, place)
  end
  if stored and redis.sha1hex(stored) == digest then
    raise_version(new)
    if is_field then
      redis.call('HSET', record_key, place, new)
    else
      redis.call('LSET', messages_key, place, new)
      message_bytes = math.max(0, message_bytes - #stored) + #new
    end
    rewritten = rewritten + 1
  end
end
redis.call('HSET', record_key, 'messageBytes', string.format('%.0f', message_bytes))
return { 'rewritten', rewritten }
