-- Purpose: create a conversation once; a repeated request finds what the first one created.
--
-- KEYS[1]    record_key       hash   the record
-- KEYS[2]    messages_key     list   the messages, one JSON object each
-- KEYS[3]    message_ids_key  hash   message id to position in the list
-- KEYS[4]    deleted_key      string the digest of the key that had made a deleted conversation
-- KEYS[5..]  index_keys       zset   the index by createdAt, lastAccessedAt, messageCount; none on
--                                    a Cluster, where the index is updated in a second step
-- ARGV[1]    conversation_id  text   the member of the index
-- ARGV[2]    changes_channel  text   where the change is published
-- ARGV[3]    publish_command  text   SPUBLISH on a Cluster, else PUBLISH
-- ARGV[4]    retention_ms     ms     kept after the last access; 0 for ever
-- ARGV[5]    schema_version   count  the newest version of records that the caller can read
-- ARGV[6]    bytes_at_once    count  of messages; if they have more, none come along
-- ARGV[7]    key_digest       text   of the request's Idempotency-Key; empty without one
-- ARGV[8..]  fields           bytes  field, value, field, value … of the new record, without its
--                                    times
--
-- Returns { 'created', created_at_ms }, which is the time of its last access too; or { 'exists',
-- fields, messages } with the stored conversation, for the caller to compare; { 'deleted' } if the
-- conversation that the key had made was deleted; or a conflict (see includes/find_conflict.lua).
local record_key = KEYS[1]
local messages_key = KEYS[2]
local message_ids_key = KEYS[3]
local deleted_key = KEYS[4]
local index_keys = { unpack(KEYS, 5) }
local conversation_id = ARGV[1]
local changes_channel = ARGV[2]
local publish_command = ARGV[3]
local retention_ms = ARGV[4]
local schema_version = ARGV[5]
local bytes_at_once = ARGV[6]
local key_digest = ARGV[7]
local fields = { unpack(ARGV, 8) }

--- @include "find_conflict"
--- @include "now_ms"
--- @include "publish_change"
--- @include "update_index_and_expiry"
--- @include "read_all"

local conflict, created_at_ms, last_accessed_at_ms, count, message_bytes = find_conflict()
if not conflict then
  -- A first attempt that failed halfway may not have updated the index.
  update_index_and_expiry(created_at_ms, last_accessed_at_ms, count)
  return read_all('exists', message_bytes)
end
if conflict[1] ~= 'missing' then
  return conflict
end
if redis.call('GET', deleted_key) == key_digest then
  return { 'deleted' }
end
-- HSET first: a server that is out of memory refuses it, but would let it pass after a first write.
created_at_ms = now_ms()
redis.call(
  'HSET', record_key,
  'createdAt', created_at_ms,
  'lastAccessedAt', created_at_ms,
  unpack(fields)
)
-- Messages that an evicted or half-imported conversation of this id has left must not come back.
redis.call('UNLINK', messages_key, message_ids_key)
update_index_and_expiry(created_at_ms, created_at_ms, 0)
publish_change('created', '', redis.call('HGET', record_key, 'revision'), 0)
return { 'created', created_at_ms }
