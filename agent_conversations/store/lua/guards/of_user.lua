-- Purpose: run a script for one user only. It comes before any script on a conversation that there may
-- be, and takes away the last argument.
--
-- KEYS[1]     hash  the record
-- ARGV[last]  text  the user's id
--
-- Returns { 'missing' } where the conversation is another's, as if there were none; { 'legacy', its JSON }
-- where the record does not say whose it is. Else the script goes on, also where there is no record.
do
  local record_key, user_id = KEYS[1], table.remove(ARGV)
  local owner = redis.pcall('HGET', record_key, 'userId')
  if owner ~= user_id then
    local kind = redis.call('TYPE', record_key).ok
    if kind == 'string' then
      return { 'legacy', redis.call('GET', record_key) }
    end
    if type(owner) == 'table' and kind == 'hash' then
      return owner -- an error of the server
    end
    if kind ~= 'none' then
      return { 'missing' }
    end
  end
end
