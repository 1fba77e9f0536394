-- Purpose: delete everything of a conversation, even if it is corrupt; if wanted only of a revision
-- that the client knows.
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
-- ARGV[4]    allowed          text   revisions, separated by spaces, of which the record must have
--                                    one; * for any
-- ARGV[5]    seconds          seconds for which an Idempotency-Key is remembered
--
-- Returns { 'deleted', agentId, userId, JSON } with that of a legacy record, whose ids are in there;
-- { 'missing' } if there was no record, or { 'stale' } if it has another revision.
local record_key = KEYS[1]
local messages_key = KEYS[2]
local message_ids_key = KEYS[3]
local deleted_key = KEYS[4]
local index_keys = { unpack(KEYS, 5) }
local conversation_id = ARGV[1]
local changes_channel = ARGV[2]
local publish_command = ARGV[3]
local allowed = ARGV[4]
local seconds = ARGV[5]

--- @include "delete_all"
--- @include "is_among"
--- @include "publish_change"

local existed = redis.call('EXISTS', record_key) == 1
if existed and allowed ~= '*' then
  -- A record that is not a hash has no revision: pcall returns an error, which is a table.
  local revision = redis.pcall('HGET', record_key, 'revision')
  if type(revision) ~= 'string' or not is_among(allowed, revision) then
    return { 'stale' }
  end
end
if not existed then
  delete_all()
  return { 'missing' }
end
-- An error, where the record is of another type, is a table without the values.
local ids = redis.pcall('HMGET', record_key, 'agentId', 'userId', 'keyDigest')
local legacy = redis.pcall('GET', record_key)
delete_all()
if ids[3] then
  redis.call('SET', deleted_key, ids[3], 'EX', seconds)
end
publish_change('deleted', '', '', 0)
return { 'deleted', ids[1] or false, ids[2] or false, type(legacy) == 'string' and legacy }
