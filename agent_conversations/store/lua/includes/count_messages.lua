-- count_messages(message_bytes, request_digest) -> { 'corrupt', count, id_count } | nil, count
-- Counts the messages, and finds where they, their ids and the bytes that the record has of them do
-- not belong together: eviction, or somebody's DEL, takes one key and leaves the others.
-- Uses: messages_key message_ids_key
local function count_messages(message_bytes, request_digest)
  local count, id_count = redis.call('LLEN', messages_key), redis.call('HLEN', message_ids_key)
  -- Messages that came as one legacy record, which has no digest, may share ids.
  local may_share_ids = not request_digest and id_count > 0
  local is_whole = id_count == count or (may_share_ids and id_count < count)
  if not is_whole or (count == 0 and message_bytes > 0) then
    return { 'corrupt', count, id_count }
  end
  return nil, count
end
