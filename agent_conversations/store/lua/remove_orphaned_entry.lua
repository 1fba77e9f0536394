-- Purpose: remove a conversation from the index if it has no record (any more).
--
-- KEYS[1]    record_key       hash  the record
-- KEYS[2..]  index_keys       zset  the index
-- ARGV[1]    conversation_id  text  the member of the index
--
-- Returns 1 if it has no record, 0 if it has one and its entry stays.
local record_key = KEYS[1]
local index_keys = { unpack(KEYS, 2) }
local conversation_id = ARGV[1]

if redis.call('EXISTS', record_key) == 1 then
  return 0
end
for _, index_key in ipairs(index_keys) do
  redis.call('ZREM', index_key, conversation_id)
end
return 1
