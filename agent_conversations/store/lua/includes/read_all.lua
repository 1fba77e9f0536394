-- read_all(status) -> { status, { field, value, field, value … }, { message, message … } }
-- Uses: record_key messages_key
local function read_all(status)
  return {
    status,
    redis.call('HGETALL', record_key),
    redis.call('LRANGE', messages_key, 0, -1),
  }
end
