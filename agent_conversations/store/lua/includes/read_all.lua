-- read_all(status, message_bytes) -> { status, { field, value, field, value … }, { message, message … } }
-- Without the messages if they have more than bytes_at_once: one reply with all of them would take
-- the server's memory twice, and keep everybody else waiting.
-- Uses: record_key messages_key bytes_at_once
local function read_all(status, message_bytes)
  local is_small = message_bytes <= tonumber(bytes_at_once)
  return {
    status,
    redis.call('HGETALL', record_key),
    is_small and redis.call('LRANGE', messages_key, 0, -1) or {},
  }
end
