-- index_conversation(record, messages, ids[, index x 3]) -> { 'indexed', … }
-- Purpose: put a conversation into the index and set its expiry as the record has them; no access.
-- KEYS[1..6], ARGV[1..4]  see conversation.lua
-- Returns 'indexed' with createdAt and lastAccessedAt in milliseconds and the number of messages,
-- or an obstacle.
local obstacle, created, accessed = find_obstacle()
if obstacle then
  return obstacle
end
local count = redis.call('LLEN', KEYS[2])
settle(created, accessed, count)
return { 'indexed', created, accessed, count }
