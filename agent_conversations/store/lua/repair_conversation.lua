-- Purpose: rebuild what follows from the messages: their ids, and the number of their bytes.
--
-- KEYS[1]    record_key       hash   the record
-- KEYS[2]    messages_key     list   the messages, one JSON object each
-- KEYS[3]    message_ids_key  hash   message id to position in the list
-- ARGV[1]    changes_channel  text   where the change is published
-- ARGV[2]    publish_command  text   SPUBLISH on a Cluster, else PUBLISH
-- ARGV[3]    known_revision   text   of the record that the messages were read with
-- ARGV[4]    known_count      count  of the messages that were read
-- ARGV[5]    total_bytes      count  of the bytes that they have together
-- ARGV[6]    new_revision     text   of the repaired conversation
-- ARGV[7..]  ids_in_order     text   of the messages
--
-- Returns { 'repaired' }; or { 'unchanged' } if something was written since they were read.
local record_key = KEYS[1]
local messages_key = KEYS[2]
local message_ids_key = KEYS[3]
local changes_channel = ARGV[1]
local publish_command = ARGV[2]
local known_revision = ARGV[3]
local known_count = ARGV[4]
local total_bytes = ARGV[5]
local new_revision = ARGV[6]
local ids_in_order = {} for i = 7, #ARGV do ids_in_order[#ids_in_order + 1] = ARGV[i] end -- too many for unpack

--- @include "publish_change"

if redis.call('HGET', record_key, 'revision') ~= known_revision
  or redis.call('LLEN', messages_key) ~= tonumber(known_count) then
  return { 'unchanged' }
end
redis.call('UNLINK', message_ids_key)
for i, id in ipairs(ids_in_order) do
  redis.call('HSETNX', message_ids_key, id, i - 1)
end
redis.call('HSET', record_key, 'messageBytes', total_bytes, 'revision', new_revision)
publish_change('updated', known_revision, new_revision, known_count)
return { 'repaired' }
