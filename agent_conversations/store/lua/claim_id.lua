-- Purpose: give an Idempotency-Key the id of the conversation that it makes, once.
--
-- KEYS[1]  claim_key   string  the id that the key was given
-- ARGV[1]  candidate   text    the id for a key that has none
-- ARGV[2]  deleted_id  text    the id of a deleted conversation, which counts as none; or empty
-- ARGV[3]  seconds     seconds for which the id is remembered
--
-- Returns the id that the key has now.
local claim_key = KEYS[1]
local candidate = ARGV[1]
local deleted_id = ARGV[2]
local seconds = ARGV[3]

local claimed = redis.call('GET', claim_key)
if claimed and claimed ~= deleted_id then
  return claimed
end
redis.call('SET', claim_key, candidate, 'EX', seconds)
return candidate
