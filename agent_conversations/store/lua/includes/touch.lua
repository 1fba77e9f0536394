-- touch(created_at_ms, last_accessed_at_ms, message_count) -> last_accessed_at_ms
-- Sets the last access of the conversation to now, and returns it.
-- Uses: record_key, and those of update_index_and_expiry
--- @include "access_time"
--- @include "update_index_and_expiry"

local function touch(created_at_ms, last_accessed_at_ms, message_count)
  local accessed_at_ms = access_time(last_accessed_at_ms)
  redis.call('HSET', record_key, 'lastAccessedAt', accessed_at_ms)
  update_index_and_expiry(created_at_ms, accessed_at_ms, message_count)
  return accessed_at_ms
end
