-- update_index_and_expiry(created_at_ms, last_accessed_at_ms, message_count)
-- Puts the conversation into the index, if the script was given it, and sets the expiry of its keys
-- by its last access.
-- Uses: record_key messages_key message_ids_key index_keys conversation_id retention_ms
--- @include "owner_lists"

local function update_index_and_expiry(created_at_ms, last_accessed_at_ms, message_count)
  if index_keys[1] then
    redis.call('ZADD', index_keys[1], created_at_ms, conversation_id)
    redis.call('ZADD', index_keys[2], last_accessed_at_ms, conversation_id)
    redis.call('ZADD', index_keys[3], message_count, conversation_id)
  end
  local retention = tonumber(retention_ms)
  local lists = owner_lists()
  for _, list in ipairs(lists) do
    -- createdAt never changes, and is written with a new entry only.
    redis.call('ZADD', list[3], message_count, conversation_id)
    if redis.call('ZADD', list[2], last_accessed_at_ms, conversation_id) == 1 then
      redis.call('ZADD', list[1], created_at_ms, conversation_id)
    end
  end
  if retention > 0 then
    local expires_at_ms = string.format('%.0f', last_accessed_at_ms + retention)
    redis.call('PEXPIREAT', record_key, expires_at_ms)
    redis.call('PEXPIREAT', messages_key, expires_at_ms)
    redis.call('PEXPIREAT', message_ids_key, expires_at_ms)
    -- The list of an owner who never comes back ends with the last conversation in it: none has
    -- been accessed later than now.
    for _, list in ipairs(lists) do
      for _, key in ipairs(list) do
        redis.call('PEXPIRE', key, retention_ms)
      end
    end
  elseif redis.call('PERSIST', record_key) == 1 then
    redis.call('PERSIST', messages_key)
    redis.call('PERSIST', message_ids_key)
    for _, list in ipairs(lists) do
      for _, key in ipairs(list) do
        redis.call('PERSIST', key)
      end
    end
  end
end
