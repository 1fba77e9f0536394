-- Purpose: append a message once; the cost does not grow with the number of messages.
--
-- KEYS[1]    record_key       hash   the record
-- KEYS[2]    messages_key     list   the messages, one JSON object each
-- KEYS[3]    message_ids_key  hash   message id to position in the list
-- KEYS[4..]  index_keys       zset   the index by createdAt, lastAccessedAt, messageCount; none on
--                                    a Cluster, where the index is updated in a second step
-- ARGV[1]    conversation_id  text   the member of the index
-- ARGV[2]    retention_ms     ms     kept after the last access; 0 for ever
-- ARGV[3]    schema_version   count  the newest version of records that the caller can read
-- ARGV[4]    message_id       text
-- ARGV[5]    message_json     bytes
-- ARGV[6]    revision         text   of the conversation with this message in it
-- ARGV[7]    max_messages     count  the most messages that a conversation may have
--
-- Returns { 'appended', created_at_ms, last_accessed_at_ms, count }; or, if a message has the id
-- already, { 'repeated', created_at_ms, last_accessed_at_ms, count, its JSON, revision }, for the
-- caller to compare; or { 'full' }; or a conflict (see includes/find_conflict.lua).
local record_key = KEYS[1]
local messages_key = KEYS[2]
local message_ids_key = KEYS[3]
local index_keys = { unpack(KEYS, 4) }
local conversation_id = ARGV[1]
local retention_ms = ARGV[2]
local schema_version = ARGV[3]
local message_id = ARGV[4]
local message_json = ARGV[5]
local revision = ARGV[6]
local max_messages = ARGV[7]

--- @include "find_conflict"
--- @include "access_time"
--- @include "update_index_and_expiry"

local conflict, created_at_ms, last_accessed_at_ms, message_bytes = find_conflict()
if conflict then
  return conflict
end
local count = redis.call('LLEN', messages_key)
local is_full = count >= tonumber(max_messages)
-- The id before the message: a message in the list without its id would be appended again by a
-- repeated request.
if is_full or redis.call('HSETNX', message_ids_key, message_id, count) == 0 then
  local position = redis.call('HGET', message_ids_key, message_id)
  if not position then
    return { 'full' }
  end
  -- A first attempt that failed halfway may not have updated the index.
  update_index_and_expiry(created_at_ms, last_accessed_at_ms, count)
  return {
    'repeated',
    created_at_ms,
    last_accessed_at_ms,
    count,
    redis.call('LINDEX', messages_key, position),
    redis.call('HGET', record_key, 'revision'),
  }
end
local pushed = redis.pcall('RPUSH', messages_key, message_json)
if type(pushed) == 'table' then
  redis.call('HDEL', message_ids_key, message_id)
  return pushed -- the server's error
end
message_bytes = string.format('%.0f', (tonumber(message_bytes) or 0) + #message_json)
local accessed_at_ms = access_time(last_accessed_at_ms)
redis.call(
  'HSET', record_key,
  'lastAccessedAt', accessed_at_ms,
  'revision', revision,
  'messageBytes', message_bytes
)
update_index_and_expiry(created_at_ms, accessed_at_ms, pushed)
return { 'appended', created_at_ms, accessed_at_ms, pushed }
