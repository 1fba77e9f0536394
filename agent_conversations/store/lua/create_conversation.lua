-- create_conversation(record, messages, ids[, index x 3]) -> { status, fields, messages }
-- Purpose: create a conversation once; the same creation again finds what the first one made.
-- KEYS[1..6], ARGV[1..4]  see conversation.lua
-- ARGV[5..]  text  field, value, field, value … of the new record, created and accessed at ARGV[2]
-- Returns 'created', or 'exists' with the conversation as it stands (the caller compares its
-- requestDigest), or an obstacle.
local obstacle, created, accessed = find_obstacle()
if not obstacle then
  -- A first attempt that failed in its middle may have left the list without it.
  settle(created, accessed, redis.call('LLEN', KEYS[2]))
  return whole('exists')
end
if obstacle[1] ~= 'missing' then
  return obstacle
end
-- First of all what a server that is out of memory refuses: it lets pass what follows a write.
redis.call('HSET', KEYS[1], unpack(ARGV, 5))
-- What an evicted or half-imported conversation of this id may have left must not come back.
redis.call('UNLINK', KEYS[2], KEYS[3])
settle(ARGV[2], ARGV[2], 0)
return whole('created')
