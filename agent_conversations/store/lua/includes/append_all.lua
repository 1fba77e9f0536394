-- append_all(ids, new_messages, count, message_bytes, created_at_ms, last_accessed_at_ms)
--   -> nil, last_accessed_at_ms | the server's error
-- Appends messages with new ids to the count that there are; they then have message_bytes together.
-- Uses: record_key messages_key message_ids_key revision, and those of update_index_and_expiry
--- @include "access_time"
--- @include "update_index_and_expiry"

local function append_all(
  ids, new_messages, count, message_bytes, created_at_ms, last_accessed_at_ms
)
  local positions = {}
  for i, id in ipairs(ids) do
    positions[2 * i - 1] = id
    positions[2 * i] = count + i - 1
  end
  -- The ids before the messages: one in the list without its id would be appended again by a
  -- repeated request.
  redis.call('HSET', message_ids_key, unpack(positions))
  local pushed = redis.pcall('RPUSH', messages_key, unpack(new_messages))
  if type(pushed) == 'table' then
    redis.call('HDEL', message_ids_key, unpack(ids))
    return pushed
  end
  local accessed_at_ms = access_time(last_accessed_at_ms)
  redis.call(
    'HSET', record_key,
    'lastAccessedAt', accessed_at_ms,
    'revision', revision,
    'messageBytes', string.format('%.0f', message_bytes)
  )
  update_index_and_expiry(created_at_ms, accessed_at_ms, pushed)
  return nil, accessed_at_ms
end
