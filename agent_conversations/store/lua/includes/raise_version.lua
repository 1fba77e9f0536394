-- raise_version(stored)
-- Gives the record the version of encrypted ones, if what is stored in its conversation is encrypted:
-- who has no keys then refuses it.
-- Uses: record_key
--- @include "is_encrypted"
--- @include "is_encrypted_record"

local function raise_version(stored)
  if is_encrypted(stored) then
    redis.call('HSET', record_key, 'schemaVersion', ENCRYPTED_VERSION)
  end
end
