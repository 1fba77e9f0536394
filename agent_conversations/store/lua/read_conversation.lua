-- read_conversation(record, messages, ids[, index x 3]) -> { 'read', fields, messages }
-- Purpose: the whole conversation; reading it counts as an access.
-- KEYS[1..6], ARGV[1..4]  see conversation.lua
-- Returns the fields (with the new lastAccessedAt) and all messages, or an obstacle.
local obstacle, created = find_obstacle()
if obstacle then
  return obstacle
end
touch(created, redis.call('LLEN', KEYS[2]))
return whole('read')
