-- delete_conversation(record, messages, ids[, index x 3]) -> 1 | 0
-- Purpose: delete everything that one conversation has, whatever state it is in.
-- KEYS[1..6], ARGV[1..4]  see conversation.lua
-- Returns whether there was a record.
local existed = redis.call('EXISTS', KEYS[1])
delete_all()
return existed
