-- update_conversation(record, messages, ids[, index x 3]) -> { status, fields, messages }
-- Purpose: replace and remove fields, if wanted only of the revision that the client knows.
-- KEYS[1..6], ARGV[1..4]  see conversation.lua
-- ARGV[5]  text   the revisions of which one must stand there still, separated by spaces; * for any
-- ARGV[6]  text   the revision that the conversation has afterwards
-- ARGV[7]  count  of the fields to remove
-- ARGV[8..]       the names of those fields, then field, value, field, value … to set
-- Returns 'updated' with the conversation, or { 'stale' }, or an obstacle.
local obstacle, created = find_obstacle()
if obstacle then
  return obstacle
end
local revision = redis.call('HGET', KEYS[1], 'revision') or ''
-- Where the reply to the first attempt was lost, the second finds its own revision.
local allowed = ARGV[5] == '*' or is_among(ARGV[5], revision)
if not allowed and revision ~= ARGV[6] then
  return { 'stale' }
end
local removed = tonumber(ARGV[7])
if removed > 0 then
  redis.call('HDEL', KEYS[1], unpack(ARGV, 8, 7 + removed))
end
if #ARGV > 7 + removed then
  redis.call('HSET', KEYS[1], unpack(ARGV, 8 + removed))
end
redis.call('HSET', KEYS[1], 'revision', ARGV[6])
touch(created, redis.call('LLEN', KEYS[2]))
return whole('updated')
