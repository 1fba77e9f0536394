-- is_encrypted_record() -> boolean
-- Returns whether anything may be encrypted in the conversation.
-- Uses: record_key

-- The same as in store/records.py.
local ENCRYPTED_VERSION = 2

local function is_encrypted_record()
  return tonumber(redis.call('HGET', record_key, 'schemaVersion')) >= ENCRYPTED_VERSION
end
