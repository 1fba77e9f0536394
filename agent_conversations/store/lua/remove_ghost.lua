-- remove_ghost(record, createdAt, lastAccessedAt, messageCount) -> 1 | 0
-- Purpose: take a conversation off the list if it has no record (any more).
-- KEYS[1]     hash  the record
-- KEYS[2..4]  zset  the index
-- ARGV[1]  text  the conversation id
-- Returns whether it was taken off.
if redis.call('EXISTS', KEYS[1]) == 1 then
  return 0
end
for key = 2, 4 do
  redis.call('ZREM', KEYS[key], ARGV[1])
end
return 1
