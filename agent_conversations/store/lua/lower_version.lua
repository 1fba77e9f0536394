-- Purpose: give a conversation in which nothing is encrypted any more the version of plain ones,
-- unless something was written since the caller read it.
--
-- KEYS[1]  record_key       hash   the record
-- KEYS[2]  messages_key     list   the messages, one JSON object each
-- KEYS[3]  message_ids_key  hash   message id to position in the list
-- ARGV[1]  conversation_id  text
-- ARGV[2]  known_revision   text   of the record that was read
-- ARGV[3]  known_bytes      count  of its messages: who encrypts them changes this, not the revision
-- ARGV[4]  plain_version    count
--
-- Returns { 'lowered' } or { 'unchanged' }.
local record_key = KEYS[1]
local messages_key = KEYS[2]
local message_ids_key = KEYS[3]
local conversation_id = ARGV[1]
local known_revision = ARGV[2]
local known_bytes = ARGV[3]
local plain_version = ARGV[4]

--- @include "is_encrypted"

local stored = redis.call(
  'HMGET', record_key, 'revision', 'messageBytes', 'metadata', 'requestDigest'
)
if stored[1] ~= known_revision or (stored[2] or '') ~= known_bytes
  or is_encrypted(stored[3] or '') or is_encrypted(stored[4] or '') then
  return { 'unchanged' }
end
redis.call('HSET', record_key, 'schemaVersion', plain_version)
return { 'lowered' }
