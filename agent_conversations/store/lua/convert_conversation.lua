-- Purpose: store a conversation that an older writer kept as one JSON string in today's layout, in
-- place of that string or, if imported from another key, where no conversation is stored.
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
-- ARGV[5]    expected_json    bytes  what must still be stored, so that no message of another writer
--                                    is lost: the string, or nothing
-- ARGV[6]    fields_count     count  of the values that make up the record
-- ARGV[7..]  contents         bytes  field, value, field, value … of the record; then id, JSON, id,
--                                    JSON … of the messages
--
-- Returns { 'converted' } if it was stored, { 'unchanged' } if not.
local record_key = KEYS[1]
local messages_key = KEYS[2]
local message_ids_key = KEYS[3]
local index_keys = { unpack(KEYS, 4) }
local conversation_id = ARGV[1]
local changes_channel = ARGV[2]
local publish_command = ARGV[3]
local retention_ms = ARGV[4]
local expected_json = ARGV[5]
local fields_count = ARGV[6]
local contents = {} for i = 7, #ARGV do contents[#contents + 1] = ARGV[i] end -- too many for unpack

--- @include "publish_change"
--- @include "update_index_and_expiry"

-- Of another type, it is an error, which is no string either.
local stored = redis.pcall('GET', record_key)
if (stored or '') ~= expected_json then
  return { 'unchanged' }
end
redis.call('DEL', record_key, messages_key, message_ids_key)
local values = tonumber(fields_count)
redis.call('HSET', record_key, unpack(contents, 1, values))
local count = 0
for i = values + 1, #contents, 2 do
  redis.call('RPUSH', messages_key, contents[i + 1])
  redis.call('HSETNX', message_ids_key, contents[i], count)
  count = count + 1
end
local times = redis.call('HMGET', record_key, 'createdAt', 'lastAccessedAt')
update_index_and_expiry(times[1], times[2], count)
if not stored then
  publish_change('created', '', redis.call('HGET', record_key, 'revision'), count)
end
return { 'converted' }
