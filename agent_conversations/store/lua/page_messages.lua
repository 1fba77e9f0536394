-- page_messages(record, messages, ids[, index x 3]) -> { 'read', count, createdAt, messages }
-- Purpose: some neighbouring messages; reading them counts as an access.
-- KEYS[1..6], ARGV[1..4]  see conversation.lua
-- ARGV[5]  index  the first message wanted, as LRANGE counts (negative: from the end)
-- ARGV[6]  index  the last message wanted
-- Returns how many messages there are in all, and the wanted ones in their order, or an obstacle.
local obstacle, created = find_obstacle()
if obstacle then
  return obstacle
end
local count = redis.call('LLEN', KEYS[2])
touch(created, count)
return { 'read', count, created, redis.call('LRANGE', KEYS[2], ARGV[5], ARGV[6]) }
