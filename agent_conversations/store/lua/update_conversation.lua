-- Purpose: set and remove fields, if wanted only of a revision that the client knows; where something
-- is encrypted, only of one that the caller has read.
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
-- ARGV[6]    bytes_at_once    count  of messages; if they have more, none come along
-- ARGV[7]    allowed          text   revisions, separated by spaces, of which the record must have
--                                    one; * for any
-- ARGV[8]    new_revision     text   of the conversation with these changes
-- ARGV[9]    known_revision   text   the one that the caller has read; empty: none yet
-- ARGV[10]   removed_count    count  of the fields to remove
-- ARGV[11..]  changes          bytes  the names of the fields to remove, then field, value, field,
--                                    value … to set
--
-- Returns { 'updated', fields, messages, agentId before, userId before }, without the messages if the
-- caller has read them; { 'encrypted', fields, messages } that the caller has not read: nothing was
-- written, and the caller calls again if it can read them; { 'stale' } if the record has another
-- revision; or a conflict (see includes/find_conflict.lua).
local record_key = KEYS[1]
local messages_key = KEYS[2]
local message_ids_key = KEYS[3]
local index_keys = { unpack(KEYS, 4) }
local conversation_id = ARGV[1]
local changes_channel = ARGV[2]
local publish_command = ARGV[3]
local retention_ms = ARGV[4]
local schema_version = ARGV[5]
local bytes_at_once = ARGV[6]
local allowed = ARGV[7]
local new_revision = ARGV[8]
local known_revision = ARGV[9]
local removed_count = ARGV[10]
local changes = { unpack(ARGV, 11) }

--- @include "find_conflict"
--- @include "is_among"
--- @include "is_encrypted_record"
--- @include "publish_change"
--- @include "remove_from"
--- @include "touch"
--- @include "read_all"

local conflict, created_at_ms, last_accessed_at_ms, count, message_bytes, revision_before =
  find_conflict()
if conflict then
  return conflict
end
local is_allowed = allowed == '*' or is_among(allowed, revision_before)
-- If the reply to a first attempt was lost, the second finds its own revision.
local is_repeated = revision_before == new_revision
if not is_allowed and not is_repeated then
  return { 'stale' }
end
local must_be_known = known_revision ~= '' or is_encrypted_record()
if must_be_known and known_revision ~= revision_before and not is_repeated then
  return read_all('encrypted', message_bytes)
end
local ids_before = redis.call('HMGET', record_key, 'agentId', 'userId')
local lists_before = owner_lists()
local removed = tonumber(removed_count)
if removed > 0 then
  redis.call('HDEL', record_key, unpack(changes, 1, removed))
end
if #changes > removed then
  redis.call('HSET', record_key, unpack(changes, removed + 1))
end
redis.call('HSET', record_key, 'revision', new_revision)
remove_from(lists_before) -- touch puts it into those of today's owners
touch(created_at_ms, last_accessed_at_ms, count)
publish_change('updated', revision_before, new_revision, count)
local reply = known_revision == '' and read_all('updated', message_bytes)
  or { 'updated', redis.call('HGETALL', record_key), {} }
reply[4], reply[5] = ids_before[1], ids_before[2]
return reply
