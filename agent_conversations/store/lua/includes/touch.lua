-- touch(created_at_ms, message_count)
-- Sets the last access of the conversation to now.
-- Uses: record_key now_ms, and those of update_index_and_expiry
--- @include "update_index_and_expiry"

local function touch(created_at_ms, message_count)
  redis.call('HSET', record_key, 'lastAccessedAt', now_ms)
  update_index_and_expiry(created_at_ms, now_ms, message_count)
end
