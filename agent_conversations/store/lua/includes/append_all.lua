-- append_all(
--   ids, new_messages, count, message_bytes, created_at_ms, last_accessed_at_ms, revision_before
-- ) -> nil, last_accessed_at_ms | the server's error
-- Appends messages with new ids to the count that there are; they then have message_bytes together.
-- Uses: record_key messages_key message_ids_key new_revision, and those of update_index_and_expiry and
-- publish_change
--- @include "access_time"
--- @include "keep_epoch"
--- @include "publish_change"
--- @include "raise_version"
--- @include "update_index_and_expiry"

local function append_all(
  ids, new_messages, count, message_bytes, created_at_ms, last_accessed_at_ms, revision_before
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
  local revision_after = keep_epoch(revision_before, new_revision)
  redis.call(
    'HSET', record_key,
    'lastAccessedAt', accessed_at_ms,
    'revision', revision_after,
    'messageBytes', string.format('%.0f', message_bytes)
  )
  raise_version(new_messages[1]) -- one writer encrypts all that it appends, or nothing
  update_index_and_expiry(created_at_ms, accessed_at_ms, pushed)
  publish_change('message_added', revision_before, revision_after, pushed)
  return nil, accessed_at_ms
end
