-- delete_conversation(record, messages, ids[, index x 3]) -> status
-- Purpose: delete everything that one conversation has, whatever state it is in; if wanted, only of
-- the revision that the client knows.
-- KEYS[1..6], ARGV[1..4]  see conversation.lua
-- ARGV[5]  text  the revisions of which one must stand there still, separated by spaces; * for any
-- Returns 'deleted', 'missing' where there was no record, or 'stale'.
local existed = redis.call('EXISTS', KEYS[1]) == 1
if existed and ARGV[5] ~= '*' then
  local revision = redis.pcall('HGET', KEYS[1], 'revision')
  -- What is no hash has no revision, and pcall an error for it.
  if type(revision) ~= 'string' or not is_among(ARGV[5], revision) then
    return 'stale'
  end
end
delete_all()
return existed and 'deleted' or 'missing'
