-- create_conversation(record, messages, ids[, index x 3]) -> { status, fields, messages }
-- Purpose: create a conversation once; the same creation again finds what the first one made.
-- KEYS[1..6], ARGV[1..4]  see conversation.lua
-- ARGV[5..]  text  field, value, field, value … of the new record
-- Returns 'created', or 'exists' with the conversation as it stands (the caller compares its
-- requestDigest), or an obstacle.
local obstacle = find_obstacle()
if not obstacle then
  return whole('exists')
end
if obstacle[1] ~= 'missing' then
  return obstacle
end
-- What an evicted or half-imported conversation of this id may have left must not come back.
delete_all()
redis.call('HSET', KEYS[1], unpack(ARGV, 5))
touch()
return whole('created')
